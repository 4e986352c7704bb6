"""People sign in with a real OpenID Connect provider, which is a process of its own."""

import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from json import dumps
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import Key, KeySet, OctKey, RSAKey

from domain.account import Role
from services.api.authentication import CSRF_HEADER, LoginAttempt, Provider, ProviderSettings, SignInFailed, to_grants
from services.api.routing import RequestRates
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET
from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio

US = "https://sync.fleet.test"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The address of the provider, which runs."""
    words = [sys.executable, "-m", "tests.support.oidc_provider", f"{US}/oidc/callback"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
async def people(stand: ApiStand, issuer: str) -> ApiStand:
    """An installation with this provider, and an account whose Master User is Maria."""
    stand.sign_in_by(Provider(settings(issuer)))
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "maria"})
    await stand.post("/accounts", {"account": "beta", "tier": "pro", "master_user": "jane"})
    return stand


def settings(issuer: str, secret: str = CLIENT_SECRET) -> ProviderSettings:
    return ProviderSettings(
        issuer=issuer,
        client_id=CLIENT_ID,
        client_secret=secret,
        public_url=US,
        user_claim="preferred_username",
        roles_claim="driverlink_roles",
    )


@pytest.fixture
async def browser(people: ApiStand) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(people.app), base_url=US) as client:
        yield client


async def at_provider(browser: httpx.AsyncClient, login: str, next_page: str = "/") -> str:
    """Sign in at the provider; where it sends the browser back to."""
    leads = (await browser.get("/oidc/login", params={"next": next_page})).headers["location"]
    async with httpx.AsyncClient() as outside:
        answer = await outside.get(f"{leads}&login={login}")
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


async def test_the_master_user_signs_in_and_has_their_own_account_only(
    people: ApiStand, browser: httpx.AsyncClient
) -> None:
    answer = await browser.get(await at_provider(browser, "maria", "/drivers"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/drivers")
    session = people.access.session(browser.cookies["__Host-driverlink"])
    assert session
    assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie")[:1])
    assert (await browser.get("/v1/principal")).json() == {"who": "maria", "kind": "person", "grants": {}}
    assert [each["account"] for each in (await browser.get("/v1/accounts")).json()] == ["acme"]
    turned = await browser.post("/v1/accounts/acme/sync", json={"on": True}, headers={CSRF_HEADER: session.csrf})
    assert (turned.status_code, turned.json()["sync"]) == (200, "on")
    assert (await browser.get("/v1/accounts/beta")).status_code == 403


async def test_roles_are_those_that_the_provider_grants(browser: httpx.AsyncClient) -> None:
    await browser.get(await at_provider(browser, "olga"))
    assert (await browser.get("/v1/principal")).json()["grants"] == {"acme": ["operator"]}
    browser.cookies.clear()
    await browser.get(await at_provider(browser, "ada"))
    assert (await browser.get("/v1/principal")).json()["grants"] == {"*": ["admin"]}


async def test_an_answer_of_the_provider_is_taken_once_and_from_the_same_browser_only(
    people: ApiStand, browser: httpx.AsyncClient
) -> None:
    back = await at_provider(browser, "maria")
    path = back.removeprefix(US)
    stolen = await people.outside("GET", path)
    assert (stolen.status_code, stolen.json()["type"]) == (403, "/problems#sign-in-failed")
    assert (await browser.get(back)).status_code == 303
    assert (await browser.get(back)).status_code == 403


async def test_a_changed_state_or_code_is_refused(browser: httpx.AsyncClient) -> None:
    for name in ("state", "code"):
        query = {
            key: values[0] for key, values in parse_qs(urlsplit(await at_provider(browser, "maria")).query).items()
        }
        answer = await browser.get("/oidc/callback", params={**query, name: "guessed"})
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems#sign-in-failed")
        assert "__Host-driverlink" not in browser.cookies


async def test_a_session_from_before_does_not_outlive_signing_in(people: ApiStand, browser: httpx.AsyncClient) -> None:
    await browser.get(await at_provider(browser, "maria"))
    before = browser.cookies["__Host-driverlink"]
    await browser.get(await at_provider(browser, "olga"))
    assert people.access.session(before) is None
    assert (await browser.get("/v1/principal")).json()["who"] == "olga"


async def test_signing_in_leads_to_pages_of_our_own_only(browser: httpx.AsyncClient) -> None:
    back = await browser.get(await at_provider(browser, "maria", "//attacker.example"))
    assert back.headers["location"] == "/"


async def test_who_calls_themselves_like_the_operator_or_a_key_is_refused(browser: httpx.AsyncClient) -> None:
    for name in ("operator", "key:admin"):
        assert (await browser.get(await at_provider(browser, name))).status_code == 403


@pytest.mark.parametrize("name", ["maria\u200b", "mari\u00ada", "maria\u00a0", "a" * 300])
async def test_who_calls_themselves_nearly_like_another_person_is_not_that_person(
    browser: httpx.AsyncClient, name: str
) -> None:
    answer = await browser.get(await at_provider(browser, name))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems#sign-in-failed")


async def test_an_e_mail_address_names_a_person_only_once_the_provider_has_verified_it(
    people: ApiStand, browser: httpx.AsyncClient, issuer: str
) -> None:
    people.sign_in_by(Provider(replace(settings(issuer), user_claim="email")))
    assert (await browser.get(await at_provider(browser, "maria"))).status_code == 303
    assert (await browser.get("/v1/principal")).json()["who"] == "maria@fleet.test"
    refused = await browser.get(await at_provider(browser, "olga"))
    assert (refused.status_code, "has not verified" in refused.json()["detail"]) == (403, True)


FORGED = {
    "without a signature": {"alg": "none"},
    "signed with our secret": {"alg": "HS256"},
    "for another client": {"aud": "another"},
    "for several, and another one": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "of another provider": {"iss": "https://attacker.example"},
    "of another attempt": {"nonce": "another"},
    "over": {"exp": 1},
    "without an end": {"exp": None},
    "without a nonce": {"nonce": None},
    "signed with another key": {"key": None},
}


def unsigned(claims: Mapping[str, object]) -> str:
    parts = (urlsafe_b64encode(dumps(each).encode()).decode().rstrip("=") for each in ({"alg": "none"}, claims))
    return f"{'.'.join(parts)}."


@pytest.mark.parametrize("forged", FORGED.values(), ids=[*FORGED])
def test_a_forged_token_signs_nobody_in(forged: dict[str, object]) -> None:
    own, foreign = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
    provider = Provider(settings("https://login.fleet.test"))
    good = {"iss": "https://login.fleet.test", "aud": CLIENT_ID, "nonce": "n", "exp": 2**33, "sub": "maria"}

    def checked(claims: Mapping[str, object], alg: str, key: Key) -> Mapping[str, object]:
        token = jwt.encode({"alg": alg}, dict(claims), key, algorithms=[alg]) if alg != "none" else unsigned(claims)
        return provider._checked(token, KeySet([own]).as_dict(private=False), "n")

    assert checked(good, "RS256", own)["sub"] == "maria"
    alg = str(forged.get("alg", "RS256"))
    claims = {
        name: value for name, value in {**good, **forged}.items() if name in good | {"azp": 0} and value is not None
    }
    key: Key = foreign if "key" in forged else OctKey.import_key(CLIENT_SECRET) if alg == "HS256" else own
    with pytest.raises(SignInFailed):
        checked(claims, alg, key)


async def test_a_wrong_secret_and_a_provider_that_is_away_are_refused(
    people: ApiStand, browser: httpx.AsyncClient, issuer: str
) -> None:
    people.sign_in_by(Provider(settings(issuer, secret="wrong")))
    answer = await browser.get(await at_provider(browser, "maria"))
    assert (answer.status_code, "wrong" in answer.text) == (403, False)
    people.sign_in_by(Provider(settings("http://127.0.0.1:1")))
    assert (await browser.get("/oidc/login")).status_code == 403
    people.sign_in_by(Provider(settings(f"{issuer}/")))
    assert "calls itself otherwise" in (await browser.get("/oidc/login")).json()["detail"]


async def test_strangers_cannot_begin_without_bound(people: ApiStand, browser: httpx.AsyncClient) -> None:
    people.app.state.rates = RequestRates(2, lambda: 0.0)
    begun = [(await browser.get("/oidc/login", params={"next": "/" + "a" * 3000})).status_code for _ in range(4)]
    assert begun == [303, 303, 429, 429]
    attempts = people.access_rows(LoginAttempt)
    assert [each.next for each in attempts if isinstance(each, LoginAttempt)] == ["/", "/"]


async def test_without_a_provider_signing_in_says_so(stand: ApiStand) -> None:
    assert "DRIVERLINK_OIDC_ISSUER" in (await stand.outside("GET", "/oidc/login")).json()["detail"]


@pytest.mark.parametrize(
    ("stated", "grants"),
    [
        ("viewer operator:acme", {"*": {Role.VIEWER}, "acme": {Role.OPERATOR}}),
        (["admin", "master_user:acme", "rain", 7], {"*": {Role.ADMIN}}),
        ({"admin": True}, {}),
        (None, {}),
    ],
)
def test_only_roles_that_can_be_granted_are(stated: object, grants: dict[str, set[Role]]) -> None:
    assert to_grants(stated) == grants
