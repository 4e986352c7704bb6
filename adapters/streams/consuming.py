"""A service's process in its group: it reads what Kafka gives it as its share, until it is told to stop."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber

from adapters.streams.access import KafkaAccess
from adapters.streams.assigning import Assigning, Followed
from adapters.streams.failures import StreamsFailed
from adapters.streams.fetching import Fetching
from adapters.streams.subscribing import Subscription, subscribed, to_broker
from adapters.streams.topics import check

_HINT = 5.0
"""Seconds between hints to Kafka at how far we are, for its own tools; what counts is stored elsewhere."""

_PATIENCE = 5.0
"""Seconds that Kafka has for taking a hint, and for seeing us off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a member is: the streams that are open, and when Kafka last answered for one of them."""

    streams: tuple[str, ...]
    answered_at: datetime | None


class KafkaMember:
    """A service's process in its group, for one run. It is made in the event loop."""

    def __init__(
        self, access: KafkaAccess, subscription: Subscription, followed: Followed, *, epoch: str = "1"
    ) -> None:
        self._access = access
        self._subscription = subscription
        self._subscriber: BatchSubscriber | None = None
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._fetching = Fetching(self._consumer, followed.arrived)
        self._assigning = Assigning(
            epoch=epoch, fetching=self._fetching, followed=followed, consumer=self._consumer, failed=self._fail
        )

    @property
    def health(self) -> Health:
        """How this member is now."""
        streams = self._fetching.streams
        answers = [self._consumer().last_poll_timestamp(stream.place) for stream in streams]
        last = max((answer for answer in answers if answer), default=None)
        return Health(
            streams=tuple(stream.name for stream in streams),
            answered_at=None if last is None else datetime.fromtimestamp(last / 1000, UTC),
        )

    async def run(self) -> None:
        """Read until cancelled. Raises `StreamsFailed` when that cannot go on, and what the service itself raises."""
        await check(self._access, self._subscription.topics, partitions=self._subscription.partitions)
        broker = to_broker(self._access, self._fail)
        self._subscriber = subscribed(broker, self._subscription, self._fetching.take, self._assigning)
        try:
            await self._read(broker)
        except KafkaError as failure:
            raise StreamsFailed(f"Kafka cannot be read any more: {failure}") from failure
        finally:
            await self._leave(broker)

    async def _read(self, broker: KafkaBroker) -> None:
        await broker.start()
        if self._subscription.group is None:
            await self._assigning.on_partitions_assigned(self._consumer().assignment())
        while self._failure is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._failed.wait(), _HINT)
            await self._hint()
        raise self._failure

    async def _leave(self, broker: KafkaBroker) -> None:
        await self._hint()
        await self._assigning.close()
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(broker.stop(), _PATIENCE)

    async def _hint(self) -> None:
        """Tell Kafka what is stored; whether it listens does not matter."""
        stored = {stream.place: stream.inbox.start for stream in self._fetching.streams}
        if self._subscription.group and stored:
            with suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(self._consumer().commit(stored), _PATIENCE)

    def _consumer(self) -> AIOKafkaConsumer:
        if self._subscriber is None or self._subscriber.consumer is None:
            raise StreamsFailed("Kafka is not being read")
        return self._subscriber.consumer

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure
        self._failed.set()
