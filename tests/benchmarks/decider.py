"""The decider on PostgreSQL: changes from Kafka to stored decisions, beside what the library and the database can do.

An account on both targets, all of whose drivers are linked; each change updates another one of them. In each lap the
same is done one change a commit, and as many decisions as the batches led to are stored by the library alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from statistics import median
from time import perf_counter

from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.postgres import PostgresProcessRecorder

from adapters.store.connecting import Datastore, connect
from adapters.store.mapping import new_mapper
from adapters.store.migrating import migrate
from adapters.store.postgres import PostgresStore
from domain.driver_link import Decision
from domain.event import Event
from domain.identity import AccountId
from domain.storing import Stream, Unit
from services.decider import wiring
from services.decider.handlers import Decider
from services.runtime.following import BATCH, Feed, Follower
from services.runtime.logs import DECISIONS
from services.runtime.service import Bell, Service
from services.runtime.share import Share
from tests.benchmarks.findings import Bound, Finding
from tests.benchmarks.fleet import AT, Fleet, confirmed
from tests.benchmarks.taking import Sipped, Step, Topic

LAPS = 3
DRIVERS = 4_000
SINGLE = 300
"""Changes of a lap that are decided one at a time."""

_SCHEMA = "decider"
_RAW = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """What one lap came to, in changes and decisions a second."""

    changes: float
    decisions: float
    single: float
    raw: float


class Laps:
    """A decider on a database of its own, whose handlers are those of the product."""

    def __init__(self, url: str, servers: str) -> None:
        self._url = url
        self._servers = servers
        migrate(url, "", {_SCHEMA: wiring.ROWS})
        self.store = PostgresStore(url, "", schema=_SCHEMA, log_name=DECISIONS, rows=wiring.ROWS)
        self._decider = Decider(self.store, _now, Share())

    async def run(self, number: int) -> Lap:
        """One lap, with an account of its own."""
        fleet = Fleet(account=AccountId(f"lap-{number}"), drivers=DRIVERS + SINGLE)
        self.link(fleet)
        changes = [*fleet.updated_only]
        single = await self._seconds(changes[:SINGLE], self._one_by_one)
        before = self.store.log.end()
        batched = await self._seconds(changes[SINGLE:], self._in_batches)
        decided = self._stored_behind(before)
        raw = raw_seconds(self._url, f"{_RAW}_{number}", decided)
        return Lap(
            changes=DRIVERS / batched, decisions=len(decided) / batched, single=SINGLE / single, raw=len(decided) / raw
        )

    def link(self, fleet: Fleet) -> None:
        """Let every driver of this fleet be linked on both targets."""
        self._take(self._decider.on_accounts, fleet.account_events)
        self._take(self._decider.on_reports, fleet.walks)
        while self._decider.catch_up():
            pass
        for some in _batches(fleet.created):
            before = self.store.log.end()
            self._take(self._decider.on_changes, some)
            decisions = [each.event for each in self.store.log.read(before, 4 * BATCH)]
            self._take(self._decider.on_reports, [*confirmed(e for e in decisions if isinstance(e, Decision))])

    def _take(self, handler: Callable[[Sequence[tuple[int, Event]]], Unit], events: Sequence[Event]) -> None:
        self.store.commit(handler([*enumerate(events, 1)]))

    async def _seconds(self, changes: Sequence[Event], following: Callable[[Topic, Stream], Step]) -> float:
        topic = Topic(self._servers)
        await topic.fill(changes)
        return await topic.taken_over(self.store, lambda stream: following(topic, stream))

    def _one_by_one(self, _: Topic, stream: Stream) -> Step:
        feed = Feed(stream=Sipped(stream), handler=self._decider.on_changes, may_repeat=True)
        return Follower(feed, self.store, _now).step

    def _in_batches(self, topic: Topic, stream: Stream) -> Step:
        service = Service(
            "decider",
            store=self.store,
            clock=_now,
            bell=Bell(),
            handlers={topic.name: self._decider.on_changes},
            chores=[self._decider.look_again, self._decider.catch_up],
        )
        service.follow([stream], may_repeat=True)
        return service.step

    def _stored_behind(self, position: int) -> list[StoredEvent]:
        mapper = new_mapper()
        records = self.store.log.read(position, 4 * DRIVERS)
        return [mapper.to_stored_event(record.event) for record in records if record.event]


def raw_seconds(url: str, schema: str, events: Sequence[StoredEvent]) -> float:
    """The seconds in which the library's own recorder stores these events, in batches, with tracking and no more."""
    with closing(connect(url, "")) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    with closing(Datastore(url, "", schema)) as datastore:
        recorder = PostgresProcessRecorder(datastore)
        recorder.create_table()
        began = perf_counter()
        for at, some in enumerate(_batches(events), 1):
            recorder.insert_events(some, tracking=Tracking("raw", at))
        return perf_counter() - began


def to_findings(laps: Sequence[Lap]) -> Iterator[Finding]:
    """What the laps come to: the median of each figure."""
    figures = {
        "changes a second": median(lap.changes for lap in laps),
        "decisions a second": median(lap.decisions for lap in laps),
        "changes a second, one at a time": median(lap.single for lap in laps),
        "decisions a second, stored by the library alone": median(lap.raw for lap in laps),
    }
    single, raw = (median(ratios) for ratios in ([l.changes / l.single for l in laps], [l.decisions / l.raw for l in laps]))
    yield Finding(what="decider, to one at a time", measured=single, budget=12, bound=Bound.AT_LEAST, behind=figures)
    yield Finding(what="decider, to the raw insert", measured=raw, budget=0.5, bound=Bound.AT_LEAST, behind=figures)


def _now():
    return AT

def _batches(events):
    remaining = iter(events)
    while some := list(islice(remaining, BATCH)):
        yield some
