"""Processes of a service in their group, and what a database keeps for them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

from adapters.events import new_mapper, to_record
from adapters.kafka.connection import KafkaAccess
from adapters.kafka.consumer import Group, KafkaConsumer, TopicSubscription
from adapters.kafka.producer import Beginning, KafkaPublisher
from adapters.kafka.streams import KafkaStream
from adapters.kafka.topics import Beginnings, Namespace, create
from domain.store import Event, Record, StoreFailed
from tests.support.hanging import HANGS

PARTITIONS = 4

SESSION = 4.0
"""Seconds after which a group misses a member."""

_PATIENCE = HANGS

_MAPPER = new_mapper()


class EpochsInMemory:
    """Keeps where epochs begin."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, dict[int, int]]] = {}

    def beginnings(self, topic: str) -> Beginnings:
        return {epoch: dict(offsets) for epoch, offsets in self._kept.get(topic, {}).items()}

    def begin(self, epoch: str, topic: str, offsets: Mapping[int, int]) -> None:
        self._kept.setdefault(topic, {}).setdefault(epoch, dict(offsets))


@dataclass(kw_only=True)
class Database:
    """How far a service has come, and what it took over."""

    positions: Counter[str] = field(default_factory=Counter)
    taken: list[Record] = field(default_factory=list)
    epochs: EpochsInMemory = field(default_factory=EpochsInMemory)
    failure: StoreFailed | None = None


class Process:
    """A process of a service; it reads only when it is told to."""

    def __init__(
        self,
        subscription: TopicSubscription,
        access: KafkaAccess,
        database: Database,
        *,
        epoch: str = "1",
        namespace: Namespace = Namespace(),  # noqa: B008 - a frozen value
    ) -> None:
        self.database = database
        self.streams: Mapping[str, KafkaStream] = {}
        self.happened: list[str] = []
        self.is_at_work = False
        self.trouble: Exception | None = None
        self.notifier = asyncio.Event()
        self.member = KafkaConsumer(
            access, subscription, self, epoch=epoch, namespace=namespace, epochs=database.epochs
        )
        self.running = asyncio.create_task(self.member.run())
        self.running.add_done_callback(lambda _: self.notifier.set())

    @property
    def partitions(self) -> dict[str, set[int]]:
        """The partitions that it has in each topic."""
        found: dict[str, set[int]] = {}
        for stream in self.streams.values():
            found.setdefault(stream.place.topic, set()).add(stream.partition)
        return found

    async def assigned(self, streams: Sequence[KafkaStream]) -> Mapping[str, int]:
        self.streams = {stream.name: stream for stream in streams}
        self.happened.append(f"assigned {len(streams)}")
        self.notifier.set()
        if self.database.failure:
            raise self.database.failure
        return {name: self.database.positions[name] for name in self.streams}

    async def begins(self, positions: Mapping[str, int]) -> None:
        self.database.positions.update(positions)

    async def revoked(self, names: Collection[str]) -> None:
        self.happened.append(f"revoked {len(names)}")
        self.notifier.set()
        await self.until(lambda: not self.is_at_work)
        self.streams = {}

    def arrived(self) -> None:
        self.notifier.set()
        if self.trouble:
            raise self.trouble

    async def read(self) -> int:
        """Take what has arrived; how much it was."""
        count = 0
        for name, stream in self.streams.items():
            records = await asyncio.to_thread(stream.read, self.database.positions[name], 500)
            self.database.taken += records
            self.database.positions[name] = records[-1].position if records else self.database.positions[name]
            count += len(records)
        return count

    async def take(self, count: int) -> None:
        """Take records until the service has this many."""
        while len(self.database.taken) < count:
            if not await self.read():
                await self._next_notification()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something has happened that makes this so."""
        while not is_so():
            await self._next_notification()

    def finish(self) -> None:
        """Have no work under way any more."""
        self.is_at_work = False
        self.notifier.set()

    async def end(self) -> None:
        """Let it end as SIGTERM does. Raises what it ended with before."""
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    async def _next_notification(self) -> None:
        async with asyncio.timeout(_PATIENCE):
            await self.notifier.wait()
        assert not self.running.done(), "the process has ended"
        self.notifier.clear()


class Deployment:
    """Topics of its own, a publisher, and the service that follows them."""

    def __init__(self, access: KafkaAccess, *, topics: int = 2) -> None:
        name = uuid4().hex
        self.access = access
        self.topics = [f"{name}.{number}.v1" for number in range(topics)]
        self.group = f"{name}.service"
        self.database = Database()
        self.publisher = KafkaPublisher(self.access, service="upstream")
        self._position = 0

    async def publish(self, topic: str, events: Sequence[Event]) -> list[Record]:
        """Relay these facts; as they are in the log."""
        records = [self.logged(event) for event in events]
        await self.publisher.publish(topic, records)
        return records

    @asynccontextmanager
    async def process(self, member: str = "") -> AsyncIterator[Process]:
        """A process of the service while it runs; it fails as the process does."""
        process = self.started(member)
        try:
            yield process
        finally:
            await process.end()

    @asynccontextmanager
    async def process_of(self, epoch: str, namespace: Namespace = Namespace()) -> AsyncIterator[Process]:  # noqa: B008 - a frozen value
        """A process of the service in this epoch while it runs; it fails as the process does."""
        process = self.started(epoch=epoch, namespace=namespace)
        try:
            yield process
        finally:
            await process.end()

    @asynccontextmanager
    async def publisher_of(
        self, epoch: str, installation: str = "", *, prefix: str = "", is_careful: bool = True
    ) -> AsyncIterator[KafkaPublisher]:
        """Another publisher, of a log that is to be sent from its beginning in this epoch."""
        beginning = Beginning(epochs=self.database.epochs, epoch=epoch, is_new=True) if is_careful else None
        namespace = Namespace(installation=installation, prefix=prefix)
        publisher = KafkaPublisher(self.access, service="upstream", namespace=namespace, beginning=beginning)
        try:
            yield publisher
        finally:
            await publisher.close()

    def started(
        self,
        member: str = "",
        *,
        partitions: int = PARTITIONS,
        session_timeout: float = SESSION,
        epoch: str = "1",
        namespace: Namespace = Namespace(),  # noqa: B008 - a frozen value
    ) -> Process:
        """A process of the service, in the present event loop."""
        group = Group(name=self.group, member=member, session_timeout=session_timeout)
        subscription = TopicSubscription(topics=self.topics, partitions=partitions, group=group)
        return Process(subscription, self.access, self.database, epoch=epoch, namespace=namespace)

    def logged(self, event: Event) -> Record:
        """A fact as the log has it, at its next place."""
        self._position += 1
        return to_record(_MAPPER, self._position, _MAPPER.to_stored_event(event))


@asynccontextmanager
async def deployed(servers: str | KafkaAccess, *, topics: int = 2) -> AsyncIterator[Deployment]:
    """A deployment whose topics are there."""
    access = KafkaAccess(servers=tuple(servers.split(","))) if isinstance(servers, str) else servers
    deployment = Deployment(access, topics=topics)
    await create(deployment.access, deployment.topics, partitions=PARTITIONS, replication=1)
    try:
        yield deployment
    finally:
        await deployment.publisher.close()
