"""A Chromium of the system, without a window, for tests of pages."""

import contextlib
import shutil
from importlib.util import find_spec

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
# In containers there is no sandbox, and little shared memory, without which Chromium can wait forever.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
LAUNCH_PATIENCE = 120_000  # milliseconds


def _reason_to_skip():
    if PROGRAM is None:
        return f"no browser: none of {', '.join(NAMES)} is on the path"
    if find_spec("playwright") is None:
        return "playwright, of the extra `test`, is not installed"
    return ""


needs_chromium = pytest.mark.skipif(bool(_reason_to_skip()), reason=_reason_to_skip() or "there is one")


@contextlib.contextmanager
def launch():
    """Start the browser, and close it afterwards."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS, timeout=LAUNCH_PATIENCE)
        yield browser
        browser.close()
