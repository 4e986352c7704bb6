"""One target's projector on a database, without a decider: its desired states are put into its store."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from adapters.http.client import RateLimiter, RateLimits
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from adapters.store.postgres import PostgresStore, migrate
from domain.driver_link import CreateDecided, Decision, UpdateDecided
from domain.identity import AccountId, Target, link_stream
from domain.outcomes import CallAnswered
from domain.ports import TargetDrivers
from domain.store import FILLED, Store, Unit
from services.accounts.handlers import keep_accounts
from services.projector.calls import Connecting
from services.projector.deliveries import MOST_CALLS
from services.projector.read_models import DeliveryRow, ScanRow, at_once, decided
from services.runtime.caching import CachingStore
from services.runtime.context import Assignment, outcomes_of, utc_now
from services.runtime.service import Notifier
from services.wiring import registry
from tests.benchmarks.fleet import AT, Fleet, profile
from tests.benchmarks.servers import Servers
from tests.benchmarks.stand_in import credentials

ACCOUNTS = 16
DRIVERS = 125
"""Of each account."""

PARTS = 2
"""The parts in which they are desired, so that the bare calls can be measured between them."""

UNLIMITED = RateLimits(calls_per_second=1_000_000.0, calls_at_once=MOST_CALLS // ACCOUNTS)
CHANGED = ("first_name", "last_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """A driver of an account that is to be as the Portal states it."""

    fleet: Fleet
    number: int

    @property
    def account(self) -> AccountId:
        """Whose driver it is."""
        return self.fleet.account


class Counting(RateLimiter):
    """A rate limiter without a limit, which counts the requests."""

    def __init__(self) -> None:
        super().__init__(UNLIMITED)
        self.requests = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Let a request go out."""
        self.requests += 1
        async with super().slot() as began:
            yield began


class CountingStore(CachingStore):
    """A store as a projector's process has it; it counts the answers, so that no query is needed to know the end."""

    answers = 0

    def commit(self, unit: Unit) -> bool:
        """Store a unit."""
        is_stored = super().commit(unit)
        self.answers += is_stored and sum(isinstance(event, CallAnswered) for event in unit.events)
        return is_stored


class Projecting:
    """A projector, and accounts without drivers at its target."""

    def __init__(self, servers: Servers, target: Target, url: str) -> None:
        database, schema = servers.database(), f"projector_{target}"
        migrate(database, "", {schema: registry.PROJECTOR_ROWS})
        self._target = target
        self._url = url
        spec = next(spec for spec in registry.SERVICES.values() if spec.target is target)
        database_store = PostgresStore(
            database, "", schema=schema, log_name=outcomes_of(target), rows=registry.PROJECTOR_ROWS
        )
        self._store = CountingStore(database_store, spec.cached, spec.cached_groups)
        self._rate_limiters: list[Counting] = []
        self._reached: dict[AccountId, TargetDrivers] = {}
        for fleet in fleets(target):
            self._store.commit(keep_accounts(self._store, fleet.account_events))

    @property
    def requests(self) -> int:
        """How many requests were sent by now."""
        return sum(rate_limiter.requests for rate_limiter in self._rate_limiters)

    async def scan(self) -> None:
        """Read all rosters, as is done before anything is decided."""
        await self._run_until(lambda: self._store.count(ScanRow) == {(): ACCOUNTS})

    async def creates(self, desired: Iterable[Desired]) -> float:
        """Create these drivers; the seconds from stored desired states to stored answers."""
        return await self._seconds([self._create(each) for each in desired])

    async def updates(self, desired: Iterable[Desired]) -> float:
        """Update these drivers; the seconds from stored desired states to stored answers."""
        keys = dict(self._keys())
        return await self._seconds([self._update(each, keys) for each in desired])

    def _in_hand(self) -> int:
        """How many deliveries are due or under way."""
        return sum(self._store.count(DeliveryRow, {column: FILLED})[()] for column in ("due", "started"))

    def _keys(self) -> Iterator[tuple[str, str]]:
        """The key of each driver who was created, by e-mail address."""
        for record in self._store.log.read(0, self._store.log.end()):
            if isinstance(record.event, CallAnswered) and record.event.key:
                yield record.event.profile["email"], record.event.key

    async def close(self) -> None:
        """Let go of the target and of the database."""
        for drivers in self._reached.values():
            await drivers.close()
        self._store.close()

    async def _seconds(self, decisions: Sequence[Decision]) -> float:
        unit = Unit()
        places = [(decision.account, decision.driver) for decision in decisions]
        known = {row.place: row for row in self._store.among(DeliveryRow, DeliveryRow.KEY, places)}
        for at, decision in enumerate(decisions, 1):
            new = DeliveryRow(account=decision.account, driver=decision.driver)
            unit.keep([replace(decided(known.get(new.place, new), decision), due=at_once(at))])
        self._store.commit(unit)
        answers = self._store.answers + len(decisions)
        with settled_memory():
            return await self._run_until(lambda: self._store.answers >= answers and not self._in_hand())

    async def _run_until(self, is_done: Callable[[], bool]) -> float:
        """Run the projector; the seconds until then."""
        return await run_until(is_done, self._store, self._target, self._connect)

    def _connect(self, account: AccountId) -> TargetDrivers:
        if account not in self._reached:
            self._reached[account] = self._to_drivers(account)
        return self._reached[account]

    def _to_drivers(self, account: AccountId) -> TargetDrivers:
        rate_limiter = Counting()
        self._rate_limiters.append(rate_limiter)
        return to_drivers(self._target, self._url, account, rate_limiter)

    def _create(self, desired: Desired) -> Decision:
        profile = profile_of(self._target, desired, edition=1)
        desired_key = profile["driveri_driver_id"] if self._target is Target.DRIVERI else None
        origin = self._origin(desired, edition=1)
        return CreateDecided(**origin, key=None, desired_key=desired_key, profile=profile, fields=[], answers=0)

    def _update(self, desired: Desired, keys: Mapping[str, str]) -> Decision:
        profile = profile_of(self._target, desired, edition=2)
        key, origin = keys[profile["email"]], self._origin(desired, edition=2)
        return UpdateDecided(**origin, key=key, desired_key=key, profile=profile, fields=[*CHANGED], answers=1)

    def _origin(self, desired: Desired, *, edition: int) -> dict[str, Any]:
        """The fields that all decisions share."""
        driver = desired.fleet.driver(desired.number)
        return {
            "originator_id": link_stream(desired.account, self._target, driver),
            "originator_version": edition,
            "at": AT,
            "account": desired.account,
            "target": str(self._target),
            "driver": driver,
            "sequence": edition,
            "policy_generation": desired.fleet.scans[0].policy_generation,
            "waits_for": "",
            "rationale": {},
        }


def to_drivers(target: Target, url: str, account: AccountId, rate_limiter: RateLimiter) -> TargetDrivers:
    """The target as this account reaches it."""
    known = credentials(target, account)
    if target is Target.MOTIVE:
        return MotiveDrivers(MotiveAccess(base_url=url, api_key=known["api_key"]), rate_limiter=rate_limiter)
    return DriveriDrivers(DriveriAccess(base_url=url, **known), rate_limiter=rate_limiter)


async def run_until(is_done: Callable[[], bool], store: Store, target: Target, connect: Connecting) -> float:
    """Run a projector until this holds in its store; the seconds."""
    notifier = Notifier()
    app = registry.build_projector(
        store,
        target,
        connect=connect,
        clock=utc_now,
        notifier=notifier,
        assignment=Assignment(),
        destroy=len,
    )
    notified = notifier.waiter()
    began, running = perf_counter(), asyncio.create_task(app.run())
    running.add_done_callback(lambda _: notified.set())
    while not running.done():
        notified.clear()
        if await app.service.call(is_done):
            break
        await notified.wait()
    seconds = perf_counter() - began
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return seconds


def fleets(target: Target) -> list[Fleet]:
    """The accounts, each with drivers of its own."""
    return [
        Fleet(account=AccountId(f"{target}-{place}"), drivers=DRIVERS, first=1 + place * DRIVERS)
        for place in range(ACCOUNTS)
    ]


def parts(target: Target) -> list[list[Desired]]:
    """All drivers, in parts that have as many of each account, one after the other."""
    in_turn = [
        Desired(fleet=fleet, number=number)
        for numbers in zip(*(fleet.numbers for fleet in fleets(target)), strict=True)
        for fleet, number in zip(fleets(target), numbers, strict=True)
    ]
    size = len(in_turn) // PARTS
    return [in_turn[start : start + size] for start in range(0, len(in_turn), size)]


def profile_of(target: Target, desired: Desired, *, edition: int) -> dict[str, str]:
    """What the Portal states of a driver; Motive gets the portal driver's own id too."""
    stated = profile(desired.number, edition=edition)
    is_told_all = target is Target.MOTIVE
    return {**stated, "portal_driver_id": desired.fleet.driver(desired.number)} if is_told_all else stated


@contextmanager
def settled_memory() -> Iterator[None]:
    """A service's process does not hold all of a fleet, for its garbage collector to look through."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
