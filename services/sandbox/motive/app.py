"""A stand-in for the Motive API over real HTTP.

Source: Motive's public API reference and its TMS guide, step 1; what is assumed beyond them is in
docs/reference/sandbox.md.

Motive's side of the faults: what its calls are, how it says no, and whose they are.
"""

from asyncio import sleep

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.sandbox.control import NO_FAULTS, with_faults
from services.sandbox.faults.faulting import Pause
from services.sandbox.faults.faults import Served, Trait, is_hollow
from services.sandbox.journal import NO_EFFECT, note_effect
from services.sandbox.motive import writing
from services.sandbox.motive.company import Company, User
from services.sandbox.motive.reading import Reading, TokenCalls, answer, calling_company, known, owner
from services.sandbox.motive.seed import MotiveState
from services.sandbox.motive.wire import (
    NOT_FOUND_PAGE,
    Refused,
    added_external_id,
    check_parameters,
    edited_external_id,
    json_body,
    written_user,
)
from services.sandbox.state import Now, wall_clock


def application(
    seed: object, now: Now = wall_clock, faults: object = NO_FAULTS, pause: Pause = sleep, *, first_id: int = 0
) -> Starlette:
    """The Motive API below `/v1`, with its tokens at `/oauth/token`, and the sandbox's own endpoints below `/sandbox`.

    New ids are `first_id` and above, and above those of the seed. Raises `SeedRefused` or `FaultsRefused`.
    """
    state = MotiveState(seed, now, first_id)
    api = Starlette(
        routes=[
            *TokenCalls(state).routes(),
            *Reading(state).routes(),
            *_Users(state).routes(),
            *_ExternalIds(state).routes(),
        ],
        exception_handlers=dict.fromkeys((Refused, HTTPException), _problem),
    )
    api.router.redirect_slashes = False
    return with_faults("motive", state, FaultyMotive(state), _WithSuffix(api), now=now, pause=pause, faults=faults)


_DOCUMENTED = frozenset(
    {
        "assets",
        "company_webhooks",
        "dispatches",
        "documents",
        "driver_performance_events",
        "driving_periods",
        "eld_devices",
        "freight_visibility",
        "fuel_purchases",
        "geofences",
        "groups",
        "hos_violations",
        "idle_events",
        "ifta",
        "inspection_reports",
        "logs",
        "messages",
        "vehicle_locations",
        "vehicles",
    }
)
"""Parts of Motive's API that this sandbox does not model."""


async def _problem(request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return JSONResponse({"error_message": error.message}, status_code=error.status)
    part = f"{request.url.path}/".split("/")[2]
    if part in _DOCUMENTED:
        return JSONResponse({"error_message": f"this sandbox does not model {part}"}, status_code=501)
    return HTMLResponse(NOT_FOUND_PAGE, status_code=404)


class _WithSuffix:
    """The API, where each path may end in `.json`."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", "")).removesuffix(".json")
        await self._api({**scope, "path": path} if "path" in scope else scope, receive, send)


class _Users:
    """The calls that write users. Each awaits its body first and nothing after it, so that no seeding comes between."""

    def __init__(self, state: MotiveState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("/v1/users", self.create, methods=["POST"]),
            Route("/v1/users/{user_id:int}", self.update, methods=["PUT"]),
        ]

    async def create(self, request: Request) -> Response:
        body = await _body(request)
        company = owner(self._state, request)
        user = writing.created(self._state, company, written_user(body))
        note_effect(request, NO_EFFECT if is_hollow(request) else self._state.store(company, None, user))
        status = company.assumptions.test_mode_create if company.test_mode else 201
        return answer(company, user, status=status)

    async def update(self, request: Request) -> Response:
        body = await _body(request)
        company = owner(self._state, request)
        before = known(company, company.find(request.path_params["user_id"]))
        after = writing.updated(self._state, company, before, written_user(body))
        note_effect(request, self._state.store(company, before, after))
        return answer(company, after)


class _ExternalIds:
    """The calls about single external ids."""

    def __init__(self, state: MotiveState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("/v1/external_ids", self.add, methods=["POST"]),
            Route("/v1/external_ids/{record_id:int}", self.edit, methods=["PUT"]),
            Route("/v1/external_ids/{record_id:int}", self.remove, methods=["DELETE"]),
        ]

    async def add(self, request: Request) -> Response:
        body = await _body(request)
        company = _with_external_ids(self._state, request)
        stated = added_external_id(body)
        before = company.find(stated.external_id_holder_id) if stated.external_id_holder_type == "User" else None
        after = writing.with_external_id(self._state, company, known(company, before), stated)
        note_effect(request, self._state.store(company, before, after))
        return _external_id(after, after.external_ids[-1].id, status=201)

    async def edit(self, request: Request) -> Response:
        body = await _body(request)
        company = _with_external_ids(self._state, request)
        check_parameters(request.query_params, ("external_id", "integration_name"))
        record_id = request.path_params["record_id"]
        before = _holder(company, record_id)
        stated = edited_external_id(body, request.query_params)
        after = writing.with_edited_external_id(self._state, company, before, record_id, stated)
        note_effect(request, self._state.store(company, before, after))
        return _external_id(after, record_id)

    async def remove(self, request: Request) -> Response:
        company = _with_external_ids(self._state, request)
        record_id = request.path_params["record_id"]
        before = _holder(company, record_id)
        after = writing.without_external_id(self._state, company, before, record_id)
        note_effect(request, self._state.store(company, before, after))
        return JSONResponse({"success": True})


def _with_external_ids(state: MotiveState, request: Request) -> Company:
    """The company that a call about single external ids is for; such calls may be absent, as any unknown page is."""
    company = owner(state, request)
    if company.assumptions.external_ids_calls == "absent":
        raise HTTPException(404)
    return company


async def _body(request: Request) -> bytes:
    return json_body(await request.body(), request.headers.get("content-type", ""))


def _holder(company: Company, record_id: int) -> User:
    user = company.holder_of_record(record_id)
    if user is None:
        raise Refused(404, "external id not found")
    return user


def _external_id(user: User, record_id: int, status: int = 200) -> Response:
    record = next(record for record in user.external_ids if record.id == record_id)
    shown = {
        "id": record.id,
        "external_id": record.external_id,
        "integration_name": record.integration_name,
        "external_id_holder_id": user.id,
        "external_id_holder_type": "User",
    }
    return JSONResponse(shown, status_code=status)


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
        """End the access token of the call, which the API then refuses. An API key does not end."""
        token = Request(scope).headers.get("authorization", "").partition(" ")[2]
        self._state.grants.expire(token.strip(), self._state.now())

    def take_tokens(self, scope: Scope) -> None:
        """Motive does not limit tokens."""


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
