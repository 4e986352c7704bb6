"""Driveri's side of the faults: what its calls are, how it says no, and its tokens."""

import re
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from services.sandbox.driveri.access import authorized_client, authorized_token
from services.sandbox.driveri.state import DriveriState
from services.sandbox.driveri.wire import Refused, problem
from services.sandbox.faults.rule import Served, Trait

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
        """End the access token of the call; the API turns it away by itself then."""
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
