"""A stand-in for the Motive API over real HTTP.

Source: Motive's public API reference and its TMS guide, step 1; what is assumed beyond them is in
docs/reference/sandbox.md.
"""

from asyncio import sleep
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from services.sandbox.clock import Now, wall_clock
from services.sandbox.control import NO_FAULTS, with_faults
from services.sandbox.faults.faulting import Pause
from services.sandbox.faults.marks import arrangement_of, is_hollow
from services.sandbox.journal import NO_EFFECT, note_effect, note_owner
from services.sandbox.motive import writing
from services.sandbox.motive.access import TokenCalls, authorized_company
from services.sandbox.motive.company import LOOKUPS, Company
from services.sandbox.motive.faulty import FaultyMotive
from services.sandbox.motive.state import MotiveState
from services.sandbox.motive.user import ROLES, STATUSES, User, as_listed, as_read
from services.sandbox.motive.wire import (
    NOT_FOUND_PAGE,
    Refused,
    added_external_id,
    edited_external_id,
    invalid,
    written_user,
)

LONGEST_PAGE = 100
_DEFAULT_PAGE = "25"


def application(
    seed: object, now: Now = wall_clock, faults: object = NO_FAULTS, pause: Pause = sleep, *, first_id: int = 0
) -> Starlette:
    """The Motive API below `/v1`, with its tokens at `/oauth/token`, and the sandbox's own endpoints below `/sandbox`.

    New ids are `first_id` and above, and above those of the seed. Raises `SeedRefused` or `FaultsRefused`.
    """
    state = MotiveState(seed, now, first_id)
    api = Starlette(
        routes=[*TokenCalls(state).routes(), *_Users(state).routes(), *_ExternalIds(state).routes()],
        exception_handlers=dict.fromkeys((Refused, HTTPException), _problem),
    )
    api.router.redirect_slashes = False
    return with_faults("motive", state, FaultyMotive(state), api, now=now, pause=pause, faults=faults)


async def _problem(_: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return JSONResponse({"error_message": error.message}, status_code=error.status)
    return HTMLResponse(NOT_FOUND_PAGE, status_code=404)


class _Users:
    """The calls about users. A write awaits its body first and nothing after it, so that no seeding comes between."""

    def __init__(self, state: MotiveState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("/v1/users", self.page, methods=["GET"]),
            Route("/v1/users/lookup", self.lookup, methods=["GET"]),
            Route("/v1/users/lookup_by_external_id", self.lookup_by_external_id, methods=["GET"]),
            Route("/v1/users/{user_id:int}", self.one, methods=["GET"]),
            Route("/v1/users", self.create, methods=["POST"]),
            Route("/v1/users/{user_id:int}", self.update, methods=["PUT"]),
        ]

    async def page(self, request: Request) -> Response:
        company = _company(self._state, request)
        page_no = _number(request.query_params, "page_no", "1")
        per_page = min(_number(request.query_params, "per_page", _DEFAULT_PAGE), LONGEST_PAGE)
        users, total = company.page(
            role=_choice(request.query_params, "role", ROLES),
            status=_choice(request.query_params, "status", STATUSES),
            start=(page_no - 1) * per_page,
            stop=page_no * per_page,
            arrangement=arrangement_of(request),
        )
        pagination = {"per_page": per_page, "page_no": page_no, "total": total}
        return JSONResponse({"users": [{"user": as_listed(user)} for user in users], "pagination": pagination})

    async def one(self, request: Request) -> Response:
        user = _known(_company(self._state, request).find(request.path_params["user_id"]))
        return JSONResponse({"user": as_read(user)})

    async def lookup(self, request: Request) -> Response:
        company = _company(self._state, request)
        stated = [(field, value) for field in LOOKUPS if (value := request.query_params.get(field))]
        if len(stated) != 1:
            raise invalid("exactly one of " + ", ".join(LOOKUPS) + " is required")
        return _answer(_known(company.with_name(*stated[0])))

    async def lookup_by_external_id(self, request: Request) -> Response:
        company = _company(self._state, request)
        external_id = request.query_params.get("external_id")
        integration_name = request.query_params.get("integration_name")
        if not external_id or not integration_name:
            raise invalid("external_id and integration_name are required")
        return _answer(_known(company.holder(external_id, integration_name)))

    async def create(self, request: Request) -> Response:
        body = await request.body()
        company = _company(self._state, request)
        user = writing.created(self._state, company, written_user(body))
        note_effect(request, NO_EFFECT if is_hollow(request) else self._state.store(company, None, user))
        return _answer(user, status=200 if company.test_mode else 201)

    async def update(self, request: Request) -> Response:
        body = await request.body()
        company = _company(self._state, request)
        before = _known(company.find(request.path_params["user_id"]))
        after = writing.updated(self._state, company, before, written_user(body))
        note_effect(request, self._state.store(company, before, after))
        return _answer(after)


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
        body = await request.body()
        company = _company(self._state, request)
        stated = added_external_id(body)
        before = company.find(stated.external_id_holder_id) if stated.external_id_holder_type == "User" else None
        after = writing.with_external_id(self._state, company, _known(before), stated)
        note_effect(request, self._state.store(company, before, after))
        return _external_id(after, after.external_ids[-1].id, status=201)

    async def edit(self, request: Request) -> Response:
        body = await request.body()
        company = _company(self._state, request)
        record_id = request.path_params["record_id"]
        before = _holder(company, record_id)
        stated = edited_external_id(body, request.query_params)
        after = writing.with_edited_external_id(self._state, company, before, record_id, stated)
        note_effect(request, self._state.store(company, before, after))
        return _external_id(after, record_id)

    async def remove(self, request: Request) -> Response:
        company = _company(self._state, request)
        record_id = request.path_params["record_id"]
        before = _holder(company, record_id)
        after = writing.without_external_id(self._state, company, before, record_id)
        note_effect(request, self._state.store(company, before, after))
        return Response(status_code=204)


def _company(state: MotiveState, request: Request) -> Company:
    company = authorized_company(request, state)
    note_owner(request, company.name)
    return company


def _known(user: User | None) -> User:
    if user is None:
        raise Refused(404, "user not found")
    return user


def _holder(company: Company, record_id: int) -> User:
    user = company.holder_of_record(record_id)
    if user is None:
        raise Refused(404, "external id not found")
    return user


def _answer(user: User, status: int = 200) -> Response:
    return JSONResponse({"user": as_listed(user)}, status_code=status)


def _external_id(user: User, record_id: int, status: int = 200) -> Response:
    record = next(record for record in user.external_ids if record.id == record_id)
    shown = {
        "id": record.id,
        "external_id": record.external_id,
        "integration_name": record.integration_name,
        "external_id_holder_id": user.id,
        "external_id_holder_type": "User",
    }
    return JSONResponse({"external_id": shown}, status_code=status)


def _number(parameters: Mapping[str, str], name: str, default: str) -> int:
    text = parameters.get(name) or default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise invalid(f"{name} is a whole number, 1 or more")
    return int(text)


def _choice(parameters: Mapping[str, str], name: str, choices: frozenset[str]) -> str | None:
    chosen = parameters.get(name) or None
    if chosen is not None and chosen not in choices:
        raise invalid(f"{name} is one of " + ", ".join(sorted(choices)))
    return chosen
