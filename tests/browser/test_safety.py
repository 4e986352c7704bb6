"""What a driver is called does nothing but stand there, and no other site uses the console in a person's name."""

import pytest
from playwright.sync_api import Browser, StorageState, expect

from tests.browser.conftest import Served, Window
from tests.browser.served import NASTY


@pytest.mark.parametrize(
    "path",
    [
        "accounts/west/drivers",
        "accounts/west/drivers/6",
        "accounts/west/drivers/6?view=json",
        "accounts/west/sync",
        "events?account=west",
    ],
)
def test_a_name_with_a_script_in_it_is_shown_as_it_is_written(window: Window, path: str) -> None:
    page = window.open(path)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    expect(page.locator("main")).to_contain_text(
        NASTY if "json" not in path and "events" not in path else "document.title='hurt'"
    )
    assert page.title() != "hurt"
    assert page.locator("main img, main script").count() == 0


def test_a_search_is_shown_as_it_is_written(window: Window) -> None:
    page = window.open("accounts/west/drivers?find=%3Cscript%3Edocument.title%3D%27hurt%27%3C/script%3E")
    expect(page.get_by_role("link", name=NASTY)).to_be_visible()
    assert page.title() != "hurt"


def test_no_other_site_can_put_a_page_into_a_frame_or_send_its_forms(
    browser: Browser, served: Served, signed_in: StorageState
) -> None:
    context = browser.new_context(storage_state=signed_in)
    page = context.new_page()
    target = f"{served.console}/console/"
    fields = '<input name="on" value="false"><button>x</button>'
    form = f'<form method="post" action="{target}accounts/acme/sync">{fields}</form>'
    page.set_content(f'<iframe src="{target}"></iframe>{form}')
    while not page.frames[1].url.startswith("chrome-error"):
        assert page.frames[1].url in ("", "about:blank")
        page.wait_for_timeout(50)
    with page.expect_navigation() as sent:
        page.get_by_role("button").click()
    answer = sent.value
    assert answer is not None
    assert answer.status in (401, 403)
    context.close()
