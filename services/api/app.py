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
    archives,
    backtests,
    capsules,
    changes,
    comparisons,
    dead_letters,
    driver_details,
    drivers,
    encryption,
    erasures,
    event_exports,
    events,
    explanations,
    health,
    issues,
    journal,
    lineage,
    plans,
    problems,
    push_secrets,
    reconciliations,
    sign_in,
    signed_roots,
    status,
    verification,
    webhooks,
)
from services.api.description import DescribedApp
from services.api.installation import Installation, Limits
from services.api.routing import GuardedRoute, RequestRates
from services.console import site
from services.console.rendering import shown_to_browsers

_RESOURCES = (
    health,
    accounts,
    account_history,
    push_secrets,
    webhooks,
    changes,
    drivers,
    capsules,
    driver_details,
    erasures,
    approvals,
    issues,
    plans,
    backtests,
    reconciliations,
    status,
    event_exports,
    events,
    encryption,
    verification,
    signed_roots,
    archives,
    explanations,
    comparisons,
    lineage,
    journal,
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
    """What every request passes first: one that is too large, or comes too slowly, is refused before it is read.

    So is one whose address holds NUL, which not every store can look for.
    """

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

        limits = scope["app"].state.installation.limits
        stated = Headers(scope=scope).get("content-length", "")
        refused = None
        if stated.isdecimal() and int(stated) > limits.largest_body:
            refused = problems.to_problem(problems.TOO_LARGE, _too_large(limits))
        elif "\0" in scope["path"] or b"%00" in scope["query_string"]:
            refused = problems.to_problem(problems.INVALID_REQUEST, "the address must not hold the character NUL")
        if refused:
            await problems.to_response(refused)(scope, receive, named)
        else:
            await self._app(scope, _bounded(receive, limits), named)


def _too_large(limits: Limits) -> str:
    return f"a request has at most {limits.largest_body:,} bytes: send it in parts"


def _bounded(receive: Receive, limits: Limits) -> Receive:
    """What receives a request, within bounds; what comes behind its body, as the end of the connection, has none."""
    size, is_whole, clock = 0, False, asyncio.get_running_loop().time
    deadline = clock() + limits.slowest_body

    async def bounded() -> Message:
        nonlocal size, is_whole
        try:
            async with asyncio.timeout(None if is_whole else deadline - clock()):
                message = await receive()
        except TimeoutError:
            words = f"the body of the request did not come within {limits.slowest_body:g} seconds"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, words) from None
        is_whole = not message.get("more_body", False)
        size += len(message.get("body", b""))
        if size > limits.largest_body:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(limits))
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
        app.add_exception_handler(kind, shown_to_browsers(problems.refuse))
    app.add_exception_handler(RequestValidationError, shown_to_browsers(problems.refuse_malformed))
    app.add_exception_handler(HTTPException, shown_to_browsers(problems.refuse_unknown))
    app.add_exception_handler(Exception, shown_to_browsers(problems.refuse_unexpected))
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
    app.state.rates = RequestRates(installation.limits.requests_a_minute)
    app.state.keys_in_hand = set()
    return app


def openapi() -> dict[str, Any]:
    """The description of the API, as OpenAPI 3.1."""
    return new_app().openapi()
