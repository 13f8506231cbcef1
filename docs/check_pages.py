"""Open the built docs in a browser, on a wide screen and on a phone: python docs/check_pages.py docs/_build/html

Fails if a page is wider than the screen, if a part of the comparison or of a command is out of sight, if a picture is
too small to see, or if a paragraph begins with a colon. Needs Chromium, and playwright of the extra `test`.
"""

import shutil
import sys
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCREENS = {"wide screen": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
LEFT_OUT = ("genindex.html", "search.html", "py-modindex.html")

FIND_PROBLEMS = """
() => {
  const width = window.innerWidth;
  const found = [];
  const article = document.querySelector(".bd-article") || document.body;
  const text = (element) => element.textContent.trim().slice(0, 40);
  const pageWidth = document.documentElement.scrollWidth;
  if (pageWidth > width) found.push(`the page is ${pageWidth} pixels wide`);
  for (const cell of article.querySelectorAll("table.comparison td")) {
    if (cell.getBoundingClientRect().right > width) found.push(`out of sight: ${text(cell)}`);
  }
  for (const box of article.querySelectorAll("div.highlight-bash pre")) {
    if (box.scrollWidth > box.clientWidth + 1) found.push(`cut: ${text(box)}`);
  }
  for (const image of article.querySelectorAll("img")) {
    const shown = image.getBoundingClientRect().width;
    if (image.naturalWidth > 300 && shown < 250) found.push(`a picture ${shown} pixels wide`);
    if (image.naturalWidth === 0) found.push(`a picture that is not there: ${image.src}`);
  }
  for (const paragraph of article.querySelectorAll("p")) {
    if (paragraph.textContent.startsWith(": ")) found.push(`begins with a colon: ${text(paragraph)}`);
  }
  return found;
}
"""


def main(folder: Path) -> int:
    """Print what is wrong, and return the number of problems."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print("There is no browser: the pages were not looked at.")
        return 0
    pages = [path for path in sorted(folder.rglob("*.html")) if path.name not in LEFT_OUT]
    pages = [path for path in pages if "_static" not in path.parts]
    n_problems = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for screen, size in SCREENS.items():
            tab = browser.new_page(viewport=size)
            tab.route("http*://**", lambda route: route.abort())  # pages are looked at without a network
            for path in pages:
                tab.goto(path.resolve().as_uri())
                problems = tab.evaluate(FIND_PROBLEMS)
                n_problems += len(problems)
                for problem in problems:
                    print(f"{path.relative_to(folder)}, {screen}: {problem}")
            tab.close()
        browser.close()
    print(f"{len(pages)} pages on {len(SCREENS)} screens: {n_problems} problems")
    return n_problems


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
