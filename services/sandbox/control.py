"""The sandbox's own endpoints below `/sandbox`: seed, inspect, reset, read the journal, and switch faults."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from services.sandbox.faults.faulting import Faulting, Faults, FaultyVendor, Pause
from services.sandbox.faults.faults import FaultsRefused
from services.sandbox.journal import Journal, Journalling
from services.sandbox.state import Now, SeedRefused

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


NO_FAULTS: Final[Mapping[str, object]] = MappingProxyType({})


def with_faults(
    vendor: str, sandbox: Sandbox, faulty: FaultyVendor, api: ASGIApp, *, now: Now, pause: Pause, faults: object
) -> Starlette:
    """A vendor's API behind its journal and its faults, with the control endpoints beside it, which never fail.

    Raises `FaultsRefused`.
    """
    switch = Faults()
    switch.switch_on(faults)
    journalling = Journalling(api, sandbox.journal, now)
    faulting = Faulting(journalling, switch, faulty, now=now, record=journalling.record_refusal, pause=pause)
    control = _Control(vendor, sandbox, switch)
    return Starlette(routes=[Mount("/sandbox", routes=control.routes()), Mount("", app=faulting)])


class _Control:
    def __init__(self, vendor: str, sandbox: Sandbox, faults: Faults) -> None:
        self._vendor = vendor
        self._sandbox = sandbox
        self._faults = faults

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/state", self.state, methods=["GET"]),
            Route("/state", self.seed, methods=["PUT"]),
            Route("/state", self.reset, methods=["DELETE"]),
            Route("/journal", self.journal, methods=["GET"]),
            Route("/faults", self.faults, methods=["GET"]),
            Route("/faults", self.switch_on, methods=["PUT"]),
            Route("/faults", self.switch_off, methods=["DELETE"]),
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
        return JSONResponse(
            {"entries": journal.shown(after=after, limit=limit), "last": journal.last, "dropped": journal.dropped}
        )

    async def faults(self, _: Request) -> Response:
        return JSONResponse(self._faults.shown())

    async def switch_on(self, request: Request) -> Response:
        try:
            self._faults.switch_on(json.loads(await request.body()))
        except FaultsRefused as refused:
            return _bad_request(str(refused))
        except ValueError:
            return _bad_request("the rules are not JSON")
        return Response(status_code=204)

    async def switch_off(self, _: Request) -> Response:
        self._faults.switch_off()
        return Response(status_code=204)


def _bad_request(message: str) -> Response:
    return JSONResponse({"error": message}, status_code=400)
