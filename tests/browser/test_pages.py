"""Each page: without a violation that axe finds, in both themes; narrow without scrolling sideways; without scripts."""

from pathlib import Path

import pytest

from tests.browser.conftest import Window
from tests.browser.pages import PAGES

AXE = (Path(__file__).parent / "vendored/axe.min.js").read_text("utf-8")

_RUN = """
axe.run(document, {resultTypes: ["violations"]})
    .then(found => found.violations.map(each => [each.id, each.nodes[0].html]))
"""
_WIDTH = "document.documentElement.scrollWidth"
_SHOWN = """
() => ["h1", "main table tr", "main a", "main form", "main button"].map(each => document.querySelectorAll(each).length)
"""


@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_use_a_page(window: Window, plain: Window, name: str) -> None:
    page = window.open(PAGES[name])
    page.evaluate(AXE)
    for theme, width in (("light", 1280), ("dark", 390)):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # one of those that it takes
        page.set_viewport_size({"width": width, "height": 800})
        assert (theme, page.evaluate(_RUN)) == (theme, [])
        assert page.evaluate(_WIDTH) <= width
    title = page.locator("h1").inner_text()
    without_scripts = plain.open(PAGES[name])
    assert without_scripts.locator("h1").inner_text() == title
    assert without_scripts.evaluate(_SHOWN) == page.evaluate(_SHOWN)
