"""The API: the one way in for people, scripts and the command line."""

from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.account import NotPermitted
from domain.ports import CredentialsUnreadable
from domain.store import StoreConflict, StoreFailed
from services.accounts.handlers import UnknownAccount
from services.api import (
    API_HEADER,
    account_history,
    accounts,
    approvals,
    dead_letters,
    driver_details,
    drivers,
    events,
    explanations,
    health,
    issues,
    planner,
    plans,
    progress,
    reconciliations,
    rekeyings,
    resubmissions,
    status,
)
from services.api.installation import Installation, ServiceDown
from services.api.schema import Malformed, describe_errors
from services.intake.handlers import SnapshotRefused, UnknownDriver
from services.intake.rekeying import ReKeyingHeld

LARGEST_BODY = 64 * 2**20
"""Bytes of the largest body that is read; the review of a list of 100,000 drivers has a quarter of them."""

_TOO_LARGE = f"a request has at most {LARGEST_BODY // 2**20} MB: send it in parts"

_RESOURCES = (
    health,
    accounts,
    account_history,
    drivers,
    driver_details,
    approvals,
    issues,
    rekeyings,
    plans,
    progress,
    reconciliations,
    status,
    events,
    explanations,
    dead_letters,
    resubmissions,
)

_STATUS: dict[type[Exception], HTTPStatus] = {
    Malformed: HTTPStatus.BAD_REQUEST,
    events.BadCursor: HTTPStatus.BAD_REQUEST,
    dead_letters.BadName: HTTPStatus.BAD_REQUEST,
    NotPermitted: HTTPStatus.FORBIDDEN,
    UnknownAccount: HTTPStatus.NOT_FOUND,
    UnknownDriver: HTTPStatus.NOT_FOUND,
    dead_letters.UnknownLetter: HTTPStatus.NOT_FOUND,
    SnapshotRefused: HTTPStatus.CONFLICT,
    ReKeyingHeld: HTTPStatus.CONFLICT,
    StoreConflict: HTTPStatus.CONFLICT,
    issues.NothingToRetry: HTTPStatus.CONFLICT,
    planner.NothingToPlan: HTTPStatus.CONFLICT,
    reconciliations.NothingToReconcile: HTTPStatus.CONFLICT,
    CredentialsUnreadable: HTTPStatus.CONFLICT,
    StoreFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    ServiceDown: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Edge:
    """What every request passes first: one that is too large is refused before it is read.

    Every response gets the header that says whose it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
            return message

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[API_HEADER] = "1"
            await send(message)

        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated) > LARGEST_BODY:
            refusal = JSONResponse({"error": _TOO_LARGE}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            await refusal(scope, receive, named)
        else:
            await self._app(scope, bounded, named)


def to_app(installation: Installation) -> FastAPI:
    """The API of this installation; a refused request is answered with `{"error": one line}`."""
    app = FastAPI(
        title="Driver Sync",
        version=version("driverlink"),
        docs_url=None,
        redoc_url=None,
        routes=[route for resource in _RESOURCES for route in resource.router.routes],
    )
    app.add_middleware(Edge)
    app.state.installation = installation
    for kind in _STATUS:
        app.add_exception_handler(kind, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_malformed)
    app.add_exception_handler(HTTPException, _refuse_unknown)
    app.add_exception_handler(Exception, _fail)
    return app


async def _fail(_: Request, __: Exception) -> JSONResponse:
    """Whose response it is, is said here: what nothing foresaw is answered outside `Edge`, and then logged."""
    error = "the services failed unexpectedly; see their log"
    return JSONResponse({"error": error}, HTTPStatus.INTERNAL_SERVER_ERROR, headers={API_HEADER: "1"})


async def _refuse(_: Request, refused: Exception) -> JSONResponse:
    status_code = next(code for kind, code in _STATUS.items() if isinstance(refused, kind))
    return JSONResponse({"error": str(refused)}, status_code)


async def _refuse_malformed(_: Request, refused: Exception) -> JSONResponse:
    """A body or parameter that its model refuses: named by its field, without where in the request it stands."""
    assert isinstance(refused, RequestValidationError)  # noqa: S101 - registered for nothing else
    errors = [
        {**error, "loc": () if error["type"] == "json_invalid" else error["loc"][1:]} for error in refused.errors()
    ]
    return JSONResponse({"error": describe_errors(errors)}, HTTPStatus.BAD_REQUEST)


async def _refuse_unknown(_: Request, refused: Exception) -> JSONResponse:
    """A path or method that is not there, or a body that is not text."""
    assert isinstance(refused, HTTPException)  # noqa: S101 - registered for nothing else
    return JSONResponse({"error": refused.detail}, refused.status_code, headers=refused.headers)
