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
from playwright.sync_api import Browser, Page, StorageState, sync_playwright

HERE = Path(__file__).parent


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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        message = "there is no Chromium: install it (on Debian: apt-get install chromium), then `make test-browser`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        # Root, as in containers, cannot use Chromium's own sandbox.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture(scope="session")
def signed_in(browser: Browser, served: Served) -> StorageState:
    """The cookies of the operator, who has used the link."""
    context = browser.new_context()
    context.new_page().goto(served.link)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def opened(browser: Browser, served: Served, signed_in: StorageState) -> Iterator[Open]:
    """Opens a page of the console; whatever the browser then complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str, **options: Any) -> Page:  # noqa: ANN401 - what a context takes
        context = browser.new_context(storage_state=signed_in, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{served.console}/console/{path}", wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [each for each in complaints if "404" not in each] == []
