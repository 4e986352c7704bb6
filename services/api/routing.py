"""What every route is made with: its router, its guard, its rate, the installation, and the account in its path."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from math import ceil
from time import monotonic
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from domain.account import Account
from services.accounts.handlers import UnknownAccount, account_of
from services.api import V1
from services.api.authentication import SAFE, authenticate
from services.api.idempotency import HEADER, IdempotencyKey, answer_again, answer_once, kept_answer, key_of
from services.api.installation import Installation
from services.api.permissions import (
    PERMISSIONS,
    Caller,
    Forbidden,
    Permission,
    Principal,
    PrincipalKind,
    Scope,
    Unauthenticated,
)
from services.api.schema import Malformed, Problem


class GuardedRoute(APIRoute):
    """A route that first asks who may use it, before it reads a body. Without a row in `PERMISSIONS` it has no handler.

    Raises `LookupError` when it is built without one.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        if self.name not in PERMISSIONS:
            raise LookupError(f"the route {self.name} has no row in services/api/permissions.py")
        permission, handler = PERMISSIONS[self.name], super().get_route_handler()
        names_account = any(each.alias == "account" for each in self.dependant.query_params)

        async def guarded(request: Request) -> Response:
            if permission.scope is Scope.PUBLIC:
                return await handler(request)
            try:
                principal, key = await _authenticated(request)
                kept = await kept_answer(request.app.state.installation, key) if key else None
                if kept is None:
                    await _permit(request, principal, permission, names_account=names_account)
            except (Unauthenticated, Forbidden, UnknownAccount, RateExceeded, Malformed):
                await _discard_body(request)
                raise
            if key and kept:
                response = await answer_again(request, key, kept)
            else:
                response = await (answer_once(request, key, handler) if key else handler(request))
            response.headers.update(getattr(request.state, "rate", {}))
            return response

        return guarded


_MOST_DISCARDED = 2**20
_LONGEST_DISCARD = 1.0


async def _discard_body(request: Request) -> None:
    """Read what a refused client is sending, within bounds: else it may learn that it broke off, and not why."""
    size = 0
    with suppress(TimeoutError, ClientDisconnect, HTTPException):
        async with asyncio.timeout(_LONGEST_DISCARD):
            async for part in request.stream():
                size += len(part)
                if size > _MOST_DISCARDED:
                    return


async def _authenticated(request: Request) -> tuple[Principal, IdempotencyKey | None]:
    """Whose request it is, and the key of a command. Raises `Unauthenticated`, `RateExceeded`, `Malformed`."""
    installation = await _installation_of(request)
    principal = await authenticate(request, installation.access)
    if principal.kind is not PrincipalKind.LOCAL:
        request.state.rate = request.app.state.rates.take(principal.who)
    has_key = request.method not in SAFE and HEADER in request.headers
    return principal, key_of(request, principal.who) if has_key else None


async def _permit(request: Request, principal: Principal, permission: Permission, *, names_account: bool) -> None:
    """Let the request have its caller, and its account. Raises `Forbidden`, `UnknownAccount`."""
    account = named = None
    if permission.scope is Scope.ACCOUNT:
        named = request.path_params.get("account") or (names_account and request.query_params.get("account")) or None
        installation = await _installation_of(request)
        account = await _known(installation, principal, permission, named) if named is not None else None
        request.state.account = account
    caller = Caller.permitted(principal, permission, account, named)
    seen, is_keyed = request.headers.get("if-match", "").strip(), HEADER in request.headers
    request.state.caller = replace(caller, if_match=seen, is_keyed=is_keyed)


async def _known(installation: Installation, principal: Principal, permission: Permission, named: str) -> Account:
    """The account of this name; who may not see all of them does not learn which there are."""
    try:
        return await installation.readers.call(account_of, installation.readers.accounts, named)
    except UnknownAccount:
        if principal.roles_everywhere & permission.roles:
            raise
        raise Forbidden(f"{principal.who} may not do this: it takes the role {permission} on {named}") from None


async def _installation_of(request: Request) -> Installation:
    return cast("Installation", getattr(request.state, "installation", request.app.state.installation))


Installed = Annotated[Installation, Depends(_installation_of)]
"""The installation that the application serves."""


def caller_of(request: Request) -> Caller:
    """Who makes a request of a route that is not public."""
    return cast("Caller", request.state.caller)


async def _caller_of(request: Request) -> Caller:
    return caller_of(request)


Called = Annotated[Caller, Depends(_caller_of)]
"""Who makes the request, and in what role."""


async def _known_account(account: str, request: Request) -> Account:  # noqa: ARG001 - the path has to have it
    return cast("Account", request.state.account)


KnownAccount = Annotated[Account, Depends(_known_account)]
"""The account that the path names, in any letter case. An unknown one is answered with 404."""


def new_router(tag: str, *, prefix: str = "") -> APIRouter:
    """For the routes of one resource. They are complete, so that every application has the same ones as they are."""
    return APIRouter(
        prefix=f"{V1}{prefix}",
        tags=[tag],
        route_class=GuardedRoute,
        responses={"default": {"model": Problem, "description": "Refused; `detail` says why, and what to do."}},
        generate_unique_id_function=lambda route: route.name,
    )


class RateExceeded(Exception):
    """A client makes more requests than it may; `retry_after` is in whole seconds."""

    def __init__(self, a_minute: int, retry_after: int) -> None:
        super().__init__(f"more than {a_minute} requests a minute: wait {retry_after} s")
        self.retry_after = retry_after


class RequestRates:
    """How many of its requests in a minute each client has left, in this process; `clock` counts seconds.

    As many at once as a minute allows, then as many a second as come free.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> Mapping[str, str]:
        """Count a request; what the answer says of the rate, as draft-ietf-httpapi-ratelimit-headers has it.

        Raises `RateExceeded`.
        """
        now, most, a_second = self._clock(), self._a_minute, self._a_minute / 60
        left, at = self._left.get(client, (most, now))
        left = min(most, left + (now - at) * a_second)
        if left < 1:
            raise RateExceeded(most, ceil((1 - left) / a_second))
        self._left[client] = (left - 1, now)
        full_in = ceil((most - left + 1) / a_second)
        return {
            "RateLimit-Policy": f'"requests";q={most};w=60',
            "RateLimit": f'"requests";r={int(left - 1)};t={full_in}',
        }
