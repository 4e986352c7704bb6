"""Every route with every role, and without proof of who asks: exactly those that the table allows get in."""

import asyncio
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from domain.account import Role
from services.api.app import new_app
from services.api.authentication import ACCESS_ROWS
from services.api.permissions import EVERYWHERE, PERMISSIONS, Principal, PrincipalKind, Scope
from services.api.routing import GuardedRoute, new_router
from tests.unit.services.api.api_stand import ApiStand, to_path

pytestmark = pytest.mark.anyio

ROUTES = [route for route in new_app().routes if isinstance(route, APIRoute)]
SIGNED = ("/v1/accounts/{account}/changes", "/v1/accounts/{account}/hints/motive")
"""Who sends what these take is proved by a signature of the body."""

GUARDED = [route for route in ROUTES if PERMISSIONS[route.name].scope is not Scope.PUBLIC]


def names(route: APIRoute) -> str:
    return route.name


async def passed(stand: ApiStand, route: APIRoute, key: str, account: str = "acme") -> bool:
    """Whether a request with this key gets past the guard; its body is not JSON, so that nothing comes of it."""
    path = to_path(route, account)
    method = min(route.methods or ())
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    answer = await stand.outside(method, path, content=b"{", json=None, headers=headers)
    kind = answer.json().get("type", "") if answer.headers.get("content-type") == "application/problem+json" else ""
    assert (answer.status_code == 401) == (kind == "/problems#unauthenticated")
    return kind not in ("/problems#unauthenticated", "/problems#forbidden")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiStand]:
    """One for all tests: none of them changes an account."""
    stand = ApiStand(tmp_path_factory.mktemp("data"))
    managed = {"master_user": "eve", "account_manager": "bob"}
    for account, people in {"acme": {"master_user": "jane"}, "beta": {"master_user": "jane"}, "gamma": managed}.items():
        body = {"account": account, "tier": "pro", **people}
        assert asyncio.run(stand.post("/accounts", body)).is_success
    yield stand
    stand.close()


@pytest.mark.parametrize("route", GUARDED, ids=names)
async def test_every_route_takes_its_roles_and_no_others(stand: ApiStand, route: APIRoute) -> None:
    permission = PERMISSIONS[route.name]
    assert not await passed(stand, route, "")
    assert not await passed(stand, route, "dlk_000000000000_guessed")
    for role in Role:
        # Only the account makes somebody its Master User: in a grant the role counts for nothing.
        is_any, takes = permission.scope is Scope.ANY, role in permission.roles - {Role.MASTER_USER}
        everywhere = stand.key({EVERYWHERE: frozenset({role})})
        assert await passed(stand, route, everywhere) == (takes or is_any), role
        own, other = stand.key({"acme": frozenset({role})}), stand.key({"beta": frozenset({role})})
        is_own = (takes and "{account}" in route.path) or is_any
        assert await passed(stand, route, own) == is_own, role
        assert await passed(stand, route, other) == (is_own and is_any), role


@pytest.mark.parametrize("route", GUARDED, ids=names)
async def test_the_master_user_and_the_account_manager_have_their_own_account_only(
    stand: ApiStand, route: APIRoute
) -> None:
    permission = PERMISSIONS[route.name]
    for who, role in (("eve", Role.MASTER_USER), ("bob", Role.ACCOUNT_MANAGER)):
        person = Principal(who=who, kind=PrincipalKind.PERSON, grants={})
        is_own = role in permission.roles and "{account}" in route.path
        assert await stand.passes(person, route, "gamma") == (is_own or permission.scope is Scope.ANY)
        assert await stand.passes(person, route, "acme") == (permission.scope is Scope.ANY)
        named_so = Principal(who=who, kind=PrincipalKind.KEY, grants={})
        assert await stand.passes(named_so, route, "gamma") == (permission.scope is Scope.ANY)


@pytest.mark.parametrize("path", ["/status", "/issues", "/events"])
async def test_a_query_names_the_account_that_a_key_is_for(stand: ApiStand, path: str) -> None:
    key = {"Authorization": f"Bearer {stand.key({'acme': frozenset({Role.VIEWER})})}"}
    assert (await stand.outside("GET", f"/v1{path}?account=ACME", headers=key)).status_code == 200
    assert (await stand.outside("GET", f"/v1{path}?account=beta", headers=key)).status_code == 403
    assert (await stand.outside("GET", f"/v1{path}?account=acme&account=beta", headers=key)).status_code == 403
    assert (await stand.outside("GET", f"/v1{path}", headers=key)).status_code == 403


async def test_a_caller_does_not_learn_which_other_accounts_there_are(stand: ApiStand) -> None:
    key = {"Authorization": f"Bearer {stand.key({'acme': frozenset({Role.VIEWER})})}"}
    answers = [await stand.outside("GET", f"/v1/accounts/{name}", headers=key) for name in ("beta", "nobody")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json()["detail"].replace("beta", "nobody") == answers[1].json()["detail"]
    listed = await stand.outside("GET", "/v1/accounts", headers=key)
    assert [each["account"] for each in listed.json()] == ["acme"]


def test_every_row_has_its_route_and_every_route_its_row() -> None:
    assert sorted(PERMISSIONS) == sorted(route.name for route in ROUTES)
    assert all(isinstance(route, GuardedRoute) for route in ROUTES)


def test_a_route_without_a_row_cannot_be_built() -> None:
    router = new_router("open")

    async def open_to_all() -> None: ...

    with pytest.raises(LookupError, match="the route open_to_all has no row"):
        router.get("/open")(open_to_all)


def test_public_routes_are_few() -> None:
    public = {route.path for route in ROUTES if PERMISSIONS[route.name].scope is Scope.PUBLIC}
    assert public == {
        *("/live", "/ready", "/sign-in", "/sign-out", "/oidc/login", "/oidc/callback"),
        *("/", "/console/static/{name}", *SIGNED),
    }


async def test_only_digests_of_secrets_are_stored(stand: ApiStand) -> None:
    key = stand.key({EVERYWHERE: frozenset({Role.ADMIN})})
    await stand.outside("GET", "/v1/accounts", headers={"Authorization": f"Bearer {key}"})
    stored = [str(row) for kind in ACCESS_ROWS for row in stand.access_rows(kind)]
    assert stored
    assert not [row for row in stored if key.split("_", 2)[2] in row]


async def test_a_refusal_does_not_say_whether_there_is_an_account(stand: ApiStand) -> None:
    """Nor does the letter case in which it is named: each is refused in the words of the request."""
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    key = {"Authorization": f"Bearer {stand.key({'other': frozenset({Role.ADMIN})})}"}
    for name in ("ACME", "NONE"):
        for path in (f"/v1/accounts/{name}", f"/v1/events?account={name}"):
            answer = await stand.outside("GET", path, headers=key)
            assert (answer.status_code, answer.json()["detail"].rpartition(" ")[2]) == (403, name)
