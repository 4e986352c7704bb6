"""Motive's side of the faults: what its calls are, how it says no, and whose they are."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from services.sandbox.faults.rule import Served, Trait
from services.sandbox.motive.access import calling_company
from services.sandbox.motive.state import MotiveState


class FaultyMotive:
    """See `FaultyVendor`."""

    def __init__(self, state: MotiveState) -> None:
        self._state = state

    def served(self, scope: Scope) -> Served:
        """The call, as rules look at it."""
        request = Request(scope)
        company = calling_company(request.headers, self._state)
        return Served(
            method=request.method,
            path=request.url.path,
            account=company.name if company else None,
            traits=frozenset(_traits(request)),
        )

    def refusal(self, scope: Scope, status: int, headers: dict[str, str]) -> Response:  # noqa: ARG002 - all are alike
        """An error in Motive's form."""
        return JSONResponse({"error_message": "not now"}, status_code=status, headers=headers)

    def expire_token(self, scope: Scope) -> None:
        """End the access token of the call; the API turns it away by itself then. An API key does not end."""
        token = Request(scope).headers.get("authorization", "").partition(" ")[2]
        self._state.grants.expire(token.strip(), self._state.now())

    def take_tokens(self, scope: Scope) -> None:
        """Motive limits nobody's tokens."""


def _traits(request: Request) -> set[Trait]:
    has_token = "authorization" in request.headers
    return _traits_of_users(request) | ({Trait.TOKEN_USE} if has_token else set())


def _traits_of_users(request: Request) -> set[Trait]:
    match (request.method, request.url.path):
        case ("POST", "/v1/users"):
            return {Trait.CREATE}
        case ("GET", "/v1/users"):
            is_first = request.query_params.get("page_no", "1") in ("", "1")
            return {Trait.PAGE} if is_first else {Trait.PAGE, Trait.LATER_PAGE}
    return set()
