"""The API: the one way in for people, scripts and the command line."""

from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api import (
    API_HEADER,
    V1,
    account_history,
    accounts,
    approvals,
    changes,
    dead_letters,
    driver_details,
    drivers,
    events,
    explanations,
    health,
    hints,
    issues,
    plans,
    problems,
    progress,
    reconciliations,
    rekeyings,
    resubmissions,
    status,
    webhooks,
)
from services.api.installation import Installation

LARGEST_BODY = 64 * 2**20
"""Bytes of the largest body that is read; the review of a list of 100,000 drivers has a quarter of them."""

_TOO_LARGE = f"a request has at most {LARGEST_BODY // 2**20} MB: send it in parts"

_RESOURCES = (
    health,
    accounts,
    account_history,
    webhooks,
    changes,
    hints,
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
            refusal = problems.to_response(problems.to_problem(problems.TOO_LARGE, _TOO_LARGE))
            await refusal(scope, receive, named)
        else:
            await self._app(scope, bounded, named)


def new_app() -> FastAPI:
    """The API without an installation: its routes, what refuses a request, and its description."""
    app = FastAPI(
        title="Driver Sync",
        version=version("driverlink"),
        description="Keeps the drivers of a GPS fleet portal in sync with Driveri and Motive, and says why.",
        openapi_url=f"{V1}/openapi.json",
        docs_url=None,
        redoc_url=None,
        routes=[route for resource in _RESOURCES for route in resource.router.routes],
    )
    app.add_middleware(Edge)
    app.add_route(problems.PAGE, problems.show_problems, include_in_schema=False)
    for kind in problems.KINDS:
        app.add_exception_handler(kind, problems.refuse)
    app.add_exception_handler(RequestValidationError, problems.refuse_malformed)
    app.add_exception_handler(HTTPException, problems.refuse_unknown)
    app.add_exception_handler(Exception, problems.refuse_unexpected)
    return app


def to_app(installation: Installation) -> FastAPI:
    """The API of this installation; a refused request is answered with problem details."""
    app = new_app()
    app.state.installation = installation
    return app


def openapi() -> dict[str, Any]:
    """The description of the API, as OpenAPI 3.1."""
    return new_app().openapi()
