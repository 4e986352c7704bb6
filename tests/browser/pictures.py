"""`python -m tests.browser.pictures`: a picture of each page in `docs/pictures/console/`, to be looked at."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from tests.browser.pages import PAGES

FOLDER = Path(__file__).parents[2] / "docs/pictures/console"
NARROW = ("overview", "sync", "driver")
"""Pages that are pictured narrow and dark, too."""

NOT_KEPT = ("sync-not-allowed", "refused", "driver-compact", "driver-json", "unmanaged")
"""Pages that a reader learns little from."""


def main() -> None:
    """Serve the small fleet, and picture each page."""
    chromium = shutil.which("chromium") or sys.exit("Chromium is needed")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.browser.served", f"{folder}/data"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
            assert served.stdout
            where = json.loads(next(line for line in served.stdout if line.startswith("{")))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 720})
                page.goto(where["link"])
                for name, path in PAGES.items():
                    if name not in NOT_KEPT:
                        page.goto(f"{where['console']}/console/{path}", wait_until="load")
                        page.screenshot(path=FOLDER / f"{name}.png", full_page=True)
                page.emulate_media(color_scheme="dark")
                page.set_viewport_size({"width": 390, "height": 720})
                for name in NARROW:
                    page.goto(f"{where['console']}/console/{PAGES[name]}", wait_until="load")
                    page.screenshot(path=FOLDER / f"{name}-narrow.png", full_page=True)
                browser.close()
            served.communicate()


if __name__ == "__main__":
    main()
