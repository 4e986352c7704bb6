"""The Portal's side of the faults: what its calls are, how it says no, and its sessions."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from services.sandbox.faults.rule import Served, Trait
from services.sandbox.portal.state import PortalState
from services.sandbox.portal.wire import refusal


class FaultyPortal:
    """See `FaultyVendor`."""

    def __init__(self, state: PortalState) -> None:
        self._state = state

    def served(self, scope: Scope) -> Served:
        """The call, as rules look at it."""
        path = scope["path"]
        return Served(method=scope["method"], path=path, account=self._account(scope), traits=frozenset(_traits(path)))

    def refusal(self, scope: Scope, status: int, headers: dict[str, str]) -> Response:  # noqa: ARG002 - all are alike
        """An error in the Portal's form."""
        return refusal(status, "not now", headers)

    def expire_token(self, scope: Scope) -> None:
        """End the session of the call; the API turns it away by itself then."""
        self._state.end(Request(scope).query_params.get("session_token", ""))

    def take_tokens(self, scope: Scope) -> None:
        """The Portal limits nobody's sessions."""

    def _account(self, scope: Scope) -> str | None:
        query = Request(scope).query_params
        if session := self._state.session(query.get("session_token", "")):
            return session.account
        return self._state.owner(query.get("username", ""))


def _traits(path: str) -> set[Trait]:
    match path:
        case "/v2/userauth/login":
            return {Trait.TOKEN_REQUEST}
        case "/v2/driver/list":
            return {Trait.PAGE, Trait.TOKEN_USE}
        case "/v2/driver/create":
            return {Trait.CREATE, Trait.TOKEN_USE}
    return {Trait.TOKEN_USE}
