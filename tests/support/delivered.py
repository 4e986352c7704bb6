"""What a topic holds, as its consumers receive it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.wiring.distributed import to_kafka_access
from services.wiring.settings import DistributedSettings

_WAIT = 1000
"""Milliseconds to wait for a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One record of a topic: the event's id, and its position in the log that it is from."""

    partition: int
    id: str
    log_position: int


async def delivered(settings: DistributedSettings, topic: str) -> list[Delivered]:
    """Every record of a topic, each partition in order."""
    consumer = AIOKafkaConsumer(**to_kafka_access(settings).to_options(), auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(settings.kafka_partitions)]
        consumer.assign(places)
        return [each for place in places for each in await _read(consumer, place)]
    finally:
        await consumer.stop()


def not_twice(records: Sequence[Delivered]) -> list[str]:
    """The events that came only once."""
    counted = Counter(record.id for record in records)
    return [id for id, times in counted.items() if times < 2]  # noqa: A001 - the record's word


def overtaken(records: Sequence[Delivered]) -> int:
    """How many events came, for the first time, behind a later one of the same log and partition."""
    known: set[str] = set()
    latest: Counter[int] = Counter()
    count = 0
    for record in records:
        if record.id not in known:
            known.add(record.id)
            count += record.log_position < latest[record.partition]
            latest[record.partition] = max(latest[record.partition], record.log_position)
    return count


def behind(records: Sequence[Delivered]) -> int:
    """How many records came behind a later one of the same log and partition, whether for the first time or again."""
    latest: Counter[int] = Counter()
    count = 0
    for record in records:
        count += record.log_position < latest[record.partition]
        latest[record.partition] = max(latest[record.partition], record.log_position)
    return count


async def _read(consumer: AIOKafkaConsumer, place: TopicPartition) -> list[Delivered]:
    end = (await consumer.end_offsets([place]))[place]
    found: list[Delivered] = []
    while await consumer.position(place) < end:
        batches = await consumer.getmany(place, timeout_ms=_WAIT)
        found += [_to_delivered(place, dict(each.headers)) for each in batches.get(place, [])]
    return found


def _to_delivered(place: TopicPartition, headers: dict[str, bytes]) -> Delivered:
    return Delivered(partition=place.partition, id=headers["ce_id"].decode(), log_position=int(headers["ce_sequence"]))
