"""Our topics: made once by a command, checked at each start."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from adapters.streams import tolerating
from adapters.streams.access import KafkaAccess
from adapters.streams.advice import meaning
from adapters.streams.cloud_events import Message
from adapters.streams.failures import StreamsMisconfigured
from adapters.streams.reaching import administering, looking

LARGEST_BATCH = 10 * 1024 * 1024
"""Bytes of the largest batch of records that a topic takes."""

_LOOK = 500
"""Milliseconds for which records are waited for at once."""

_PAUSE = 0.1
"""Seconds between looks whether every broker knows a new topic by now."""

_SECOND_LOOK = 1.0
"""Seconds after which it is looked again for a topic that seems to be missing."""


async def create(access: KafkaAccess, topics: Collection[str], *, partitions: int, replication: int) -> tuple[str, ...]:
    """Make the topics that are not there yet, and tell their names. Raises `StreamsFailed`, also for one that differs.

    Records are kept for ever, because a follower may start anew. They are stored uncompressed, whatever a producer
    does, because not every codec can be read everywhere.
    """
    async with administering(access) as admin:
        made = await _create(admin, access, [_to_new_topic(topic, partitions, replication) for topic in topics])
        while not set(made) <= set(await _found(admin)):  # noqa: ASYNC110 - nobody tells when it is so
            await asyncio.sleep(_PAUSE)
    await check(access, topics, partitions=partitions)
    return made


async def check(access: KafkaAccess, topics: Collection[str], *, partitions: int) -> None:
    """Raise `StreamsMisconfigured` unless each topic is there with so many partitions; the message says what helps.

    Raises `StreamsFailed` when Kafka does not tell.
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
) -> tuple[Mapping[int, int], Sequence[Message]]:
    """Where these partitions of a topic end, and the last record of each that has any. Raises `StreamsFailed`."""
    tolerating.install()
    places = [TopicPartition(topic, number) for number in sorted(partitions)]
    async with looking(access) as consumer:
        ends = await consumer.end_offsets(places)
        beginnings = await consumer.beginning_offsets(places)
        filled = [place for place in places if ends[place] > beginnings[place]]
        consumer.assign(filled)
        found: dict[TopicPartition, Message] = {}
        for place in filled:
            consumer.seek(place, ends[place] - 1)
        while [place for place in filled if await consumer.position(place) < ends[place]]:
            for place, messages in (await consumer.getmany(timeout_ms=_LOOK)).items():
                found[place] = messages[-1]
    return {place.partition: end for place, end in ends.items()}, [*found.values()]


async def _found(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic has; asked for by name, a missing one would be made by some brokers."""
    return {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}


def _to_new_topic(name: str, partitions: int, replication: int) -> NewTopic:
    configuration = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(LARGEST_BATCH),
        "compression.type": "uncompressed",
        "min.insync.replicas": "2" if replication > 2 else "1",
    }
    return NewTopic(name, partitions, replication, topic_configs=configuration)


async def _create(admin: AIOKafkaAdminClient, access: KafkaAccess, topics: list[NewTopic]) -> tuple[str, ...]:
    response = await admin.create_topics(topics)
    errors = {name: (for_code(code), message) for name, code, message in response.topic_errors if code}
    for name, (error, message) in errors.items():
        if error is not TopicAlreadyExistsError:
            raise meaning(error(f"topic {name}: {message}"), access)
    return tuple(topic.name for topic in topics if topic.name not in errors)
