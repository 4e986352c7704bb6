"""One target's projector on a database, without a decider: its wishes are put into its store."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any

import httpx

from adapters.driveri import DriveriAccess, DriveriDrivers
from adapters.motive import MotiveAccess, MotiveDrivers
from adapters.pace import Limits, Pace
from adapters.store.migrating import migrate
from adapters.store.postgres import PostgresStore
from domain.driver_link import CreateDecided, Decision, UpdateDecided
from domain.identity import AccountId, Target, link_stream
from domain.ports import TargetDrivers
from services.accounts.read_models import keep_accounts
from services.projector import wiring
from services.projector.app import MOST_CALLS, ProjectorApp
from services.projector.handlers import Wishes
from services.projector.read_models import RosterRow, Task, WalkRow
from services.runtime.clock import utc_now
from services.runtime.logs import reports_of
from services.runtime.service import Bell
from services.runtime.share import Share
from tests.benchmarks.fleet import AT, Fleet, profile
from tests.benchmarks.servers import Servers
from tests.benchmarks.standing_in import credentials

ACCOUNTS = 4
DRIVERS = 500
"""Of each account."""

UNLIMITED = Limits(calls_per_second=1_000_000.0, calls_at_once=MOST_CALLS)
LINGER = 0.002
"""Seconds, as in the distributed shape."""

_CHANGED = ["first_name", "last_name"]
_LOOK = 0.02


class Noting(httpx.AsyncHTTPTransport):
    """The way to a sandbox, which notes each request about drivers."""

    def __init__(self, noted: list[httpx.Request]) -> None:
        super().__init__(limits=httpx.Limits(max_connections=MOST_CALLS))
        self._noted = noted

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on."""
        if "/auth/" not in request.url.path:
            self._noted.append(request)
        return await super().handle_async_request(request)


class Projecting:
    """A projector, and accounts that have nobody at its target yet. `noted` are the requests of the last wishes."""

    def __init__(self, servers: Servers, target: Target, url: str) -> None:
        database, schema = servers.database(), f"projector_{target}"
        migrate(database, "", {schema: wiring.ROWS})
        self.noted: list[httpx.Request] = []
        self._target = target
        self._url = url
        self._store = PostgresStore(database, "", schema=schema, log_name=reports_of(target), rows=wiring.ROWS)
        self._wishes = Wishes(self._store, target, utc_now, Share())
        self._reached: dict[AccountId, TargetDrivers] = {}
        self._fleets = [
            Fleet(account=account, drivers=DRIVERS, first=1 + place * DRIVERS)
            for place, account in enumerate(accounts(target))
        ]
        for fleet in self._fleets:
            self._store.commit(keep_accounts(self._store, fleet.account_events))

    async def walk(self) -> None:
        """Read all rosters, as is done before anything is decided."""
        await self._run_until(lambda: self._store.count(WalkRow) == {(): ACCOUNTS})

    async def creates(self) -> float:
        """Create everybody; the seconds from stored wishes to stored answers."""
        return await self._seconds([self._create(fleet, number) for fleet in self._fleets for number in fleet.numbers])

    async def updates(self) -> float:
        """Update everybody; the seconds from stored wishes to stored answers."""
        keys = {row.profile["email"]: row.key for row in self._store.select(RosterRow)}
        return await self._seconds(
            [self._update(fleet, number, keys) for fleet in self._fleets for number in fleet.numbers]
        )

    async def close(self) -> None:
        """Let go of the target and of the database."""
        for drivers in self._reached.values():
            await drivers.close()
        self._store.close()

    async def _seconds(self, decisions: Sequence[Decision]) -> float:
        self._store.commit(self._wishes.on_decisions([*enumerate(decisions, 1)]))
        self.noted.clear()
        with settled_memory():
            return await self._run_until(lambda: self._store.count(Task) == {(): 0})

    async def _run_until(self, is_done: Callable[[], bool]) -> float:
        """Run the projector; the seconds until then."""
        app = self._app()
        began, running = perf_counter(), asyncio.create_task(app.run())
        while not await app.service.call(is_done) and not running.done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK)
        seconds = perf_counter() - began
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return seconds

    def _app(self) -> ProjectorApp:
        return wiring.to_app(
            self._store,
            self._target,
            connect=self._connect,
            clock=utc_now,
            bell=Bell(),
            share=Share(),
            linger=LINGER,
        )

    def _connect(self, account: AccountId) -> TargetDrivers:
        if account not in self._reached:
            self._reached[account] = self._to_drivers(account)
        return self._reached[account]

    def _to_drivers(self, account: AccountId) -> TargetDrivers:
        transport, pace, known = Noting(self.noted), Pace(UNLIMITED), credentials(self._target, account)
        if self._target is Target.MOTIVE:
            return MotiveDrivers(
                MotiveAccess(base_url=self._url, api_key=known["api_key"]), transport=transport, pace=pace
            )
        return DriveriDrivers(DriveriAccess(base_url=self._url, **known), transport=transport, pace=pace)

    def _create(self, fleet: Fleet, number: int) -> Decision:
        wished_key = profile(number)["driveri_driver_id"] if self._target is Target.DRIVERI else None
        return CreateDecided(
            **self._origin(fleet, number, edition=1),
            key=None,
            wished_key=wished_key,
            profile=self._profile(fleet, number, edition=1),
            fields=[],
            answers=0,
        )

    def _update(self, fleet: Fleet, number: int, keys: Mapping[str, str]) -> Decision:
        key = keys[profile(number)["email"]]
        return UpdateDecided(
            **self._origin(fleet, number, edition=2),
            key=key,
            wished_key=key,
            profile=self._profile(fleet, number, edition=2),
            fields=_CHANGED,
            answers=1,
        )

    def _origin(self, fleet: Fleet, number: int, *, edition: int) -> dict[str, Any]:
        """What every decision says, apart from what shall happen."""
        driver = fleet.driver(number)
        return {
            "originator_id": link_stream(fleet.account, self._target, driver),
            "originator_version": edition,
            "at": AT,
            "account": fleet.account,
            "target": str(self._target),
            "driver": driver,
            "sequence": edition,
            "terms": fleet.walks[0].terms,
            "waits_for": "",
            "because": {},
        }

    def _profile(self, fleet: Fleet, number: int, *, edition: int) -> dict[str, str]:
        stated = profile(number, edition=edition)
        is_motive = self._target is Target.MOTIVE
        return {**stated, "portal_driver_id": fleet.driver(number)} if is_motive else stated


def accounts(target: Target) -> list[AccountId]:
    """Whose drivers they are."""
    return [AccountId(f"{target}-{place}") for place in range(ACCOUNTS)]


@contextmanager
def settled_memory() -> Iterator[None]:
    """A service's process does not hold all of a fleet, for its garbage collector to look through."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
