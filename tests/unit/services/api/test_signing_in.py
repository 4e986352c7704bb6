"""Browsers: links to sign in by, sessions, and what other sites could try with them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from domain.account import Role
from services.api import authentication
from services.api.authentication import CSRF_FIELD, CSRF_HEADER, at_loopback
from services.api.installation import Limits
from services.api.permissions import EVERYWHERE, THE_OPERATOR
from services.api.sign_in import own_path
from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio

COOKIE = "driverlink-8400"


@pytest.fixture
async def browser(stand: ApiStand) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on the machine where `driverlink up` runs."""
    transport = httpx.ASGITransport(at_loopback(stand.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
        yield client


async def sign_in(stand: ApiStand, browser: httpx.AsyncClient) -> str:
    """Sign in by a link; the token that forms carry."""
    answer = await browser.get("/sign-in", params={"token": stand.access.make_link()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    session = stand.access.session(browser.cookies[COOKIE])
    assert session
    assert session.principal == THE_OPERATOR
    return session.csrf


async def test_a_link_signs_the_operator_in_once(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    token = stand.access.make_link()
    answer = await browser.get("/sign-in", params={"token": token})
    cookie = answer.headers["set-cookie"]
    assert (answer.status_code, token in answer.headers["location"]) == (303, False)
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age="))
    assert (await browser.get("/v1/principal")).json() == {
        "who": "operator",
        "kind": "local",
        "grants": {"*": ["admin", "operator"]},
    }
    assert "Signed in as operator" in (await browser.get("/", follow_redirects=True)).text
    assert (await browser.get("/sign-in", params={"token": token})).status_code == 401


@pytest.mark.parametrize("token", ["", "guessed", "\udcff"])
async def test_a_guessed_link_is_refused(browser: httpx.AsyncClient, token: str) -> None:
    answer = await browser.get("/sign-in?token=" + token.encode("utf-8", "surrogateescape").hex())
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


async def test_a_link_is_good_for_a_quarter_of_an_hour(
    stand: ApiStand, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "LINK_LASTS", timedelta(0))
    assert (await browser.get("/sign-in", params={"token": stand.access.make_link()})).status_code == 401


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "10.0.0.7", "[::ffff:10.0.0.7]"])
async def test_a_link_is_good_on_the_loopback_address_only(
    stand: ApiStand, browser: httpx.AsyncClient, host: str
) -> None:
    token = stand.access.make_link()
    assert (await browser.get("/sign-in", params={"token": token}, headers={"Host": host})).status_code == 401
    elsewhere = await stand.outside("GET", f"/sign-in?token={token}", headers={"Host": "127.0.0.1:8400"})
    assert elsewhere.status_code == 401
    assert (await browser.get("/sign-in", params={"token": token})).status_code == 303


async def test_a_session_that_was_planted_is_not_the_one_that_signs_in(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    planted = stand.access.open_session(THE_OPERATOR)
    browser.cookies.set(COOKIE, planted, domain="127.0.0.1")
    await browser.get("/sign-in", params={"token": stand.access.make_link()})
    given = [cookie.value for cookie in browser.cookies.jar if cookie.name == COOKIE]
    assert planted not in given or len(given) > 1
    assert stand.access.session(planted) is None


async def test_a_session_ends_after_its_time(
    stand: ApiStand, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "SESSION_LASTS", timedelta(0))
    await browser.get("/sign-in", params={"token": stand.access.make_link()})
    assert (await browser.get("/v1/accounts")).status_code == 401


async def test_signing_out_ends_the_session_at_the_server(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    csrf = await sign_in(stand, browser)
    secret = browser.cookies[COOKIE]
    assert (await browser.post("/sign-out", data={CSRF_FIELD: csrf})).status_code == 303
    assert stand.access.session(secret) is None
    assert COOKIE not in browser.cookies
    assert (await browser.get("/v1/accounts", headers={"Cookie": f"{COOKIE}={secret}"})).status_code == 401


NEW = {"account": "acme", "tier": "pro", "master_user": "jane"}


async def test_a_command_by_a_session_needs_the_token_of_its_pages(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    csrf = await sign_in(stand, browser)
    for headers in ({}, {CSRF_HEADER: "guessed"}, {CSRF_HEADER: ""}):
        answer = await browser.post("/v1/accounts", json=NEW, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems#forbidden")
    assert (await browser.post("/sign-out")).status_code == 403
    assert (await browser.post("/sign-out", data={CSRF_FIELD: "guessed"})).status_code == 403
    assert (await browser.post("/v1/accounts", json=NEW, headers={CSRF_HEADER: csrf})).status_code == 201


async def test_the_token_of_another_session_is_refused(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    other = stand.access.session(stand.access.open_session(THE_OPERATOR))
    assert other
    await sign_in(stand, browser)
    answer = await browser.post("/v1/accounts", json=NEW, headers={CSRF_HEADER: other.csrf})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "https://attacker.example/",
        "//attacker.example/",
        "/\\attacker.example/",
        "\\\\attacker.example",
        "/\tattacker.example",
        "javascript:alert(1)",
        "attacker.example",
        "/ok\r\nSet-Cookie: a=b",
        "/\n/attacker.example",
        "",
    ],
)
async def test_signing_in_leads_to_pages_of_our_own_only(
    stand: ApiStand, browser: httpx.AsyncClient, path: str
) -> None:
    answer = await browser.get("/sign-in", params={"token": stand.access.make_link(), "next": path})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert len(answer.headers.get_list("set-cookie")) == 1


def test_a_page_of_our_own_is_where_signing_in_leads() -> None:
    assert own_path("/drivers?account=acme#1") == "/drivers?account=acme#1"


@pytest.mark.parametrize("path", ["/", "/problems", "/v1/accounts", "/nowhere"])
async def test_no_page_can_be_framed_or_guessed_at_by_others(
    stand: ApiStand, browser: httpx.AsyncClient, path: str
) -> None:
    await sign_in(stand, browser)
    headers = (await browser.get(path)).headers
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")


async def test_a_body_that_comes_too_slowly_is_refused(stand: ApiStand) -> None:
    stand.limit_to(Limits(slowest_body=0.05))

    async def dribbled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await stand.send("/accounts", dribbled())
    assert (answer.status_code, answer.json()["type"]) == (408, "/problems#too-slow")


async def test_a_body_is_not_read_before_it_is_known_who_sends_it(stand: ApiStand) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1_000_000
            asked.append(1)

    asked: list[int] = []
    answer = await stand.outside("POST", "/v1/accounts", content=endless(), json=None)
    assert (answer.status_code, len(asked) < 3) == (401, True)


@pytest.mark.parametrize("given", ["Bearer", "Bearer x", "Basic !", "Basic eDp5", "Digest x", "Bearer dlk_a_b", "dlk"])
async def test_what_is_not_a_key_is_refused(stand: ApiStand, given: str) -> None:
    answer = await stand.outside("GET", "/v1/accounts", headers={"Authorization": given})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_key_may_be_the_password_of_an_address(stand: ApiStand) -> None:
    key = stand.key({EVERYWHERE: frozenset({Role.VIEWER})})
    assert (await stand.outside("GET", "/v1/accounts", auth=("any", key))).status_code == 200


async def test_a_key_that_is_refused_does_not_fall_back_to_a_session(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await sign_in(stand, browser)
    assert (await browser.get("/v1/accounts", headers={"Authorization": "Bearer dlk_a_b"})).status_code == 401
