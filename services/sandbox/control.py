"""The sandbox's own endpoints below `/sandbox`: seed, inspect, reset, and read the journal."""

import json
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from services.sandbox.journal import Journal
from services.sandbox.validation import SeedRefused

LONGEST_JOURNAL_PAGE = 10_000


class Sandbox(Protocol):
    """The state behind a vendor's API, as the control endpoints need it."""

    journal: Journal

    def seed(self, document: object) -> None:
        """Replace the whole state; raises `SeedRefused`, and then nothing has changed."""
        ...

    def reset(self) -> None:
        """Go back to the state seeded last."""
        ...

    def shown(self) -> dict[str, object]:
        """The whole state, also what the vendor's API never shows; it can be seeded again as it is."""
        ...


def with_control(vendor: str, sandbox: Sandbox, api: ASGIApp) -> Starlette:
    """A vendor's API with the control endpoints beside it.

    Middleware around `api` sees the vendor's paths and nothing below `/sandbox`.
    """
    control = _Control(vendor, sandbox)
    return Starlette(routes=[Mount("/sandbox", routes=control.routes()), Mount("", app=api)])


class _Control:
    def __init__(self, vendor: str, sandbox: Sandbox) -> None:
        self._vendor = vendor
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/state", self.state, methods=["GET"]),
            Route("/state", self.seed, methods=["PUT"]),
            Route("/state", self.reset, methods=["DELETE"]),
            Route("/journal", self.journal, methods=["GET"]),
        ]

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "sandbox": self._vendor})

    async def state(self, _: Request) -> Response:
        return JSONResponse(self._sandbox.shown())

    async def seed(self, request: Request) -> Response:
        try:
            self._sandbox.seed(json.loads(await request.body()))
        except SeedRefused as refused:
            return _bad_request(str(refused))
        except ValueError:
            return _bad_request("the seed is not JSON")
        return Response(status_code=204)

    async def reset(self, _: Request) -> Response:
        self._sandbox.reset()
        return Response(status_code=204)

    async def journal(self, request: Request) -> Response:
        try:
            after = int(request.query_params.get("after", "0"))
            limit = int(request.query_params.get("limit", "1000"))
        except ValueError:
            return _bad_request("after and limit are whole numbers")
        if after < 0 or not 1 <= limit <= LONGEST_JOURNAL_PAGE:
            return _bad_request(f"after is 0 or more, limit is 1 to {LONGEST_JOURNAL_PAGE}")
        journal = self._sandbox.journal
        return JSONResponse({"entries": journal.shown(after=after, limit=limit), "last": journal.last})


def _bad_request(message: str) -> Response:
    return JSONResponse({"error": message}, status_code=400)
