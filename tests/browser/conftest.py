"""Chromium as Debian has it, and a small fleet that is served for all tests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

HERE = Path(__file__).parent

expect.set_options(timeout=120_000)  # other tests run meanwhile


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where the console of the small fleet is, and how to have the Portal state something of its drivers."""

    console: str
    link: str
    tell: Callable[[str], Any]


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.browser.served", str(tmp_path_factory.mktemp("console") / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        told, heard = process.stdin, process.stdout

        def answer() -> Any:  # noqa: ANN401 - JSON
            for line in heard:
                if line.startswith("{"):
                    return json.loads(line)
            raise AssertionError("the fleet has ended")

        def tell(line: str) -> Any:  # noqa: ANN401 - JSON
            told.write(f"{line}\n")
            told.flush()
            return answer()

        yield Served(**answer(), tell=tell)
        told.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        message = "there is no Chromium: install it (on Debian: apt-get install chromium), then `make test-browser`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        # Root, as in containers, cannot use Chromium's own sandbox.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def signed_in(browser: Browser, served: Served) -> StorageState:
    """The cookies of the operator, who has used the link."""
    context = browser.new_context()
    context.new_page().goto(served.link)
    state = context.storage_state()
    context.close()
    return state


@dataclass(frozen=True, kw_only=True)
class Window:
    """One page of a browser, in which one address after the other is opened."""

    page: Page
    address: str
    complaints: list[str]

    def open(self, path: str) -> Page:
        """The console's page of this path."""
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": 1280, "height": 800})
        self.page.goto(f"{self.address}/console/{path}", wait_until="load")
        return self.page

    def check(self) -> None:
        """Raise `AssertionError` for whatever the browser complained of; a page that is not there is no complaint."""
        complaints = [each for each in self.complaints if "404" not in each]
        self.complaints.clear()
        assert complaints == []


@pytest.fixture(scope="package")
def windows(browser: Browser, served: Served, signed_in: StorageState) -> tuple[Window, Window]:
    """One window for all tests, and one where scripts do not run: a context for each costs more than the pages."""

    def open_window(*, has_scripts: bool) -> Window:
        context = browser.new_context(storage_state=signed_in, java_script_enabled=has_scripts)
        window = Window(page=context.new_page(), address=served.console, complaints=[])
        window.page.on(
            "console", lambda message: window.complaints.append(message.text) if message.type == "error" else None
        )
        window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
        return window

    return open_window(has_scripts=True), open_window(has_scripts=False)


@pytest.fixture
def window(windows: tuple[Window, Window]) -> Iterator[Window]:
    """Whatever the browser complains of fails the test."""
    yield windows[0]
    windows[0].check()


@pytest.fixture
def plain(windows: tuple[Window, Window]) -> Window:
    """Where scripts do not run."""
    return windows[1]
