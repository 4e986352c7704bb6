"""Each page: in both themes without a violation that axe finds, narrow without scrolling sideways, without scripts."""

from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.browser.pages import PAGES

AXE = (Path(__file__).parent / "vendored/axe.min.js").read_text("utf-8")

_RUN = """
axe.run(document, {resultTypes: ["violations"]})
    .then(found => found.violations.map(each => [each.id, each.nodes[0].html]))
"""


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_and_nothing_is_cut_off(opened: Open, name: str, theme: str, width: int) -> None:
    page = opened(PAGES[name], color_scheme=theme, viewport={"width": width, "height": 800})
    page.evaluate(AXE)
    assert page.evaluate(_RUN) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_the_same_without_scripts(opened: Open, name: str) -> None:
    plain = opened(PAGES[name], java_script_enabled=False)
    scripted = opened(PAGES[name])
    assert plain.locator("h1").inner_text() == scripted.locator("h1").inner_text()
    assert plain.locator("main table tr").count() == scripted.locator("main table tr").count()
    assert plain.locator("main a").count() == scripted.locator("main a").count()
