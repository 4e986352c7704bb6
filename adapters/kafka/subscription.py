"""FastStream's part: one subscriber for a batch of records of all topics, whatever they hold.

Its own ways would lose records, so they are set aside: it acknowledges nothing, parses and decodes nothing, and each
exception that it would log and forget is handed on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiokafka import ConsumerRebalanceListener
from faststream.kafka import KafkaBroker
from faststream.kafka import TopicPartition as FastStreamPartition
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber
from faststream.middlewares import AckPolicy

from adapters.kafka import header_names
from adapters.kafka.cloud_events import ConsumerRecord
from adapters.kafka.connection import KafkaAccess
from adapters.kafka.topics import Namespace

Failed = Callable[[BaseException], None]

_BATCH = 500
"""Records that are handed over at once."""

_POLL = 20
"""Milliseconds between looks whether something was fetched."""

_ANSWER = 100
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
    header_names.install()
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
    subscriber: BatchSubscriber = broker.subscriber(
        *_topics(subscription),
        **_sharing(subscription, listener, assignors),
        batch=True,
        max_records=_BATCH,
        batch_timeout_ms=_POLL,
        fetch_max_wait_ms=_ANSWER,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        parser=_unparsed,
        decoder=_undecoded,
        no_reply=True,
    )
    subscriber(take)
    return subscriber


def _sharing(
    subscription: TopicSubscription, listener: ConsumerRebalanceListener, assignors: Sequence[Any]
) -> dict[str, Any]:
    group = subscription.group
    if group is None:
        places = [(topic, number) for topic in subscription.topics for number in range(subscription.partitions)]
        return {"partitions": [FastStreamPartition(topic, number, declare=False) for topic, number in places]}
    return {
        "group_id": group.name,
        "group_instance_id": group.member or None,
        "partition_assignment_strategy": tuple(assignors),
        "session_timeout_ms": int(group.session_timeout * 1000),
        "heartbeat_interval_ms": int(group.session_timeout * 1000 / 9),
        "max_poll_interval_ms": int(group.poll_interval * 1000),
        "listener": listener,
    }


def _topics(subscription: TopicSubscription) -> Sequence[str]:
    return subscription.topics if subscription.group else ()


async def _unparsed(messages: Sequence[ConsumerRecord]) -> KafkaMessage:
    return KafkaMessage(raw_message=tuple(messages), body=b"", consumer=FAKE_CONSUMER)


async def _undecoded(message: KafkaMessage) -> Any:  # noqa: ANN401 - what FastStream calls decoded
    return message.raw_message
