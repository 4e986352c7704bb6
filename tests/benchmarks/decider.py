"""The decider on PostgreSQL: changes from Kafka to stored decisions, beside what the library and the database can do.

One account, Sync Drivers on for both targets, a change for each driver: that all of them are created, as after an
import; then, when the targets have them, that all of them are updated. In each lap the same decisions are stored once
more by the library alone.

As in a service's process, the partition is owned once, before anything: what was decided, and what the targets
answered, is still in memory when the updates come, because these are fewer drivers than a decider remembers. How fast
updates are decided right after a start, when nothing is in memory, stands beside that without a budget.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from statistics import median

from eventsourcing.persistence import StoredEvent

from adapters.events import to_stored_event
from adapters.store.postgres import PostgresStore, migrate
from domain.driver_link import Decision
from domain.identity import AccountId
from domain.store import Event, Stream, Unit
from services.decider.handlers import Decider
from services.runtime.consumer import BATCH
from services.runtime.context import DECISIONS, Assignment
from services.runtime.service import Notifier, Service
from services.wiring import registry
from tests.benchmarks.budgets import DECIDER
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import AT, Fleet, confirmed
from tests.benchmarks.profiling import profiled
from tests.benchmarks.raw import raw_seconds
from tests.benchmarks.servers import Servers
from tests.benchmarks.taking import Step, Topic
from tests.benchmarks.telling import Telling

LAPS = 3
DRIVERS = 2_000

_SCHEMA = "decider"
_EDITIONS = {"creates": 1, "updates": 2}
_LAST_EDITION = 3
_ALL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """What one lap came to, in changes and decisions a second."""

    kind: str
    changes: float
    decisions: float
    raw: float
    after_start: float | None = None
    """Changes a second, where nothing is in memory."""


class Laps:
    """The product's own handlers on a database of their own."""

    def __init__(self, servers: Servers) -> None:
        self._url = servers.database()
        self._kafka = servers.kafka
        migrate(self._url, "", {_SCHEMA: registry.DECIDER_ROWS})
        store = PostgresStore(self._url, "", schema=_SCHEMA, log_name=DECISIONS, rows=registry.DECIDER_ROWS)
        self._store = registry.SERVICES[_SCHEMA].caching_owned(store)
        self._decider = Decider(self._store, _now, Assignment())
        self._store.own([0])

    async def run(self, number: int) -> Sequence[Lap]:
        """One lap, with an account of its own."""
        fleet = self._opted_in(number)
        laps = []
        for kind, edition in _EDITIONS.items():
            before, changes = self._store.log.end(), [*fleet.changes(edition)]
            laps.append(await self._lap(f"{kind}_{number}", kind, changes))
            self._confirm(before)
        changes = [*fleet.changes(_LAST_EDITION)]
        self._store.own([0])
        laps[-1] = replace(laps[-1], after_start=len(changes) / await self._seconds(changes))
        return laps

    def profiles(self, number: int) -> Mapping[str, str]:
        """Where the time goes of what is decided in batches, by threads that begin with it."""
        fleet, profiles = self._opted_in(number), {}
        for kind, edition in _EDITIONS.items():
            before = self._store.log.end()
            with profiled() as profiler:
                asyncio.run(self._seconds([*fleet.changes(edition)]))
            profiles[f"decider, {kind}"] = profiler.text()
            self._confirm(before)
        return profiles

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    async def _lap(self, name: str, kind: str, changes: Sequence[Event]) -> Lap:
        before = self._store.log.end()
        batched = await self._seconds(changes)
        decided = self._stored_behind(before)
        raw = await asyncio.to_thread(raw_seconds, self._url, f"raw_{name}", decided)
        return Lap(
            kind=kind,
            changes=len(changes) / batched,
            decisions=len(decided) / batched,
            raw=len(decided) / raw,
        )

    def _opted_in(self, number: int) -> Fleet:
        fleet = Fleet(account=AccountId(f"lap-{number}"), drivers=DRIVERS)
        self._take(self._decider.on_accounts, fleet.account_events)
        self._take(self._decider.on_reports, fleet.scans)
        while self._decider.reconcile():
            pass
        return fleet

    def _confirm(self, before: int) -> None:
        """Let the targets do everything that was decided since."""
        events = [record.event for record in self._store.log.read(before, _ALL)]
        for some in _batches(confirmed(event for event in events if isinstance(event, Decision))):
            self._take(self._decider.on_reports, some)

    def _take(self, handler: Callable[[Sequence[tuple[int, Event]]], Unit], events: Sequence[Event]) -> None:
        self._store.commit(handler([*enumerate(events, 1)]))

    async def _seconds(self, changes: Sequence[Event]) -> float:
        topic = Topic(self._kafka)
        await topic.fill(changes)
        return await topic.taken(self._in_batches)

    def _in_batches(self, stream: Stream) -> Step:
        service = Service(
            "decider",
            store=self._store,
            clock=_now,
            notifier=Notifier(),
            handlers={stream.name.split("/")[1]: self._decider.on_changes},
            chores=[self._decider.look_again, self._decider.reconcile],
        )
        service.follow([stream])
        return service.step

    def _stored_behind(self, position: int) -> list[StoredEvent]:
        records = self._store.log.read(position, _ALL)
        return [to_stored_event(record.id, record.topic, record.body) for record in records]


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """The median of each figure over all laps."""
    done, laps = telling("decider", LAPS), list[Lap]()
    with closing(Laps(servers)) as running:
        for number in range(LAPS):
            laps += asyncio.run(running.run(number))
            done(number + 1)
    return [_to_finding(kind, [each for each in laps if each.kind == kind]) for kind in _EDITIONS]


def profiles(servers: Servers, _: Telling) -> Mapping[str, str]:
    """Where the time goes."""
    with closing(Laps(servers)) as running:
        return running.profiles(LAPS)


def _to_finding(kind: str, laps: Sequence[Lap]) -> Finding:
    return Finding(
        what=f"decider, {kind}: to the raw insert",
        ours=median(lap.decisions for lap in laps),
        unit="decisions a second",
        budget=DECIDER,
        beside=median(lap.raw for lap in laps),
        behind={f"{kind} a second": median(lap.changes for lap in laps), **_after_start(kind, laps)},
    )


def _after_start(kind: str, laps: Sequence[Lap]) -> Mapping[str, float]:
    measured = [lap.after_start for lap in laps if lap.after_start]
    return {f"{kind} a second right after a start": median(measured)} if measured else {}


def _batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    remaining = iter(events)
    while some := list(islice(remaining, BATCH)):
        yield some


def _now() -> datetime:
    return AT
