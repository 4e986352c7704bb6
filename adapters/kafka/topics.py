"""Our topics: how they are made and checked, which partition an account is in, and what in them is ours.

Others may use the same Kafka: our topics and groups have a prefix, our records a header. What is in a topic before an
epoch begins belongs to former epochs, and is sent once more in this one.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import TopicAlreadyExistsError, for_code
from aiokafka.partitioner import murmur2

from adapters.kafka.cloud_events import INSTALLATION, ConsumerRecord, tolerate_header_names
from adapters.kafka.connection import KafkaAccess, StreamsMisconfigured, administering, looking, meaning

LARGEST_BATCH = 10 * 1024 * 1024
"""Bytes of the largest batch of records that a topic takes."""

_LOOK = 500
"""Milliseconds for which records are waited for at once."""

_PAUSE = 0.1
"""Seconds between looks whether every broker knows a new topic by now."""

_SECOND_LOOK = 1.0
"""Seconds after which it is looked again for a topic that seems to be missing."""


async def create(
    access: KafkaAccess,
    topics: Collection[str],
    *,
    partitions: int,
    replication: int,
    compacted: Collection[str] = (),
) -> tuple[str, ...]:
    """Make the missing topics, and return their names. Raises `StreamsFailed`, also for one that differs.

    Records are kept for ever, because a consumer may start from the beginning; of `compacted` topics the last one of
    each key is. They are stored uncompressed,
    whatever a producer does, because not every codec can be read everywhere.
    """
    configuration = {
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(LARGEST_BATCH),
        "compression.type": "uncompressed",
        "min.insync.replicas": "2" if replication > 2 else "1",
    }
    new = [
        NewTopic(name, partitions, replication, topic_configs={"cleanup.policy": policy, **configuration})
        for names, policy in ((topics, "delete"), (compacted, "compact"))
        for name in names
    ]
    topics = [*topics, *compacted]
    async with administering(access) as admin:
        response = await admin.create_topics(new)
        errors = {name: (for_code(code), message) for name, code, message in response.topic_errors if code}
        for name, (error, message) in errors.items():
            if error is not TopicAlreadyExistsError:
                raise meaning(error(f"topic {name}: {message}"), access)
        made = tuple(name for name in topics if name not in errors)
        while not set(made) <= set(await _found(admin)):  # noqa: ASYNC110 - Kafka does not say when it is so
            await asyncio.sleep(_PAUSE)
    await check(access, topics, partitions=partitions)
    return made


async def check(access: KafkaAccess, topics: Collection[str], *, partitions: int) -> None:
    """Raise `StreamsMisconfigured` unless each topic is there with this many partitions; the message says what helps.

    Raises `StreamsFailed` when Kafka does not answer.
    """
    async with administering(access) as admin:
        found = await _found(admin)
        if not set(topics) <= set(found):
            # A broker that has only just started, or heard of topics being made, may not know every one yet.
            await asyncio.sleep(_SECOND_LOOK)
            found = await _found(admin)
    if missing := sorted(set(topics) - set(found)):
        raise StreamsMisconfigured(f"topics are missing: {', '.join(missing)}; run `driverlink topics create`")
    for topic in topics:
        if found[topic] != partitions:
            raise StreamsMisconfigured(
                f"topic {topic} has {found[topic]} partitions, not {partitions}: their number must never change, "
                f"so set DRIVERLINK_KAFKA_PARTITIONS to {found[topic]}"
            )


async def ends(access: KafkaAccess, topics: Collection[str], *, partitions: int) -> Mapping[tuple[str, int], int]:
    """The position of the last record in each partition of these topics, by topic and number.

    Raises `StreamsFailed`.
    """
    places = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
    async with looking(access) as consumer:
        found = await consumer.end_offsets(places)
    return {(place.topic, place.partition): offset for place, offset in found.items()}


async def newest(
    access: KafkaAccess, topic: str, partitions: Collection[int]
) -> tuple[Mapping[int, int], Sequence[ConsumerRecord]]:
    """Where these partitions of a topic end, and the last record of each that has any. Raises `StreamsFailed`."""
    tolerate_header_names()
    places = [TopicPartition(topic, number) for number in sorted(partitions)]
    async with looking(access) as consumer:
        ends = await consumer.end_offsets(places)
        beginnings = await consumer.beginning_offsets(places)
        filled = [place for place in places if ends[place] > beginnings[place]]
        consumer.assign(filled)
        found: dict[TopicPartition, ConsumerRecord] = {}
        for place in filled:
            consumer.seek(place, ends[place] - 1)
        while [place for place in filled if await consumer.position(place) < ends[place]]:
            for place, messages in (await consumer.getmany(timeout_ms=_LOOK)).items():
                found[place] = messages[-1]
    return {place.partition: end for place, end in ends.items()}, [*found.values()]


async def keys(access: KafkaAccess, topic: str, partitions: Collection[int]) -> Collection[bytes]:
    """The keys of all records in these partitions of a compacted topic that are not tombstones.

    Raises `StreamsFailed`.
    """
    tolerate_header_names()
    found = set[bytes]()
    for place in (TopicPartition(topic, number) for number in sorted(partitions)):
        async with looking(access) as consumer:
            end = (await consumer.end_offsets([place]))[place]
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            while await consumer.position(place) < end:
                for message in (await consumer.getmany(timeout_ms=_LOOK)).get(place, ()):
                    (found.discard if message.value is None else found.add)(message.key or b"")
    return found


async def _found(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic has; asked for by name, a missing one would be made by some brokers."""
    return {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}


@lru_cache(maxsize=50_000)
def partition_of(account: str, partitions: int) -> int:
    """The partition of this account in every topic with this many: as Kafka's own clients place it as a key."""
    return int(murmur2(account.encode()) & 0x7FFFFFFF) % partitions


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """The id of our installation, which every record carries, and what the names of our topics and groups begin with.

    Without an id nothing is checked.
    """

    installation: str = ""
    prefix: str = ""

    def to_name(self, name: str) -> str:
        """The topic of a log, or the group of this name, as Kafka has it."""
        return f"{self.prefix}{name}"

    def to_log(self, topic: str) -> str:
        """The log that one of our topics carries."""
        return topic.removeprefix(self.prefix)

    def to_assignors(self) -> Sequence[Any]:
        """The group's assignment strategy: Kafka admits only members that share one with the rest of the group.

        So it is named after the installation, and a member of another installation cannot join.
        """
        if not self.installation:
            return (RangePartitionAssignor,)
        return (type("Range", (RangePartitionAssignor,), {"name": f"range.{self.installation}"}),)

    def check(self, messages: Iterable[ConsumerRecord]) -> None:
        """Raise `StreamsMisconfigured` when one of these records is of another installation."""
        for message in messages if self.installation else ():
            # One without a readable name is a dead letter, or old.
            named = [value for name, value in message.headers if name == INSTALLATION and value is not None]
            if len(named) == 1 and named[0] != self.installation.encode():
                raise StreamsMisconfigured(
                    f"topic {message.topic} holds a record of another installation (partition {message.partition}, "
                    f"offset {message.offset}), and ours is {self.installation}: give one of the two its own "
                    "DRIVERLINK_KAFKA_PREFIX, then the other one another DRIVERLINK_EPOCH"
                )


Beginnings = Mapping[str, Mapping[int, int]]
"""By epoch and number of the partition: the offset of the first record that may be sent."""


class Epochs(Protocol):
    """Keeps where the epochs of our topics begin, for all services of the installation. May be used in any thread."""

    def beginnings(self, topic: str) -> Beginnings:
        """Where the epochs begin in this topic, as far as they have begun. Raises `StoreFailed`."""
        ...

    def begin(self, epoch: str, topic: str, offsets: Mapping[int, int]) -> None:
        """The epoch begins here, unless it has begun before. Raises `StoreFailed`."""
        ...


class NoEpochs:
    """Knows of none."""

    def beginnings(self, topic: str) -> Beginnings:  # noqa: ARG002 - of the port
        """None has begun."""
        return {}

    def begin(self, epoch: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Nothing is kept."""


def start(stream: str, position: int, *, beginning: int, end: int, begun: Mapping[str, int]) -> int:
    """From where a stream goes on; `begun` is, by epoch, where it began in this partition.

    What was read goes on from its position. What was never read goes on where its epoch begins: whatever was removed
    before that is sent once more. While nothing is sent in this epoch, it will begin at the present end.

    Raises `StreamsMisconfigured` when records of this epoch are gone, or the topic was made again.
    """
    epoch, _, _ = stream.partition("/")
    unsent = end if begun else beginning
    at = position or begun.get(epoch, unsent)
    if at > end:
        raise StreamsMisconfigured(
            f"stream {stream} was read up to {at}, but ends at {end}: its topic was made again, "
            "so set another DRIVERLINK_EPOCH"
        )
    if at < beginning:
        raise StreamsMisconfigured(
            f"stream {stream} was read up to {at}, but begins at {beginning}: records are gone that "
            "were never read; let the topic keep them for ever (retention.ms=-1), then set another DRIVERLINK_EPOCH"
        )
    return at
