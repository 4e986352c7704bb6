"""`python -m tests.browser.pictures`: pictures of the console in `docs/pictures/console/`, to be looked at.

With a folder behind it: every page there, light and dark, wide and narrow.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

from tests.browser.pages import PAGES

FOLDER: Final = Path(__file__).parents[2] / "docs/pictures/console"
WIDTHS: Final = {"wide": 1280, "narrow": 390}
NARROW: Final = ("overview", "sync", "driver", "issues", "approvals")
"""Pages of which the docs have a narrow and dark picture, too."""

NOT_KEPT: Final = (
    "events-filtered",
    "sync-not-allowed",
    "refused",
    "driver-json",
    "driver-long",
    "unmanaged",
    "history-of-settings",
)
"""Pages that a reader learns little from."""

Tell = Callable[[str], Any]


@contextmanager
def _served(page: Page) -> Iterator[tuple[str, Tell]]:
    """Where the small fleet's console is, signed in, and how to have something happen to it."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.browser.served", f"{folder}/data"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
            assert served.stdin
            assert served.stdout
            told, heard = served.stdin, served.stdout

            def answer() -> Any:  # noqa: ANN401 - JSON
                return json.loads(next(line for line in heard if line.startswith("{")))

            def tell(line: str) -> Any:  # noqa: ANN401 - JSON
                told.write(f"{line}\n")
                told.flush()
                return answer()

            where = answer()
            page.goto(where["link"])
            yield f"{where['console']}/console/", tell
            told.close()


def _all_ways(page: Page, folder: Path, name: str) -> None:
    for theme in ("light", "dark"):
        for width, columns in WIDTHS.items():
            _picture(page, folder / f"{name}-{theme}-{width}.png", theme, columns)


def _kept_ways(page: Page, folder: Path, name: str) -> None:
    if name not in NOT_KEPT:
        _picture(page, folder / f"{name}.png", "light", WIDTHS["wide"])
    if name in NARROW:
        _picture(page, folder / f"{name}-narrow.png", "dark", WIDTHS["narrow"])


def _picture(page: Page, path: Path, theme: str, columns: int) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # one of those that it takes
    page.set_viewport_size({"width": columns, "height": 720})
    page.screenshot(path=path, full_page=True)


def main(folder: Path, picture: Callable[[Page, Path, str], None]) -> None:
    """Serve the small fleet, and picture each page, and two that somebody sees only while something goes on."""
    chromium = shutil.which("chromium") or sys.exit("Chromium is needed")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Grey edges of letters make smaller pictures than coloured ones.
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-lcd-text", "--hide-scrollbars"]
        )
        page = browser.new_page()
        with _served(page) as (console, tell):
            for name, path in PAGES.items():
                page.goto(f"{console}{path}", wait_until="load")
                picture(page, folder, name)
            tell("trouble")
            page.goto(f"{console}accounts/acme/drivers/18", wait_until="load")
            page.get_by_text("next attempt").wait_for()
            picture(page, folder, "driver-retrying")
            tell("slow")
            page.goto(f"{console}accounts/north/plan", wait_until="load")
            page.get_by_text("so far").wait_for()
            picture(page, folder, "plan-in-work")
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), _all_ways)
    else:
        main(FOLDER, _kept_ways)
