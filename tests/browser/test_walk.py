"""A person turns the toggle on with its plan, approves, resolves and retries, with nothing but the keyboard."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Served, Window

_MOST_TABS = 150
_FOCUSED = "() => (document.activeElement?.innerText || document.activeElement?.value || '').trim()"


def _press(page: Page, label: str) -> None:
    """Tab to what has this label, and press Enter."""
    for _ in range(_MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate(_FOCUSED).replace("\n", " ").startswith(label):
            with page.expect_navigation():
                page.keyboard.press("Enter")
            return
    raise AssertionError(f"{label} cannot be reached by Tab")


def test_the_toggle_is_turned_on_by_its_plan_with_the_keyboard(window: Window, served: Served) -> None:
    page = window.open("")
    _press(page, "north")
    expect(page.locator("h1")).to_have_text("Vehicle and Driveri Integration")
    _press(page, "Show the plan")
    expect(page.locator("main")).to_contain_text("applying this plan turns it on")
    _press(page, "Turn Sync Drivers on")
    expect(page.get_by_role("status")).to_contain_text("The plan was requested")
    expect(page.locator(".option")).to_contain_text("on")
    served.tell("wait")
    page.reload()
    expect(page.locator("main")).to_contain_text("turned Sync Drivers on.")
    expect(page.locator("#live .linked").first).to_be_visible()


def test_held_deletes_are_approved_with_the_keyboard(window: Window, served: Served) -> None:
    page = window.open("accounts/acme/approvals")
    expect(page.get_by_text("Finn Driver").first).to_be_visible()
    _press(page, "Approve these 2 deletes")
    expect(page.get_by_role("status")).to_contain_text("Approved")
    served.tell("wait")
    page.reload()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".timeline")).to_contain_text("approved 2 held deletes on Driveri")
    _press(page, "Reject: they stay on Motive")
    served.tell("wait")
    page.reload()
    expect(page.get_by_role("row", name="Ada Adams")).to_contain_text("R10")
    _press(page, "Approve other identifiers for these 5 drivers")
    expect(page.locator(".empty")).to_contain_text("Nothing is held")


def test_an_issue_is_resolved_in_the_portal_and_another_retried_with_the_keyboard(
    window: Window, served: Served
) -> None:
    page = window.open("accounts/acme/issues")
    _press(page, "Carl Conflict")
    expect(page.locator(".advice")).to_contain_text("Decide whose e-mail it is")
    served.tell("resolve")
    expect(page.locator("#motive-title")).to_contain_text("in sync")
    page.goto(page.url.partition("/drivers")[0] + "/issues")
    expect(page.locator("main")).not_to_contain_text("Carl Conflict")
    page.get_by_label("Why (optional)").focus()
    page.keyboard.type("asked by phone")
    _press(page, "Retry the group")
    expect(page.get_by_role("status")).to_contain_text("looked at again")
    served.tell("wait")
    page.goto(page.url.partition("/issues")[0] + "/history?kind=request")
    expect(page.locator(".timeline")).to_contain_text("asked to look again at who is set aside (unkeyed) on Driveri")
    expect(page.locator(".timeline")).to_contain_text("“asked by phone”")


def test_events_come_by_themselves(window: Window, served: Served) -> None:
    page = window.open("events?account=acme&driver=10&type=DriverUpdated")
    before = page.locator("#events > li, ol.events > li").count()
    served.tell("change")
    expect(page.locator("ol.events > li")).to_have_count(before + 1)


def test_a_push_secret_is_rotated_and_dead_letters_are_resubmitted_with_the_keyboard(
    window: Window,
) -> None:
    page = window.open("accounts/acme")
    _press(page, "Push secrets")
    _press(page, "Rotate the secret of Portal")
    secret = page.locator(".copied").inner_text()
    assert secret.startswith("whsec_")
    page.goto(page.url.removesuffix("/portal/rotation"))
    expect(page.locator("main")).to_contain_text("two secrets are good")
    expect(page.locator("main")).not_to_contain_text(secret)
    _press(page, "Dead letters")
    _press(page, "Resubmit 2")
    expect(page.get_by_role("status")).to_contain_text("Resubmitted")


def test_a_delivery_that_is_retried_counts_down(window: Window, served: Served) -> None:
    served.tell("trouble")
    page = window.open("accounts/acme/drivers/18")
    expect(page.locator(".attempt")).to_contain_text("next attempt in")


def test_a_plan_that_takes_long_says_how_far_it_is_with_scripts_and_without(
    window: Window, plain: Window, served: Served
) -> None:
    served.tell("slow")
    for each in (window, plain):
        page = each.open("accounts/north/plan")
        expect(page.locator("h1")).to_have_text("Working out the plan")
        if each is window:
            expect(page.locator(".progress")).to_contain_text("so far")
        expect(page.locator("h1")).to_have_text("Plan")
