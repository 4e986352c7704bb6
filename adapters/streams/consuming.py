"""A service's process in its group: it reads what Kafka gives it as its share, until it is told to stop."""

import asyncio
from collections.abc import Sequence
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
from adapters.streams.stream import KafkaStream
from adapters.streams.subscribing import Subscription, subscribed, to_broker
from adapters.streams.topics import check

_EXCHANGE = 5.0
"""Seconds after which Kafka tells where the streams end, and is told where we are, for its own tools."""

_PATIENCE = 5.0
"""Seconds that Kafka has for that, and for seeing us off."""


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
                await asyncio.wait_for(self._failed.wait(), _EXCHANGE)
            await self._exchange()
        raise self._failure

    async def _leave(self, broker: KafkaBroker) -> None:
        await self._exchange()
        await self._assigning.close()
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(broker.stop(), _PATIENCE)

    async def _exchange(self) -> None:
        """Learn where the streams end, and give a hint of what is stored; nothing depends on either."""
        streams = list(self._fetching.streams)
        if streams:
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_PATIENCE):
                    await self._learn_ends(streams)
                    await self._hint(streams)

    async def _learn_ends(self, streams: Sequence[KafkaStream]) -> None:
        ends = await self._consumer().end_offsets([stream.place for stream in streams])
        for stream in streams:
            stream.inbox.ends_at(ends[stream.place])

    async def _hint(self, streams: Sequence[KafkaStream]) -> None:
        if self._subscription.group:
            await self._consumer().commit({stream.place: stream.inbox.start for stream in streams})

    def _consumer(self) -> AIOKafkaConsumer:
        if self._subscriber is None or self._subscriber.consumer is None:
            raise StreamsFailed("Kafka is not being read")
        return self._subscriber.consumer

    def _fail(self, failure: BaseException) -> None:
        """End soon; and from now on fill no inbox, because a failing consumer may skip what it was about to give."""
        self._fetching.close()
        self._failure = self._failure or failure
        self._failed.set()
