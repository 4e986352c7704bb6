"""A service's process in its consumer group: it reads the partitions assigned to it, until it is cancelled.

OffsetCommitter for Kafka's own tools of how far a consumer is; nothing depends on them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber

from adapters.kafka.assignment import AssignmentHandler, KafkaStream, RebalanceListener, StreamFetcher
from adapters.kafka.connection import KafkaAccess, StreamsFailed, explained
from adapters.kafka.subscription import TopicSubscription, subscribed, to_broker
from adapters.kafka.topics import Epochs, Namespace, NoEpochs

_EXCHANGE = 5.0
"""Seconds between looks at where the streams end, each with a commit of our offsets."""

_TIMEOUT = 5.0
"""Seconds that Kafka has for that, and for the goodbye."""

_GRACE = 0.5
"""Seconds in which a caller that waits for Kafka learns that the connections are closed."""


class KafkaConsumer:
    """A service's process in its group, for one run. It is made in the event loop.

    Its topics have been checked: a consumer would wait for those that are missing.
    """

    def __init__(
        self,
        access: KafkaAccess,
        subscription: TopicSubscription,
        handler: AssignmentHandler,
        *,
        epoch: str = "1",
        namespace: Namespace = Namespace(),  # noqa: B008 - a frozen value
        epochs: Epochs = NoEpochs(),  # noqa: B008 - it has no state
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._subscription = subscription.within(namespace)
        self._subscriber: BatchSubscriber | None = None
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._answered_at = self._loop.time()
        self._fetcher = StreamFetcher(self._consumer, handler.arrived, namespace)
        self._committer = OffsetCommitter(self._consumer)
        self._listener = RebalanceListener(
            epoch=epoch,
            namespace=namespace,
            epochs=epochs,
            fetcher=self._fetcher,
            handler=handler,
            consumer=self._consumer,
            failed=self._fail,
        )

    @property
    def silence(self) -> float:
        """Seconds since Kafka last answered where our streams end or, without any, where one of our topics does."""
        return self._loop.time() - self._answered_at

    async def run(self) -> None:
        """Read until cancelled. Raises `StreamsFailed` when that cannot go on, and what the service itself raises."""
        broker = to_broker(self._access, self._fail)
        self._subscriber = subscribed(
            broker, self._subscription, self._fetcher.take, self._listener, self._namespace.to_assignors()
        )
        try:
            await self._read(broker)
        except KafkaError as failure:
            raise await explained(failure, self._access) from failure
        finally:
            await self._leave(broker)

    async def _read(self, broker: KafkaBroker) -> None:
        await broker.start()
        if self._subscription.group is None:
            await self._listener.on_partitions_assigned(self._consumer().assignment())
        while self._failure is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_EXCHANGE):
                    await self._failed.wait()
            await self._exchange()
        raise self._failure

    async def _leave(self, broker: KafkaBroker) -> None:
        if self._fetcher.streams:
            await self._exchange()
        await self._listener.close()
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(_TIMEOUT):
                await broker.stop()
        await self._committer.end(_GRACE)

    async def _exchange(self) -> None:
        """Learn where the streams end, and give a hint of what is stored; nothing depends on either."""
        streams = list(self._fetcher.streams)
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(_TIMEOUT):
                await self._learn_ends(streams)
                await self._hint(streams)

    async def _learn_ends(self, streams: Sequence[KafkaStream]) -> None:
        anywhere = TopicPartition(self._subscription.topics[0], 0)
        ends = await self._consumer().end_offsets([stream.place for stream in streams] or [anywhere])
        self._answered_at = self._loop.time()
        for stream in streams:
            stream.buffer.ends_at(ends[stream.place])

    async def _hint(self, streams: Sequence[KafkaStream]) -> None:
        if self._subscription.group and streams:
            await self._committer.give({stream.place: stream.buffer.start for stream in streams})

    def _consumer(self) -> AIOKafkaConsumer:
        if self._subscriber is None or self._subscriber.consumer is None:
            raise StreamsFailed("Kafka is not being read")
        return self._subscriber.consumer

    def _fail(self, failure: BaseException) -> None:
        """End soon; and from now on fill no buffer, because a failing consumer may skip what it was about to give."""
        self._fetcher.close()
        self._failure = self._failure or failure
        self._failed.set()


class OffsetCommitter:
    """Commits offsets, one commit at a time.

    The library shields the request of a commit: cancelling the commit leaves a request behind whose failure
    is never retrieved. So a commit is not cancelled while it can still be answered; only waiting for it is.
    """

    def __init__(self, consumer: Callable[[], AIOKafkaConsumer]) -> None:
        self._consumer = consumer
        self._commit: asyncio.Future[None] | None = None

    async def give(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit these offsets once the commit before is answered. It may be cancelled; a failure of Kafka is ignored.

        Raises what else a commit fails with, this one or the one before.
        """
        await self._answered()
        self._commit = asyncio.ensure_future(self._consumer().commit({**offsets}))
        self._commit.add_done_callback(_look)
        await self._answered()

    async def end(self, seconds: float) -> None:
        """Wait this many seconds for the commit under way; the consumer is stopped, so no answer can come later."""
        if self._commit is not None:
            await asyncio.wait({self._commit}, timeout=seconds)
            self._commit.cancel()

    async def _answered(self) -> None:
        if self._commit is None:
            return
        await asyncio.wait({self._commit})
        done, self._commit = self._commit, None
        with suppress(KafkaError):
            done.result()


def _look(done: asyncio.Future[None]) -> None:
    """Look at a failure, so that the event loop does not report it as lost."""
    if not done.cancelled():
        done.exception()
