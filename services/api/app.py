"""The API: the one way in for people, scripts and the command line."""

import asyncio
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
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
    issues,
    plans,
    problems,
    reconciliations,
    sign_in,
    status,
    webhooks,
)
from services.api.description import DescribedApp
from services.api.installation import Installation
from services.api.routing import GuardedRoute, RequestRates
from services.console import site

LARGEST_BODY = 64 * 2**20
"""Bytes of the largest body that is read; the review of a list of 100,000 drivers has a quarter of them."""

_TOO_LARGE = f"a request has at most {LARGEST_BODY // 2**20} MB: send it in parts"

SLOWEST_BODY = 60.0
"""Seconds within which the whole body of a request has to come."""

_TOO_SLOW = "the body of the request did not come within a minute"

_RESOURCES = (
    health,
    accounts,
    account_history,
    webhooks,
    changes,
    drivers,
    driver_details,
    approvals,
    issues,
    plans,
    reconciliations,
    status,
    events,
    explanations,
    dead_letters,
    sign_in,
)


_HEADERS = {
    API_HEADER: "1",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What every response has, unless it states its own: whose it is, and that browsers use it for nothing else."""


class Edge:
    """What every request passes first: one that is too large, or comes too slowly, is refused before it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated) > LARGEST_BODY:
            refusal = problems.to_response(problems.to_problem(problems.TOO_LARGE, _TOO_LARGE))
            await refusal(scope, receive, named)
        else:
            await self._app(scope, _bounded(receive), named)


def _bounded(receive: Receive) -> Receive:
    """What receives a request, within bounds; what comes behind its body, as the end of the connection, has none."""
    size, is_whole, clock = 0, False, asyncio.get_running_loop().time
    deadline = clock() + SLOWEST_BODY

    async def bounded() -> Message:
        nonlocal size, is_whole
        try:
            async with asyncio.timeout(None if is_whole else deadline - clock()):
                message = await receive()
        except TimeoutError:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, _TOO_SLOW) from None
        is_whole = not message.get("more_body", False)
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
        return message

    return bounded


def new_app() -> FastAPI:
    """The API without an installation: its routes, what refuses a request, and its description."""
    app = DescribedApp(
        title="Driver Sync",
        version=version("driverlink"),
        description="Keeps the drivers of a GPS fleet portal in sync with Driveri and Motive, and says why.",
        openapi_url=f"{V1}/openapi.json",
        docs_url=None,
        redoc_url=None,
        routes=[
            *(route for resource in _RESOURCES for route in resource.router.routes),
            *changes.hints_router.routes,
            *approvals.rekeyings_router.routes,
            *sign_in.pages.routes,
            *site.ROUTES,
        ],
    )
    app.add_middleware(Edge)
    app.add_route(problems.PAGE, problems.show_problems, include_in_schema=False)
    for route in app.routes:
        _check_guarded(route)
    for kind in problems.KINDS:
        app.add_exception_handler(kind, problems.refuse)
    app.add_exception_handler(RequestValidationError, problems.refuse_malformed)
    app.add_exception_handler(HTTPException, problems.refuse_unknown)
    app.add_exception_handler(Exception, problems.refuse_unexpected)
    return app


_UNGUARDED = (f"{V1}/openapi.json", problems.PAGE)
"""The paths that everybody may read, and that are not routes of a resource."""


def _check_guarded(route: BaseRoute) -> None:
    """Raise `LookupError` for a route that does not ask who may use it."""
    if not isinstance(route, GuardedRoute) and getattr(route, "path", "") not in _UNGUARDED:
        raise LookupError(f"the route {route} is not made by a router of services/api/routing.py")


def to_app(installation: Installation) -> FastAPI:
    """The API of this installation; a refused request is answered with problem details."""
    app = new_app()
    app.state.installation = installation
    app.state.rates = RequestRates()
    app.state.keys_in_hand = set()
    return app


def openapi() -> dict[str, Any]:
    """The description of the API, as OpenAPI 3.1."""
    return new_app().openapi()
