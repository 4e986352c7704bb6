"""How a service's log gets to Kafka: in order, without a gap, by one process of the service at a time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from domain.store import Misconfigured, Position, Record, Store, StoreFailed, Unit
from services.runtime.consumer import BATCH
from services.runtime.service import LeaderLock, Troubles, Worker

REST = 1.0
"""Seconds after which we look for something to send, or whether we have the leader lock, though nothing woke us."""

STUCK: Final = 30.0
"""Seconds of failures after which a log counts as stuck: longer than a broker's restart takes."""

_log = structlog.get_logger()


class Publisher(Protocol):
    """The way to a topic; after a failure another one has to be opened."""

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        """Send these records in order, and wait until all are acknowledged. Raises `StoreFailed`."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


def position_name(epoch: str, log: str) -> str:
    """Under which name a store keeps how far its log was relayed in this epoch."""
    return f"relay/{epoch}/{log}"


View = Callable[[Sequence[Record]], Sequence[Record]]
"""What a topic has in place of these records of a log, in their order."""


class Relay:
    """Sends a store's log, or a view of it, to a topic while it has the leader lock.

    How far it came is stored after the acknowledgement, now and then: what was sent since then is sent again by the
    next one, so consumers of a topic drop what they have consumed before.
    """

    def __init__(
        self,
        store: Store,
        topic: str,
        *,
        epoch: str,
        leader_lock: LeaderLock,
        opening: Callable[[], Publisher],
        view: View = tuple,
    ) -> None:
        self._store = store
        self._topic = topic
        self._leader_lock = leader_lock
        self._opening = opening
        self._view = view
        self._name = position_name(epoch, topic)
        self._troubles = Troubles(topic=topic)
        self._worker = Worker(f"relay-{topic}")
        self._sent_up_to: int | None = None
        self._kept = 0
        self._kept_at = 0.0
        self.sent = 0
        self.is_relaying = False
        self._failing_since: float | None = None

    async def run(self) -> None:
        """Relay until cancelled; a failure that may pass is logged, and after a rest everything starts over.

        Raises `Misconfigured`.
        """
        while True:
            try:
                self.is_relaying = await self._worker.call(self._leader_lock.take)
                if self.is_relaying:
                    await self._relay()
            except Misconfigured:
                raise
            except StoreFailed as failure:
                self._troubles.met("relay starts over", str(failure))
                self._failing_since = self._failing_since or asyncio.get_running_loop().time()
            await asyncio.sleep(REST)

    def lag(self) -> int:
        """How far the topic is behind the log. Raises `StoreFailed`."""
        sent_up_to = self._store.position(self._name) if self._sent_up_to is None else self._sent_up_to
        return max(0, self._store.log.end() - sent_up_to)

    def stuck(self) -> str | None:
        """What has kept the log from being relayed for longer than `STUCK`; None if nothing has."""
        if self._failing_since is None:
            return None
        seconds = asyncio.get_running_loop().time() - self._failing_since
        return f"{self._topic} has not been relayed for {seconds:.0f} seconds" if seconds >= STUCK else None

    def close(self) -> None:
        """End after the step in hand, and leave the lock to others."""
        self._worker.close()
        self._leader_lock.close()
        self._store.close()

    async def _relay(self) -> None:
        publisher = self._opening()
        _log.info("relay begins", topic=self._topic)
        try:
            position = await self._worker.call(self._store.position, self._name)
            records = await self._worker.call(self._store.log.read, position, BATCH)
            while True:
                position = await self._send(publisher, records, position)
                records = await self._worker.call(self._next, position, has_more=len(records) == BATCH)
        finally:
            self._sent_up_to = None
            await publisher.close()
            await self._worker.call(self._leader_lock.close)

    def _next(self, position: int, *, has_more: bool) -> Sequence[Record]:
        """The records behind this position, which are waited for a while; none where none have come.

        What is stored while we send notifies the lock's connection, where that waits for us.
        """
        if not has_more:
            self._leader_lock.wait(REST)
        return self._store.log.read(position, BATCH)

    async def _send(self, publisher: Publisher, records: Sequence[Record], position: int) -> int:
        """Send these records; how far everything is sent, which is stored now and then."""
        if records:
            await self._publish(publisher, await self._worker.call(self._view, records))
            position = records[-1].position
        self._sent_up_to = position
        now = asyncio.get_running_loop().time()
        if position != self._kept and now - self._kept_at >= REST:
            await self._worker.call(self._store.commit, Unit(positions=[Position(name=self._name, at=position)]))
            self._kept, self._kept_at = position, now
        self._troubles.are_over()
        self._failing_since = None
        return position

    async def _publish(self, publisher: Publisher, records: Sequence[Record]) -> None:
        if records:
            await publisher.publish(self._topic, records)
            self.sent += len(records)
