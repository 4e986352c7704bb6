"""Who calls Motive: a company's API key, or an access token of one of its grants; and how tokens are renewed.

Source: developer-docs.gomotive.com, OAuth 2.0; RFC 6749, 5 and 6.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.sandbox.motive.company import Company
from services.sandbox.motive.grants import Grant
from services.sandbox.motive.state import MotiveState
from services.sandbox.motive.wire import Refused

_FORM = "application/x-www-form-urlencoded"


def calling_company(headers: Mapping[str, str], state: MotiveState) -> Company | None:
    """The company whose API key or access token a call carries; None if it carries neither, or not a good one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        name = state.grants.company(token.strip(), state.now())
        return next((company for company in state.companies.values() if company.name == name), None)
    return state.companies.get(headers.get("x-api-key", ""))


def authorized_company(request: Request, state: MotiveState) -> Company:
    """The company that a call is for; raises `Refused`."""
    company = calling_company(request.headers, state)
    if company is None:
        raise Refused(_refused_with(request, state), "the X-Api-Key or the access token is missing, unknown or expired")
    return company


def _refused_with(request: Request, state: MotiveState) -> int:
    """The status for a key that is no company's: as the first company of the seed has it. Tokens end with 401."""
    first = next(iter(state.companies.values()), None)
    return 401 if first is None or "authorization" in request.headers else first.assumptions.wrong_key


class TokenCalls:
    """The call that renews tokens."""

    def __init__(self, state: MotiveState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Where tokens are renewed."""
        return [Route("/oauth/token", self.renew, methods=["POST"])]

    async def renew(self, request: Request) -> Response:
        """New tokens for a refresh token, which is good for this once."""
        body = await request.body()
        is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        stated = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()} if is_form else {}
        problem = self._problem(stated)
        if problem is not None:
            return problem
        renewed = self._state.grants.renew(stated["client_id"], stated["refresh_token"], self._state.now())
        return _refusal(400, "invalid_grant") if renewed is None else JSONResponse(_shown(renewed, self._state.now()))

    def _problem(self, stated: Mapping[str, str]) -> Response | None:
        if not stated.keys() >= {"grant_type", "refresh_token", "client_id", "client_secret"}:
            return _refusal(400, "invalid_request")
        if stated["grant_type"] != "refresh_token":
            return _refusal(400, "unsupported_grant_type")
        if not self._state.grants.has_client(stated["client_id"], stated["client_secret"]):
            return _refusal(401, "invalid_client")
        return None


def _refusal(status: int, code: str) -> Response:
    return JSONResponse({"error": code}, status_code=status)


def _shown(grant: Grant, at: int) -> dict[str, object]:
    return {
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": grant.token_lifetime // 1000,
        "refresh_token": grant.refresh_token,
        "created_at": at // 1000,
    }
