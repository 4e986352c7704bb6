"""A stand-in for the Driveri API over real HTTP.

Source: driveri-python-sdk 1.0.0; what is assumed beyond it is in docs/reference/sandbox.md.
"""

from asyncio import sleep
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.sandbox.clock import Now, wall_clock
from services.sandbox.control import NO_FAULTS, with_faults
from services.sandbox.driveri import writing
from services.sandbox.driveri.access import authorized_client, authorized_token
from services.sandbox.driveri.driver import Driver, as_read
from services.sandbox.driveri.faulty import FaultyDriveri
from services.sandbox.driveri.query import flag, page_asked_for, query_asked_for, stated
from services.sandbox.driveri.seed import UPDATE_DRIVERS, VIEW_DRIVERS
from services.sandbox.driveri.state import DriveriState, shown_statuses
from services.sandbox.driveri.tenant import Tenant
from services.sandbox.driveri.wire import (
    Refused,
    envelope,
    invalid,
    message,
    page_links,
    problem,
    written_driver,
    written_drivers,
)
from services.sandbox.faults.faulting import Pause
from services.sandbox.faults.marks import arrangement_of, is_hollow
from services.sandbox.journal import note_effect, note_owner


def application(seed: object, now: Now = wall_clock, faults: object = NO_FAULTS, pause: Pause = sleep) -> Starlette:
    """The Driveri API below `/v1` and the sandbox's own endpoints below `/sandbox`.

    Raises `SeedRefused` or `FaultsRefused`.
    """
    state = DriveriState(seed, now)
    api = Starlette(
        routes=[*_Tokens(state).routes(), *_Drivers(state).routes()],
        exception_handlers=dict.fromkeys((Refused, HTTPException), _Problems(now).answer),
    )
    api.router.redirect_slashes = False
    return with_faults("driveri", state, FaultyDriveri(state), api, now=now, pause=pause, faults=faults)


class _Problems:
    """How Driveri says no."""

    def __init__(self, now: Now) -> None:
        self._now = now

    async def answer(self, request: Request, error: Exception) -> Response:
        refused = error if isinstance(error, Refused) else Refused(404, "NO_SUCH_CALL", "there is no such call")
        body = problem(at=self._now(), path=request.url.path, refused=refused, reason=HTTPStatus(refused.status).phrase)
        return JSONResponse(body, status_code=refused.status)


class _Tokens:
    """The calls about tokens."""

    def __init__(self, state: DriveriState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("/v1/auth/token", self.issue, methods=["POST"]),
            Route("/v1/auth/tokens", self.active, methods=["GET"]),
            Route("/v1/auth/token/revoke", self.revoke_own, methods=["DELETE"]),
            Route("/v1/auth/token/revoke/{token_id}", self.revoke, methods=["DELETE"]),
        ]

    async def issue(self, request: Request) -> Response:
        token = self._state.keys.issue(authorized_client(request, self._state), self._state.now())
        if token is None:
            raise Refused(400, "TOO_MANY_TOKENS", "this key has as many active tokens as it may have")
        return JSONResponse(envelope(token.shown()))

    async def active(self, request: Request) -> Response:
        tokens = self._state.keys.active(authorized_client(request, self._state), self._state.now())
        return JSONResponse(envelope({"tokens": [token.shown() for token in tokens]}, total=len(tokens)))

    async def revoke_own(self, request: Request) -> Response:
        self._state.keys.revoke(authorized_token(request, self._state))
        return JSONResponse(message("revoked"))

    async def revoke(self, request: Request) -> Response:
        wanted = request.path_params["token_id"]
        for token in self._state.keys.active(authorized_client(request, self._state), self._state.now()):
            if token.token_id == wanted:
                self._state.keys.revoke(token)
                return JSONResponse(message("revoked"))
        raise Refused(404, "TOKEN_NOT_FOUND", "this key has no such token")


class _Drivers:
    """The calls about a tenant's drivers.

    A write awaits its body first and nothing after it, so that no seeding comes between.
    """

    def __init__(self, state: DriveriState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        tenant = "/v1/tenants/{tenant}"
        return [
            Route(f"{tenant}/configurations", self.configurations, methods=["GET"]),
            Route(f"{tenant}/drivers", self.page, methods=["GET"]),
            Route(f"{tenant}/driver", self.one, methods=["GET"]),
            Route(f"{tenant}/drivers", self.create, methods=["POST"]),
            Route(f"{tenant}/bulk/drivers", self.create_all, methods=["POST"]),
            Route(f"{tenant}/drivers/{{driver_id:path}}", self.update, methods=["PUT"]),
        ]

    async def configurations(self, request: Request) -> Response:
        tenant = self._tenant(request, VIEW_DRIVERS)
        return JSONResponse(
            envelope(
                {
                    "driverStatus": shown_statuses(tenant),
                    "authorizedToDriveStatus": [
                        {"status": 0, "description": "No"},
                        {"status": 1, "description": "Yes"},
                    ],
                    "groupAction": ["ADD", "REMOVE"],
                }
            )
        )

    async def page(self, request: Request) -> Response:
        tenant = self._tenant(request, VIEW_DRIVERS)
        offset, limit = page_asked_for(request.query_params)
        drivers, total = tenant.page(query_asked_for(request.query_params), offset, limit, arrangement_of(request))
        links = page_links(request.url, offset=offset, limit=limit, total=total)
        return JSONResponse(envelope(_shown(request, drivers), links=links, total=total))

    async def one(self, request: Request) -> Response:
        drivers = _asked_for(self._tenant(request, VIEW_DRIVERS), request)
        if not drivers:
            raise writing.unknown_driver()
        return JSONResponse(envelope(_shown(request, drivers), total=len(drivers)))

    async def create(self, request: Request) -> Response:
        body = await request.body()
        tenant = self._tenant(request, UPDATE_DRIVERS)
        written = written_driver(body)
        reinstate = flag(request.query_params, "reinstateDriver")
        is_kept = not is_hollow(request)
        effect = writing.create(tenant, written, reinstate=reinstate, at=self._state.now(), is_kept=is_kept)
        note_effect(request, effect)
        return JSONResponse(message("driver added"))

    async def create_all(self, request: Request) -> Response:
        """One message for all: a row that cannot be taken is left out without a word."""
        body = await request.body()
        tenant = self._tenant(request, UPDATE_DRIVERS)
        for written in written_drivers(body):
            try:
                effect = writing.create(tenant, written, reinstate=False, at=self._state.now())
            except Refused:
                continue
            note_effect(request, effect)
        return JSONResponse(message("drivers processed"))

    async def update(self, request: Request) -> Response:
        body = await request.body()
        tenant = self._tenant(request, UPDATE_DRIVERS)
        written = written_driver(body)
        driver_id = request.path_params["driver_id"]
        note_effect(request, writing.update(tenant, driver_id, written, at=self._state.now()))
        return JSONResponse(message("driver updated"))

    def _tenant(self, request: Request, scope: str) -> Tenant:
        name = request.path_params["tenant"]
        note_owner(request, name)
        client = authorized_token(request, self._state).client
        if client.tenant != name:
            raise Refused(403, "FORBIDDEN", "the token is for another tenant")
        if scope not in client.scopes:
            raise Refused(403, "FORBIDDEN", f"the token lacks the scope {scope}")
        return self._state.tenants[name]


def _asked_for(tenant: Tenant, request: Request) -> list[Driver]:
    named = stated(request.query_params, "driverId", "email", "userName")
    match named:
        case {"driverId": driver_id}:
            driver = tenant.find(driver_id)
            return [driver] if driver else []
        case {"email": email}:
            return tenant.with_email(email)
        case {"userName": user_name}:
            return tenant.with_user_name(user_name)
    raise invalid("one of driverId, email, userName is required")


def _shown(request: Request, drivers: list[Driver]) -> dict[str, object]:
    preferences = flag(request.query_params, "includeDriverPreferences")
    return {"drivers": [as_read(driver, preferences=preferences) for driver in drivers]}
