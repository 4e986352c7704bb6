"""What pages show is what the API says, and what people are called does nothing but stand there."""

import re
from collections.abc import AsyncIterator
from hashlib import sha256
from html import unescape
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from domain.account import Role
from services.api.authentication import CSRF_FIELD, at_local_socket, at_loopback
from services.api.permissions import Principal, PrincipalKind
from services.console import accounts, history, overview
from services.console.overview import VENDORED
from services.console.rendering import HEADERS
from tests.unit.services.api.api_stand import ApiStand, letter

pytestmark = pytest.mark.anyio

AXE = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
"""`axe.min.js` of axe-core 4.14.1, as npm has it."""

PAGES = (
    "",
    "accounts",
    "events?account=acme",
    "keys",
    "dead-letters",
    *(
        f"accounts/acme{path}"
        for path in (
            "",
            "/sync",
            "/drivers",
            "/drivers?find=jane",
            "/drivers?state=unmanaged",
            "/drivers/1",
            "/drivers/1?view=compact",
            "/drivers/1?view=json",
            "/issues",
            "/approvals",
            "/drift",
            "/history",
            "/push-secrets",
            "/webhooks",
        )
    ),
)


@pytest.fixture
async def browser(stand: ApiStand) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of the operator, at the local socket."""
    transport = httpx.ASGITransport(at_local_socket(stand.app), raise_app_exceptions=False)
    headers = {"accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="http://driverlink/console/", headers=headers) as client:
        yield client


def seen(answer: httpx.Response) -> str:
    """The text of a page, as a person reads it."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_shown_safely(stand: ApiStand, browser: httpx.AsyncClient, path: str) -> None:
    await stand.set_some_aside()
    answer = await browser.get(path)
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<[^>]+ (style|on\w+)=", answer.text)
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//", answer.text) == []


async def test_counts_are_those_of_the_api_and_lead_to_what_they_count(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.set_some_aside()
    (status,) = (await stand.get("/status")).json()
    page = (await browser.get("")).text
    links = re.findall(r'<a class="count [^"]*" href="/console/([^"]+)">([\d ]+)', page)
    assert len(links) >= 4
    for link, count in links:
        rows = (await browser.get(unescape(link))).text.count('<th scope="row">')
        assert (link, rows) == (link, int(count))
    driveri = next(each for each in status["targets"] if each["target"] == "driveri")
    assert f'state=parked">{sum(driveri["parked"].values())}</a>' in page


async def test_every_account_is_on_one_page_of_the_overview(
    stand: ApiStand, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_LISTED", 2)
    for account in ("ant", "bee", "cat", "dog", "eel"):
        await stand.post("/accounts", {"account": account, "tier": "pro", "master_user": "jane"})
    while stand.step():
        pass
    found, path = [], ""
    for _ in range(3):
        page = (await browser.get(path)).text
        found.append(re.findall(r'href="/console/accounts/(\w+)/sync"', page))
        following = re.search(r'rel="next" href="/console/([^"]+)"', page)
        path = unescape(following[1]) if following else ""
    assert (found, path) == ([["ant", "bee"], ["cat", "dog"], ["eel"]], "")


async def test_accounts_are_added_listed_in_pages_and_found(
    stand: ApiStand, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_LISTED", 2)
    for account in ("ant", "bee", "cat"):
        form = {"account": account, "tier": "pro", "master_user": f"jane-{account}", "account_manager": ""}
        added = await browser.post("accounts", data=form)
        assert added.headers["location"] == f"/console/accounts/{account}?done=added"
    assert set((await stand.get("/accounts/ant")).json()["modes"].values()) == {"observe"}

    def listed(page: httpx.Response) -> list[str]:
        return re.findall(r'<th scope="row"><a href="/console/accounts/(\w+)"', page.text)

    page = await browser.get("accounts")
    following = re.search(r'rel="next" href="/console/([^"]+)"', page.text)
    assert following
    assert (listed(page), listed(await browser.get(unescape(following[1])))) == (["ant", "bee"], ["cat"])
    assert listed(await browser.get("accounts?find=JANE-b")) == ["bee"]
    assert "No account has “dog”" in seen(await browser.get("accounts?find=dog"))


async def test_names_are_shown_as_they_are_written(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.set_some_aside()
    nasty = "<img src=x onerror=alert(1)>"
    body = {"action": "update", "driver": "1", "profile": {"first_name": nasty, "last_name": "\"'</script>"}}
    assert (await stand.post("/accounts/acme/drivers", body)).status_code == 200
    while stand.step():
        pass
    for path in ("accounts/acme/drivers", "accounts/acme/drivers/1", "accounts/acme/issues", "accounts/acme/sync"):
        page = await browser.get(path)
        assert nasty not in page.text
        assert nasty in unescape(page.text)
    hurt = await browser.get("accounts/acme/drivers", params={"find": nasty})
    assert nasty not in hurt.text


@pytest.mark.parametrize(
    ("path", "status"), [("accounts/none/sync", 404), ("accounts/acme/drivers/9", 404), ("events?since=soon", 400)]
)
async def test_a_refusal_is_a_page_with_the_sentence_of_the_api(
    stand: ApiStand, browser: httpx.AsyncClient, path: str, status: int
) -> None:
    await stand.set_some_aside()
    page = await browser.get(path)
    plain = await browser.get(path, headers={"accept": "*/*"})
    assert (page.status_code, plain.status_code) == (status, status)
    assert plain.json()["detail"].replace("`", "") in seen(page).replace(" ;", ";")


@pytest.mark.parametrize(("path", "status"), [("sign-in?token=used", 401), ("console/accounts/acme/settings", 404)])
async def test_a_refusal_outside_the_pages_is_a_page_for_a_browser_too(
    browser: httpx.AsyncClient, path: str, status: int
) -> None:
    refused = await browser.get(f"http://driverlink/{path}")
    assert (refused.status_code, refused.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert {name: refused.headers[name] for name in HEADERS} == dict(HEADERS)
    plain = await browser.get(f"http://driverlink/{path}", headers={"accept": "*/*"})
    assert (plain.status_code, plain.json()["status"]) == (status, status)
    api = await browser.get("http://driverlink/v1/nothing")
    assert api.json()["status"] == 404


async def test_an_issue_says_what_to_do_and_leads_to_who_has_it(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.set_some_aside()
    page = await browser.get("accounts/acme/issues")
    assert "What to do: Give it a Driveri DriverID or a RefID in the Portal." in seen(page)
    (issue,) = (
        each for each in (await stand.get("/issues", account="acme")).json()["issues"] if each["reason"] == "conflict"
    )
    holder = re.search(r"portal driver (\w+)", issue["detail"])
    assert holder
    assert f'<a href="/console/accounts/acme/drivers/{holder[1]}">portal driver {holder[1]}</a>' in page.text


@pytest.mark.parametrize("path", ["", "accounts", "events", "accounts/acme", "accounts/acme/drivers?find=jane"])
async def test_every_page_has_one_field_to_find_by(stand: ApiStand, browser: httpx.AsyncClient, path: str) -> None:
    await stand.set_some_aside()
    (field,) = re.findall(r'<input [^>]*name="find"[^>]*>', (await browser.get(path)).text)
    assert f'value="{"jane" if "jane" in path else ""}"' in field


async def test_what_ends_something_is_asked_about_first(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.set_some_aside()
    await browser.post("accounts/acme/credentials", data={"target": "motive", "value-api_key": "hush"})
    await stand.post("/accounts/acme/push-secrets/portal", {})
    await stand.post("/keys", {"name": "nightly", "roles": ["viewer"]})
    stand.keep(letter(1))
    shown = ""
    for path in ("accounts/acme/sync", "accounts/acme", "accounts/acme/push-secrets", "keys", "dead-letters"):
        shown += (await browser.get(path)).text
    asked = re.findall(r"<details class=\"danger\">.*?</details>", shown, re.DOTALL)
    ends = r'action="[^"]*(?:/sync|/removed|/revocation|/revoked|/dropped[^"]*)"'
    assert len(re.findall(ends, shown)) == len(re.findall(ends, "".join(asked))) == 5
    assert all("?" in each and ">Yes, " in each for each in asked)


async def test_settings_say_where_there_are_credentials_and_what_was_done_with_which(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    assert "Motive none" in seen(await browser.get("accounts/acme"))
    sent = await browser.post(
        "accounts/acme/credentials", data={"target": "motive", "value-api_key": "hush", "note": "new"}
    )
    assert "The credentials for Motive are stored" in seen(
        await browser.get(sent.headers["location"].removeprefix("/console/"))
    )
    page = seen(await browser.get("accounts/acme"))
    assert ("Motive stored" in page, "Driveri none" in page, "Portal none" in page) == (True, True, True)
    assert "“new”" in seen(await browser.get("accounts/acme/history?kind=setting"))
    failed = await browser.post("accounts/acme/credentials/check", data={"target": "driveri"})
    assert (failed.status_code, "Nothing was checked: no credentials for" in seen(failed)) == (409, True)


async def test_events_are_listed_once_each_with_the_newest_first(
    stand: ApiStand, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.set_some_aside()
    for size in {"_PAGE": 4, "_READ": 3}.items():
        monkeypatch.setattr(history, *size)
    events = (await stand.get("/events", account="acme")).json()["events"]
    path, shown = "events?account=acme&since=2020-01-01", list[str]()
    while path:
        page = await browser.get(path)
        shown += re.findall(r'<details id="event-([^"]+)"', page.text)
        older = re.search(r'rel="next" href="/console/([^"]+)"', page.text)
        path = unescape(older[1]) if older else ""
    assert shown == [f"{each['log']}-{each['position']}" for each in reversed(events)]
    assert len(shown) > 8


async def test_the_filters_of_events_are_those_of_the_api(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.set_some_aside()
    of_driver = {"driver": "3", "correlation": "change/1"}
    found = dict[str, list[str]]()
    for query in (
        {"reason": "conflict"},
        {"outcome": "refused"},
        {"trigger": "scan"},
        {"by": "jane"},
        {"target": "motive", "reason": "unkeyed"},
        {"since": "2026-01-05", "until": "2026-01-06"},
        of_driver,
    ):
        asked = {"account": "acme", "since": "2020-01-01", **query}
        events = (await stand.get("/events", **asked)).json()["events"]
        page = await browser.get("events", params=asked)
        shown = re.findall(r'<details id="event-([^"]+)"', page.text)
        assert shown == [f"{each['log']}-{each['position']}" for each in reversed(events)], query
        for name, value in query.items():
            is_chosen = f'<option value="{value}" selected>' in page.text or f"<option selected>{value}<" in page.text
            assert f'name="{name}" value="{value}"' in page.text or is_chosen, name
        found[str(query)] = shown
    assert sum(map(bool, found.values())) >= 4
    assert found[str(of_driver)]


async def test_each_entry_of_a_driver_and_an_account_leads_to_its_events(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.set_some_aside()
    credentials = {"target": "driveri", "client_id": "a", "client_secret": "b", "tenant": "c"}
    await browser.post("accounts/acme/credentials", data=credentials)
    for path, entry in (
        ("accounts/acme/drivers/3", '<p class="fact">'),
        ("accounts/acme/drivers/3?view=compact", '<li><span class="sub">'),
        ("accounts/acme/history", '<p class="fact">'),
    ):
        page = await browser.get(path)
        every = [unescape(each) for each in re.findall(r'<a href="/console/(events\?[^"]*)"', page.text)]
        links = [each for each in every if "since=" in each and "by=" not in each]
        assert len(links) == page.text.count(entry) > 1
        for link in links:
            answer = await browser.get(link)
            assert (answer.status_code, 'id="event-' in answer.text) == (200, True), link


@pytest.mark.parametrize("span", ["since=0001-01-01", "until=9999-12-31T23:59:59&since=0001-01-01", "since=9999-12-31"])
async def test_events_are_looked_for_from_end_to_end_of_the_calendar(
    stand: ApiStand, browser: httpx.AsyncClient, span: str
) -> None:
    await stand.set_some_aside()
    page = await browser.get(f"events?account=acme&{span}")
    assert (page.status_code, 'id="event-accounts-1"' in page.text) == (200, "0001" in span)


async def test_the_page_of_a_driver_has_a_link_that_downloads_its_capsule(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.set_some_aside()
    page = await browser.get("accounts/acme/drivers/1")
    (link,) = re.findall(r'<a href="([^"]+)" download>Download a capsule</a>', page.text)
    assert link == "/v1/accounts/acme/drivers/1/capsule"
    answer = await browser.get(f"..{link}")
    assert (answer.status_code, answer.json()["format"]) == (200, "driverlink-capsule")
    assert re.fullmatch(r'attachment; filename="capsule-[A-Za-z0-9_-]+\.json"', answer.headers["content-disposition"])


async def test_a_key_is_not_offered_the_role_of_a_person(browser: httpx.AsyncClient) -> None:
    page = await browser.get("keys")
    assert ('name="role-viewer"' in page.text, "master_user" in page.text) == (True, False)


async def test_a_form_retries_what_is_set_aside(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.set_some_aside()
    sent = await browser.post("accounts/acme/retry", data={"group": "driveri/unkeyed", "note": "asked by phone"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/console/accounts/acme/issues?done=retried")
    assert "What was set aside is looked at again" in (await browser.get("accounts/acme/issues?done=retried")).text
    shown = seen(await browser.get("accounts/acme/history?kind=request"))
    assert "“asked by phone”" in shown


@pytest.mark.parametrize("headers", [{"origin": "http://evil.test"}, {"sec-fetch-site": "cross-site"}])
async def test_a_form_of_another_site_is_refused(
    stand: ApiStand, browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await stand.set_some_aside()
    sent = await browser.post("accounts/acme/sync", data={"on": "false"}, headers=headers)
    assert sent.status_code == 403
    assert (await stand.get("/accounts/acme")).json()["sync"] == "on"


async def test_a_form_needs_the_token_of_its_session_and_a_page_has_it(stand: ApiStand) -> None:
    await stand.set_some_aside()
    jane = Principal(who="jane", kind=PrincipalKind.PERSON, grants={})
    cookies = {"driverlink-8400": stand.access.open_session(jane)}
    transport = httpx.ASGITransport(at_loopback(stand.app))
    address = "http://127.0.0.1:8400/console/accounts/acme/"
    headers = {"accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url=address, cookies=cookies, headers=headers) as browser:
        assert (await browser.post("sync", data={"on": "false"})).status_code == 403
        page = (await browser.get("sync")).text
        token = re.search(rf'name="{CSRF_FIELD}" value="([^"]+)"', page)
        assert token
        assert (await browser.post("sync", data={CSRF_FIELD: token[1]})).status_code == 303
    history = (await stand.get("/accounts/acme/history", kind="sync")).json()
    assert (history["entries"][0]["type"], history["entries"][0]["by"]) == ("SyncTurnedOff", "jane")


async def test_who_may_only_look_sees_no_buttons(stand: ApiStand) -> None:
    await stand.set_some_aside()
    viewer = Principal(who="eve", kind=PrincipalKind.PERSON, grants={"acme": frozenset({Role.VIEWER})})
    cookies = {"driverlink-8400": stand.access.open_session(viewer)}
    transport = httpx.ASGITransport(at_loopback(stand.app))
    address = "http://127.0.0.1:8400/console/accounts/acme/"
    async with httpx.AsyncClient(transport=transport, base_url=address, cookies=cookies) as browser:
        for path in ("sync", "issues", "drivers/1", "approvals", "history", "../acme"):
            page = await browser.get(path)
            assert page.status_code == 200
            assert re.findall(r'<form [^>]*method="post" action="/console[^"]*"', page.text) == []


async def test_credentials_are_never_shown(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.set_some_aside()
    fields = {"target": "motive", "value-api_key": "a-secret-key"}
    assert (await browser.post("accounts/acme/credentials", data=fields)).status_code == 303
    assert "a-secret-key" not in (await browser.get("accounts/acme")).text


@pytest.mark.parametrize(("name", "digest"), VENDORED.items())
def test_what_is_taken_from_others_is_as_they_published_it(name: str, digest: str) -> None:
    assert sha256(files("services.console").joinpath("static", name).read_bytes()).hexdigest() == digest


def test_axe_is_as_it_was_published() -> None:
    axe = Path(__file__).parents[4] / "tests/browser/vendored/axe.min.js"
    assert sha256(axe.read_bytes()).hexdigest() == AXE


async def test_a_driver_whose_id_has_a_slash_has_a_page_and_can_be_retried(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.set_some_aside()
    profile = {"first_name": "Ann", "last_name": "Slash", "email": "a@fleet.test"}
    made = await stand.post("/accounts/acme/drivers", {"action": "create", "driver": "12/3?#4", "profile": profile})
    assert made.is_success
    while stand.step():
        pass
    path = "accounts/acme/drivers/12%2F3%3F%234"
    assert f'href="/console/{path}"' in (await browser.get("accounts/acme/drivers?find=slash")).text
    assert "Ann Slash" in (await browser.get(path)).text
    retried = await browser.post(f"{path}/retry", data={"target": "driveri"})
    assert (retried.status_code, retried.headers["location"]) == (303, f"/console/{path}?done=retried")
    assert (await stand.get("/accounts/acme/drivers/12%2F3%3F%234")).json()["driver"] == "12/3?#4"


@pytest.mark.parametrize(
    ("form", "fields"),
    [("people", {"tier": "gold"}), ("people", {"master_user": ""}), ("reconciliation-time", {"reconcile_at": "noon"})],
)
async def test_a_field_of_settings_that_is_wrong_is_named(
    stand: ApiStand, browser: httpx.AsyncClient, form: str, fields: dict[str, str]
) -> None:
    await stand.set_some_aside()
    answer = await browser.post(f"accounts/acme/{form}", data=fields)
    assert (answer.status_code, min(fields).replace("_", " ") in answer.text) == (400, True)
