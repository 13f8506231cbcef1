"""Make names that files, and elements of a store, may have."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_LENGTH = 100  # characters


def safe_names(names: Iterable[str], prefix: str = "", flags: re.RegexFlag = re.UNICODE) -> dict[str, str]:
    """Make a safe and unique name for each name.

    Other characters than letters, digits, ".", "_" and "-" become "_", so that `../X` or `HLA-A/B` stay inside their
    folder. Names that would then be equal, also where case is ignored, get a number.

    Parameters
    ----------
    names
        Names of genes or sections, each once.
    prefix
        Put before each name.
    flags
        `re.ASCII` for names of ASCII characters.
    """
    safe: dict[str, str] = {}
    taken: set[str] = set()
    for original in names:
        stem = prefix + (re.sub(r"[^\w.-]", "_", original, flags=flags).lstrip(".")[:MAX_LENGTH] or "unnamed")
        name = stem
        number = 2
        while name.lower() in taken:
            name = f"{stem}_{number}"
            number += 1
        taken.add(name.lower())
        safe[original] = name
    return safe
