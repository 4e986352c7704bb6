"""A stand-in for the Driveri API over real HTTP.

Source: driveri-python-sdk 1.0.0; what is assumed beyond it is in docs/reference/sandbox.md.

Who calls Driveri: an API key by Basic authorization, or one of its tokens by Bearer.

Source: driveri-python-sdk 1.0.0.

Driveri's side of the faults: what its calls are, how it says no, and its tokens.
"""

import base64
import binascii
import re
from asyncio import sleep
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from services.sandbox.control import NO_FAULTS, with_faults
from services.sandbox.driveri import writing
from services.sandbox.driveri.seed import (
    CREATE_TOKEN,
    DELETE_TOKEN,
    UPDATE_DRIVERS,
    VIEW_CONFIGURATIONS,
    VIEW_DRIVERS,
    VIEW_TOKENS,
    DriveriState,
    shown_statuses,
)
from services.sandbox.driveri.tenant import Client, Driver, Tenant, Token, as_read, group_names
from services.sandbox.driveri.wire import (
    Refused,
    check_known,
    envelope,
    flag,
    invalid,
    message,
    not_modelled,
    page_asked_for,
    page_links,
    problem,
    query_asked_for,
    stated,
    written_driver,
    written_drivers,
    written_update,
)
from services.sandbox.faults.faulting import Pause
from services.sandbox.faults.faults import Served, Trait, arrangement_of, is_hollow
from services.sandbox.journal import note_effect, note_owner
from services.sandbox.state import Now, wall_clock

_ONE_BY: Final = ("driverId", "email", "userName")
_PREFERENCES: Final = "includeDriverPreferences"
_PAGE: Final = ("offset", "limit", "state", "showAll", "group", "fromDate", "toDate", _PREFERENCES)
_UNMODELLED: Final = (
    "driverAssignment",
    "drivers/communications",
    "eld/configurations",
    "fleet/configurations",
    "supported/timezones",
    "tenant/driverGroups",
    "webhooks/{rest:path}",
    "groups",
    "users",
    "vehicles",
)
"""Calls below a tenant that the vendor documents, and of which clients of drivers may think."""

Endpoint = Callable[[Request], Awaitable[Response]]


def application(seed: object, now: Now = wall_clock, faults: object = NO_FAULTS, pause: Pause = sleep) -> Starlette:
    """The Driveri API below `/v1` and the sandbox's own endpoints below `/sandbox`.

    Raises `SeedRefused` or `FaultsRefused`.
    """
    state = DriveriState(seed, now)
    api = Starlette(
        routes=[*_Tokens(state).routes(), *_Drivers(state).routes()],
        exception_handlers=dict.fromkeys((Refused, HTTPException), _Problems(state).answer),
    )
    api.router.redirect_slashes = False
    return with_faults("driveri", state, FaultyDriveri(state), api, now=now, pause=pause, faults=faults)


class _Problems:
    """How Driveri says no."""

    def __init__(self, state: DriveriState) -> None:
        self._state = state

    async def answer(self, request: Request, error: Exception) -> Response:
        refused = error if isinstance(error, Refused) else Refused(404, "NO_SUCH_CALL", "there is no such call")
        body = problem(
            at=self._state.now(),
            path=request.url.path,
            refused=refused,
            reason=HTTPStatus(refused.status).phrase,
            is_at_the_top=self._is_at_the_top(request),
        )
        return JSONResponse(body, status_code=refused.status)

    def _is_at_the_top(self, request: Request) -> bool:
        tenant = self._state.tenants.get(request.path_params.get("tenant", ""))
        is_of_tenant = "/tenants/" in request.url.path
        return not is_of_tenant or (tenant is not None and tenant.assumptions.errors == "at_the_top")


def _route(method: str, path: str, endpoint: Endpoint, *parameters: str) -> Route:
    """A call with the parameters that it knows; what it would ignore is refused."""

    async def checked(request: Request) -> Response:
        check_known(request.query_params, parameters)
        return await endpoint(request)

    return Route(path, checked, methods=[method])


async def _not_modelled(request: Request) -> Response:
    raise not_modelled(f"{request.method} {request.url.path}")


class _Tokens:
    """The calls about tokens."""

    def __init__(self, state: DriveriState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            _route("POST", "/v1/auth/token", self.issue),
            _route("GET", "/v1/auth/tokens", self.active),
            _route("DELETE", "/v1/auth/token/revoke", self.revoke_own),
            _route("DELETE", "/v1/auth/token/revoke/{token_id}", self.revoke),
        ]

    async def issue(self, request: Request) -> Response:
        client = self._client(request, CREATE_TOKEN)
        keys, assumptions = self._state.keys, self._state.tenants[client.tenant].assumptions
        token = keys.issue(client, self._state.now())
        if token is None and assumptions.third_token == "oldest_revoked":  # noqa: S105 - what happens to a third one
            keys.revoke(keys.active(client, self._state.now())[0])
            token = keys.issue(client, self._state.now())
        if token is None:
            raise Refused(400, "TOO_MANY_TOKENS", "this key has as many active tokens as it may have")
        return JSONResponse(envelope(token.shown()))

    async def active(self, request: Request) -> Response:
        client = self._client(request, VIEW_TOKENS)
        shown = [token.shown() for token in self._state.keys.active(client, self._state.now())]
        if self._state.tenants[client.tenant].assumptions.listed_tokens == "without_secrets":
            shown = [{**token, "accessToken": None} for token in shown]
        return JSONResponse(envelope(shown))

    async def revoke_own(self, request: Request) -> Response:
        token = authorized_token(request, self._state)
        _check_scope(token.client, DELETE_TOKEN)
        self._state.keys.revoke(token)
        return JSONResponse(message("revoked"))

    async def revoke(self, request: Request) -> Response:
        wanted = request.path_params["token_id"]
        for token in self._state.keys.active(self._client(request, DELETE_TOKEN), self._state.now()):
            if token.token_id == wanted:
                self._state.keys.revoke(token)
                return JSONResponse(message("revoked"))
        raise Refused(404, "TOKEN_NOT_FOUND", "this key does not have that token")

    def _client(self, request: Request, scope: str) -> Client:
        client = authorized_client(request, self._state)
        _check_scope(client, scope)
        return client


class _Drivers:
    """The calls about a tenant's drivers.

    A write awaits its body first and nothing after it, so that no seeding comes between.
    """

    def __init__(self, state: DriveriState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        tenant = "/v1/tenants/{tenant}"
        return [
            _route("GET", f"{tenant}/configurations", self.configurations),
            _route("GET", f"/v2{tenant.removeprefix('/v1')}/configurations", self.configurations),
            _route("GET", f"{tenant}/drivers", self.page, *_PAGE),
            _route("GET", f"{tenant}/driver", self.one, *_ONE_BY, "group", _PREFERENCES),
            _route("POST", f"{tenant}/drivers", self.create, "reinstateDriver"),
            _route("POST", f"{tenant}/bulk/drivers", self.create_all),
            _route("PUT", f"{tenant}/drivers/{{driver_id:path}}", self.update),
            *(Route(f"{tenant}/{path}", _not_modelled, methods=["GET"]) for path in _UNMODELLED),
        ]

    async def configurations(self, request: Request) -> Response:
        tenant = self._tenant(request, VIEW_CONFIGURATIONS)
        known: dict[str, object] = {
            "driverStatus": shown_statuses(tenant),
            "authorizedToDriveStatus": [
                {"authorizedToDrive": 0, "description": "Not authorized"},
                {"authorizedToDrive": 1, "description": "Authorized"},
            ],
            "groupAction": [
                {"key": "ADD", "description": "Add to a group"},
                {"key": "REMOVE", "description": "Remove from a group"},
            ],
        }
        is_flat = tenant.assumptions.configurations == "flat"
        return JSONResponse(envelope(known if is_flat else {"configuration": known}))

    async def page(self, request: Request) -> Response:
        tenant = self._tenant(request, VIEW_DRIVERS).shown(self._state.now())
        offset, limit = page_asked_for(request.query_params, tenant.assumptions)
        drivers, total = tenant.page(query_asked_for(request.query_params), offset, limit, arrangement_of(request))
        links = _links(tenant, page_links(request.url, offset=offset, limit=limit, total=total))
        stated = total if tenant.assumptions.total_count == "stated" else None
        return JSONResponse(envelope(_shown(request, tenant, drivers), links=links, total=stated))

    async def one(self, request: Request) -> Response:
        tenant = self._tenant(request, VIEW_DRIVERS).shown(self._state.now())
        drivers = _asked_for(tenant, request)
        if not drivers and tenant.assumptions.look_up_miss == "not_found":
            raise writing.unknown_driver()
        return JSONResponse(envelope(_shown(request, tenant, drivers)))

    async def create(self, request: Request) -> Response:
        body = await request.body()
        tenant = self._tenant(request, UPDATE_DRIVERS)
        written = written_driver(body)
        reinstate = flag(request.query_params, "reinstateDriver")
        is_kept = not is_hollow(request)
        effect = writing.create(tenant, written, reinstate=reinstate, at=self._state.now(), is_kept=is_kept)
        note_effect(request, effect)
        return _written(tenant, "driver added")

    async def create_all(self, request: Request) -> Response:
        """One message for all: a row that cannot be taken is left out without a word."""
        body = await request.body()
        tenant = self._tenant(request, UPDATE_DRIVERS)
        for written in written_drivers(body, tenant.assumptions.longest_bulk):
            try:
                effect = writing.create(tenant, written, reinstate=False, at=self._state.now())
            except Refused:
                continue
            note_effect(request, effect)
        return _written(tenant, "drivers processed")

    async def update(self, request: Request) -> Response:
        body = await request.body()
        tenant = self._tenant(request, UPDATE_DRIVERS)
        written = written_update(body)
        driver_id = request.path_params["driver_id"]
        note_effect(request, writing.update(tenant, driver_id, written, at=self._state.now()))
        return _written(tenant, "driver updated")

    def _tenant(self, request: Request, scope: str) -> Tenant:
        name = request.path_params["tenant"]
        note_owner(request, name)
        client = authorized_token(request, self._state).client
        if client.tenant != name:
            raise Refused(403, "FORBIDDEN", "the token is for another tenant")
        _check_scope(client, scope)
        return self._state.tenants[name]


def _check_scope(client: Client, scope: str) -> None:
    if scope not in client.scopes:
        raise Refused(403, "FORBIDDEN", f"the API key lacks the scope {scope}")


def _links(tenant: Tenant, links: dict[str, str | None]) -> dict[str, str | None] | None:
    match tenant.assumptions.links:
        case "left_out":
            return None
        case "relative":
            return {name: link and link[link.index("?") :] for name, link in links.items()}
    return links


def _written(tenant: Tenant, text: str) -> Response:
    is_empty = tenant.assumptions.write_answers == "empty"
    return Response(status_code=200) if is_empty else JSONResponse(message(text))


def _asked_for(tenant: Tenant, request: Request) -> list[Driver]:
    found = _found(tenant, stated(request.query_params, *_ONE_BY))
    if group := request.query_params.get("group"):
        found = [driver for driver in found if group in group_names(driver)]
    if tenant.assumptions.look_up_deleted == "hidden":
        return [driver for driver in found if driver.status != tenant.statuses.deleted]
    return found


def _found(tenant: Tenant, named: dict[str, str]) -> list[Driver]:
    if len(named) > 1:
        raise not_modelled("a search by more than one of driverId, email, userName")
    match named:
        case {"driverId": driver_id}:
            driver = tenant.find(driver_id)
            return [driver] if driver else []
        case {"email": email}:
            return tenant.with_email(email)
        case {"userName": user_name}:
            return tenant.with_user_name(user_name)
    raise invalid("one of driverId, email, userName is required")


def _shown(request: Request, tenant: Tenant, drivers: list[Driver]) -> dict[str, object]:
    preferences = flag(request.query_params, _PREFERENCES)
    shown = [as_read(driver, preferences=preferences, assumptions=tenant.assumptions) for driver in drivers]
    return {"drivers": shown}


def authorized_client(request: Request, state: DriveriState) -> Client:
    """The API key of a call with Basic authorization; raises `Refused`."""
    credentials = _decoded(_authorization(request, "basic"))
    client_id, _, client_secret = credentials.partition(":")
    client = state.keys.client(client_id, client_secret)
    if client is None:
        raise _unauthorized("no such API key")
    return client


def authorized_token(request: Request, state: DriveriState) -> Token:
    """The active token of a call with Bearer authorization, in whatever letter case; raises `Refused`."""
    token = state.keys.token(_authorization(request, "bearer"), state.now())
    if token is None:
        raise _unauthorized("the token is unknown, revoked or expired")
    return token


def _authorization(request: Request, wanted_scheme: str) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != wanted_scheme:
        raise _unauthorized(f"this call wants {wanted_scheme} authorization")
    return credentials.strip()


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _unauthorized("the basic authorization cannot be decoded") from None


def _unauthorized(text: str) -> Refused:
    return Refused(401, "UNAUTHORIZED", text)


_DRIVERS: Final = re.compile("/v1/tenants/([^/]+)/drivers")
_TENANT: Final = re.compile("/v[12]/tenants/([^/]+)/")


class FaultyDriveri:
    """See `FaultyVendor`."""

    def __init__(self, state: DriveriState) -> None:
        self._state = state

    def served(self, scope: Scope) -> Served:
        """The call, as rules look at it."""
        method, path = scope["method"], scope["path"]
        return Served(method=method, path=path, account=self._account(scope), traits=frozenset(_traits(Request(scope))))

    def refusal(self, scope: Scope, status: int, headers: dict[str, str]) -> Response:
        """An error in Driveri's form."""
        refused = Refused(status, "NOT_NOW", "not now")
        body = problem(
            at=self._state.now(),
            path=scope["path"],
            refused=refused,
            reason=HTTPStatus(status).phrase,
            is_at_the_top="/tenants/" not in scope["path"],
        )
        return JSONResponse(body, status_code=status, headers=headers)

    def expire_token(self, scope: Scope) -> None:
        """End the access token of the call, which the API then refuses."""
        try:
            self._state.keys.revoke(authorized_token(Request(scope), self._state))
        except Refused:
            return

    def take_tokens(self, scope: Scope) -> None:
        """Issue tokens of the call's API key until there are as many as there may be."""
        try:
            client = authorized_client(Request(scope), self._state)
        except Refused:
            return
        while self._state.keys.issue(client, self._state.now()):
            pass

    def _account(self, scope: Scope) -> str | None:
        if found := _TENANT.match(scope["path"]):
            return found[1]
        try:
            return authorized_client(Request(scope), self._state).tenant
        except Refused:
            return None


def _traits(request: Request) -> set[Trait]:
    call = (request.method, "drivers" if _DRIVERS.fullmatch(request.url.path) else request.url.path)
    match call:
        case ("POST", "drivers"):
            return {Trait.CREATE, Trait.TOKEN_USE}
        case ("GET", "drivers"):
            is_first = request.query_params.get("offset", "0") in ("", "0")
            return {Trait.PAGE, Trait.TOKEN_USE} if is_first else {Trait.PAGE, Trait.LATER_PAGE, Trait.TOKEN_USE}
        case ("POST", "/v1/auth/token"):
            return {Trait.TOKEN_REQUEST}
    return {Trait.TOKEN_USE} if _TENANT.match(request.url.path) else set()
