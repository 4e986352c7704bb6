"""A service's process in its consumer group: it reads the partitions assigned to it, until it is cancelled.

FastStream has one subscriber for a batch of records of all topics, whatever they hold. Its own ways would lose records,
so it acknowledges nothing, parses and decodes nothing, and each exception that it would log and forget is passed on.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.consumer import consumer as library
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from faststream.kafka import KafkaBroker
from faststream.kafka import TopicPartition as FastStreamPartition
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber
from faststream.middlewares import AckPolicy

from adapters.kafka.cloud_events import ConsumerRecord, tolerate_header_names
from adapters.kafka.connection import KafkaAccess, StreamsFailed, explained
from adapters.kafka.streams import AssignmentHandler, RebalanceListener, StreamFetcher
from adapters.kafka.topics import Epochs, Namespace, NoEpochs
from domain.ports import ProfileKeys

T = TypeVar("T")

Failed = Callable[[BaseException], None]

_BATCH = 500
"""Records that are handed over at once."""

_POLL = 1_000
"""Milliseconds for which something fetched is waited for at once."""

_ANSWER = 500
"""Milliseconds after which a broker answers that there is nothing new; a resumed partition is fetched after that."""

_METADATA = 30_000
"""Milliseconds after which it is looked again which topics and brokers there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The consumer group. Times are in seconds.

    `member` is a lasting name of this process, which no other has at the same time (static membership): back within
    the session timeout, it goes on with its own partitions without a rebalance. Empty: any process.
    """

    name: str
    member: str = ""
    session_timeout: float = 45.0
    poll_interval: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSubscription:
    """What is read: all partitions of these topics, or those that a group assigns."""

    topics: Sequence[str]
    partitions: int
    group: Group | None = None

    def within(self, namespace: Namespace) -> "TopicSubscription":
        """The same with the names that topics and groups have in this namespace."""
        group = self.group and replace(self.group, name=namespace.to_name(self.group.name))
        return replace(self, topics=[namespace.to_name(topic) for topic in self.topics], group=group)


class _Log:
    """FastStream's log, of which only the exceptions count: each one is handed on."""

    def __init__(self, failed: Failed) -> None:
        self._failed = failed

    def log(
        self,
        level: int,  # noqa: ARG002 - an exception counts at any level
        msg: Any,  # noqa: ARG002, ANN401 - FastStream's signature
        /,
        *,
        exc_info: Any = None,  # noqa: ANN401 - FastStream's signature
        extra: Mapping[str, Any] | None = None,  # noqa: ARG002 - FastStream's signature
    ) -> None:
        """Hand an exception on."""
        if isinstance(exc_info, BaseException):
            self._failed(exc_info)


def to_broker(access: KafkaAccess, failed: Failed) -> KafkaBroker:
    """A broker that only consumes; it connects when it is started."""
    tolerate_header_names()
    library.Fetcher = SessionFetcher
    return KafkaBroker(
        access.servers,
        security=access.to_security(),
        client_id="driverlink",
        metadata_max_age_ms=_METADATA,
        consumer_only=True,
        allow_auto_create_topics=False,
        apply_types=False,
        serializer=None,
        logger=_Log(failed),
    )


def subscribed(
    broker: KafkaBroker,
    subscription: TopicSubscription,
    take: Callable[[Sequence[ConsumerRecord]], Awaitable[None]],
    listener: ConsumerRebalanceListener,
    assignors: Sequence[Any],
) -> BatchSubscriber:
    """The broker's subscriber: it hands each batch to `take`, and each change of assignment to the listener."""
    group, topics = subscription.group, subscription.topics
    if group is None:
        places = [(topic, number) for topic in topics for number in range(subscription.partitions)]
        read: dict[str, Any] = {
            "partitions": [FastStreamPartition(topic, number, declare=False) for topic, number in places]
        }
    else:
        read = {
            "group_id": group.name,
            "group_instance_id": group.member or None,
            "partition_assignment_strategy": tuple(assignors),
            "session_timeout_ms": int(group.session_timeout * 1000),
            "heartbeat_interval_ms": int(group.session_timeout * 1000 / 9),
            "max_poll_interval_ms": int(group.poll_interval * 1000),
            "listener": listener,
        }
    subscriber: BatchSubscriber = broker.subscriber(
        *(topics if group else ()),
        **read,
        batch=True,
        fetch_max_wait_ms=_ANSWER,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        parser=_unparsed,
        decoder=_undecoded,
        no_reply=True,
    )
    subscriber.__class__ = _EagerSubscriber
    subscriber(take)
    return subscriber


class _EagerSubscriber(BatchSubscriber):
    """FastStream's subscriber, without the rest that it takes after each wait in vain."""

    __slots__ = ()

    async def get_msg(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord, ...]:
        """What was fetched, as soon as there is something."""
        fetched = await consumer.getmany(timeout_ms=_POLL, max_records=_BATCH)
        return tuple(chain.from_iterable(fetched.values()))


_WITH_SESSIONS: Final = 7
"""The first version of the request that knows of sessions."""

_LAST_EPOCH: Final = 2**31 - 1

Fetches = Mapping[tuple[str, int], tuple[int, int, int]]
"""By topic and number of the partition: the number, the offset to go on from, and the most bytes."""


class FetchSession:
    """What a broker remembers of our last fetch, so that the next one names only what is otherwise.

    The library knows no sessions: it names every partition in each request, and the broker answers for each of them,
    which takes longer than all that is done for the few records of an answer.
    Source: KIP-227, "Introduce Incremental FetchRequests to Increase Partition Scalability".
    """

    def __init__(self) -> None:
        self._id = 0
        self._epoch = 0
        self._named: Fetches = {}
        self._is_awaited = False

    def begin(self, wanted: Fetches) -> tuple[int, int, Fetches, Sequence[tuple[str, int]]]:
        """The id and the epoch of a fetch of all of these, those to name, and those to fetch no more.

        All are named where there is no session yet, or the fetch before has had no answer. `wanted` has to stay as is.
        """
        if self._is_awaited:
            self._epoch = 0
        known = self._named if self._epoch else {}
        self._named, self._is_awaited = wanted, True
        named = {place: each for place, each in wanted.items() if known.get(place) != each}
        return self._id, self._epoch, named, [place for place in known if place not in wanted]

    def answered(self, session_id: int, error: int) -> None:
        """Go on in the session, unless the broker has forgotten it, or keeps none."""
        self._is_awaited = False
        if error:
            self._epoch = 0
        elif self._epoch:
            self._epoch = self._epoch + 1 if self._epoch < _LAST_EPOCH else 1
        else:
            self._id, self._epoch = session_id, 1 if session_id else 0


class SessionRequest(FetchRequest):  # type: ignore[misc] # the library has no types
    """A fetch that is sent within a session."""

    def __init__(self, whole: FetchRequest, session: FetchSession) -> None:
        self.__dict__.update(whole.__dict__)
        self._session = session

    def build(self, request_struct_class: Any) -> Any:  # noqa: ANN401 - the library's structure of one version
        """The request in a version of the protocol."""
        if request_struct_class.API_VERSION < _WITH_SESSIONS:
            return super().build(request_struct_class)
        wanted = {(topic, each[0]): each for topic, partitions in self.topics for each in partitions}
        session_id, epoch, named, forgotten = self._session.begin(wanted)
        made = FetchRequest(
            self._max_wait_ms,
            self._min_bytes,
            self._max_bytes,
            self._isolation_level,
            _by_topic((topic, each) for (topic, _), each in named.items()),
            rack_id=self._rack_id,
        ).build(request_struct_class)
        made.session_id, made.session_epoch = session_id, epoch
        made.forgotten_topics_data = _by_topic(forgotten)
        made.RESPONSE_TYPE = _Answers(request_struct_class.RESPONSE_TYPE, self._session)
        return made


class _Answers:
    """How the library reads the answer to a request, which the session learns from."""

    def __init__(self, form: Any, session: FetchSession) -> None:  # noqa: ANN401 - the library's structure of one version
        self._form = form
        self._session = session

    def decode(self, data: Any) -> Any:  # noqa: ANN401 - the library's signature
        """The answer."""
        answer = self._form.decode(data)
        self._session.answered(answer.session_id, answer.error_code)
        return answer


def _by_topic(places: Iterable[tuple[str, T]]) -> list[tuple[str, list[T]]]:
    topics: dict[str, list[T]] = defaultdict(list)
    for topic, each in places:
        topics[topic].append(each)
    return [*topics.items()]


class SessionFetcher(Fetcher):  # type: ignore[misc] # the library has no types
    """The library's fetcher, with a session for each broker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the library's signature
        super().__init__(*args, **kwargs)
        self._sessions: dict[int, FetchSession] = defaultdict(FetchSession)

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: FetchRequest) -> Any:  # noqa: ANN401 - the library's signature
        request = SessionRequest(request, self._sessions[node_id])
        return await super()._proc_fetch_request(assignment, node_id, request)


async def _unparsed(messages: Sequence[ConsumerRecord]) -> KafkaMessage:
    return KafkaMessage(raw_message=tuple(messages), body=b"", consumer=FAKE_CONSUMER)


async def _undecoded(message: KafkaMessage) -> Any:  # noqa: ANN401 - what FastStream calls decoded
    return message.raw_message


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
        keys: ProfileKeys | None = None,
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
            keys=keys,
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
            if self._fetcher.streams:
                await self._exchange()
            await self._listener.close()
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_TIMEOUT):
                    await broker.stop()
            await self._committer.end(_GRACE)

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

    async def _exchange(self) -> None:
        """Learn where the streams end, and give a hint of what is stored; nothing depends on either."""
        streams = list(self._fetcher.streams)
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(_TIMEOUT):
                anywhere = TopicPartition(self._subscription.topics[0], 0)
                ends = await self._consumer().end_offsets([stream.place for stream in streams] or [anywhere])
                self._answered_at = self._loop.time()
                for stream in streams:
                    stream.buffer.ends_at(ends[stream.place])
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
    """Commits offsets for Kafka's own tools, one commit at a time; nothing depends on them.

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
