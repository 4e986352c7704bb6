"""A stand-in for the Portal's API v2 over real HTTP: everything is asked for by GET, with all in the address.

Source: GPS Insight's API Guide for Developers; what is assumed beyond it is in docs/reference/sandbox.md.

The Portal's side of the faults: what its calls are, how it says no, and its sessions.
"""

from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from services.sandbox.control import NO_FAULTS, with_faults
from services.sandbox.faults.faulting import Pause
from services.sandbox.faults.faults import Served, Trait, arrangement_of
from services.sandbox.journal import note_effect, note_owner
from services.sandbox.portal.state import DriverSeed, PortalState, Session
from services.sandbox.portal.wire import Refused, as_attributes, as_listed, framed, refusal
from services.sandbox.state import Now, wall_clock

_SESSION = "session_token"
_STATED = ("firstname", "lastname", "email", "phone", "ref_id")


def application(
    seed: object, now: Now = wall_clock, faults: object = NO_FAULTS, pause: Pause = sleep, *, first_id: int = 0
) -> Starlette:
    """The Portal's API below `/v2`, and the sandbox's own endpoints below `/sandbox`.

    New ids are `first_id` and above, and above those of the seed. Raises `SeedRefused` or `FaultsRefused`.
    """
    state = PortalState(seed, now, first_id)
    problem = partial(_problem, state)
    api = Starlette(routes=_Calls(state).routes(), exception_handlers=dict.fromkeys((Refused, HTTPException), problem))
    return with_faults("portal", state, FaultyPortal(state), api, now=now, pause=pause, faults=faults)


async def _problem(state: PortalState, request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        query = request.query_params
        assumptions = state.assumptions_of_call(query.get(_SESSION, ""), query.get("username", ""))
        http_status = 200 if assumptions.errors == "with_200" else error.status
        return refusal(error.status, str(error), http_status=http_status, assumptions=assumptions)
    return refusal(404, "Not Found")


def _route(method: str, call: Callable[[Request], Awaitable[Response]], *parameters: str) -> Route:
    """A call with the parameters that it knows; what it would ignore is refused."""

    async def checked(request: Request) -> Response:
        names = [name for name, _ in request.query_params.multi_items()]
        for name in names:
            if name not in parameters:
                raise Refused(400, f"Bad Request ({name}: the sandbox does not know this parameter)")
            if names.count(name) > 1:
                raise Refused(400, f"Bad Request ({name}: stated more than once)")
        return await call(request)

    return Route(f"/v2/{method}", checked, methods=["GET"])


class _Calls:
    def __init__(self, state: PortalState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            _route("userauth/login", self.log_in, "username", "app_token"),
            _route("driver/list", self.list_all, _SESSION),
            _route("driver/getattributes", self.attributes, _SESSION, "driver"),
            _route("driver/create", self.create, _SESSION, *_STATED),
            _route("driver/update", self.update, _SESSION, "driver", *_STATED),
            _route("driver/delete", self.delete, _SESSION, "driver"),
        ]

    async def log_in(self, request: Request) -> Response:
        query = request.query_params
        token = self._state.log_in(query.get("username", ""), query.get("app_token", ""))
        if token is None:
            raise Refused(403, "Forbidden (invalid credentials)")
        assumptions = self._state.assumptions_of_call(token, query.get("username", ""))
        return JSONResponse(framed({"token": token}, assumptions))

    async def list_all(self, request: Request) -> Response:
        session = self._session(request)
        drivers, assumptions = self._state.seen_by(session), self._state.assumptions(session.account)
        places = arrangement_of(request)(range(len(drivers)))
        shown = [as_listed(drivers[place], assumptions) for place in places]
        data = shown if shown or assumptions.empty_list == "list" else None
        return JSONResponse(framed(data, assumptions))

    async def attributes(self, request: Request) -> Response:
        session = self._session(request)
        driver = self._driver(session, request.query_params)
        assumptions = self._state.assumptions(session.account)
        return JSONResponse(framed(as_attributes(driver, assumptions), assumptions))

    async def create(self, request: Request) -> Response:
        session = self._session(request)
        values = _stated(request.query_params)
        if not values.get("lastname"):
            raise Refused(400, "Bad Request (lastname is required)")
        driver = DriverSeed.model_validate({"id": self._state.free_id(), **values})
        note_effect(request, self._state.put(session.account, None, driver))
        return JSONResponse(framed({"id": driver.id}, self._state.assumptions(session.account)))

    async def update(self, request: Request) -> Response:
        session = self._session(request)
        before = self._driver(session, request.query_params)
        after = before.model_copy(update=_stated(request.query_params))
        note_effect(request, self._state.put(session.account, before, after))
        return JSONResponse(framed({"id": after.id}, self._state.assumptions(session.account)))

    async def delete(self, request: Request) -> Response:
        session = self._session(request)
        driver = self._driver(session, request.query_params)
        note_effect(request, self._state.remove(session.account, driver))
        return JSONResponse(framed({"id": driver.id}, self._state.assumptions(session.account)))

    def _session(self, request: Request) -> Session:
        token = request.query_params.get(_SESSION, "")
        session = self._state.session(token)
        if session is None:
            status = self._state.assumptions_of_call(token, "").ended_session
            raise Refused(status, f"{HTTPStatus(status).phrase} (session does not exist)")
        note_owner(request, session.account)
        return session

    def _driver(self, session: Session, query: Mapping[str, str]) -> DriverSeed:
        driver = self._state.found(session, query.get("driver", ""))
        if driver is None:
            raise Refused(404, "Not Found (driver)")
        return driver


def _stated(query: Mapping[str, str]) -> dict[str, str]:
    return {name: query[name] for name in _STATED if name in query}


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
        """End the session of the call, which the API then refuses."""
        self._state.end(Request(scope).query_params.get("session_token", ""))

    def take_tokens(self, scope: Scope) -> None:
        """The Portal does not limit sessions."""

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
