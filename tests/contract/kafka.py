"""A partition of a Kafka topic on its stand: followed as the services do it, filled as they fill it."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Future, wait
from threading import Event as Signal
from threading import Thread
from typing import Any, TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from adapters.events import new_mapper, to_record
from adapters.kafka.connection import KafkaAccess
from adapters.kafka.consumer import Group, KafkaConsumer, TopicSubscription
from adapters.kafka.producer import KafkaPublisher
from adapters.kafka.streams import KafkaStream
from adapters.kafka.topics import create
from domain.store import Event, Stream
from tests.support.hanging import HANGS

T = TypeVar("T")

_PATIENCE = HANGS


class LoopThread:
    """An event loop in a thread of its own, as a service has one beside the thread in which it reads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="loop")
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin this in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What this comes to in the loop."""
        return self.start(work).result(_PATIENCE)

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Follower:
    """Follows whatever is assigned, from its beginning."""

    def __init__(self) -> None:
        self.streams: Sequence[KafkaStream] = ()
        self.changed = Signal()

    async def assigned(self, streams: Sequence[KafkaStream]) -> Mapping[str, int]:
        self.streams = streams
        self.changed.set()
        return dict.fromkeys((stream.name for stream in streams), 0)

    async def begins(self, positions: Mapping[str, int]) -> None:
        """Nothing was removed from a topic of its own."""

    async def revoked(self, names: Collection[str]) -> None:
        self.streams = [stream for stream in self.streams if stream.name not in names]

    def arrived(self) -> None:
        self.changed.set()


class KafkaStand:
    """One partition of a topic of its own; what is put has arrived when it has been put."""

    def __init__(self, servers: str, loop: LoopThread) -> None:
        self._loop = loop
        self._access = KafkaAccess(servers=tuple(servers.split(",")))
        self._topic = f"contract.{uuid4().hex}.v1"
        self._mapper = new_mapper()
        self._written = 0
        self._sent = 0
        self._follower = _Follower()
        self._loop.do(create(self._access, [self._topic], partitions=1, replication=1))
        self._publisher = KafkaPublisher(self._access, service="contract")
        self._running = self._loop.start(self._run())
        self._running.add_done_callback(lambda _: self._follower.changed.set())

    @property
    def stream(self) -> Stream:
        """The topic's only partition."""
        self._until(lambda: bool(self._follower.streams))
        return self._follower.streams[0]

    def put(self, events: Sequence[Event]) -> None:
        """Relay these facts as the log of a service has them."""
        records = [to_record(self._mapper, self._next(), self._mapper.to_stored_event(event)) for event in events]
        self._loop.do(self._publisher.publish(self._topic, records))
        self._await_arrival(len(records))

    def put_record(self, topic: str, body: bytes) -> None:
        """Send a record as any producer could, readable or not."""
        headers = {
            "ce_specversion": "1.0",
            "ce_id": f"{uuid4()}/1",
            "ce_type": topic,
            "ce_sequence": str(self._next()),
            "content-type": "application/json",
        }
        self._loop.do(self._send([(name, value.encode()) for name, value in headers.items()], body))
        self._await_arrival(1)

    def close(self) -> None:
        """Leave the group, and let go of the connections."""
        self._running.cancel()
        wait([self._running])
        self._loop.do(self._publisher.close())

    async def _run(self) -> None:
        group = Group(name=f"{self._topic}.followers")
        subscription = TopicSubscription(topics=[self._topic], partitions=1, group=group)
        await KafkaConsumer(self._access, subscription, self._follower).run()

    async def _send(self, headers: Sequence[tuple[str, bytes]], body: bytes) -> None:
        async with AIOKafkaProducer(**self._access.to_options()) as producer:
            await producer.send_and_wait(self._topic, body, key=b"acme", headers=headers)

    def _next(self) -> int:
        self._written += 1
        return self._written

    def _await_arrival(self, records: int) -> None:
        self._sent += records
        self._until(lambda: bool(self._follower.streams) and self._follower.streams[0].buffer.reached >= self._sent)

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            assert not self._running.done(), self._running.exception()
            assert self._follower.changed.wait(_PATIENCE), "nothing has arrived"
            self._follower.changed.clear()
