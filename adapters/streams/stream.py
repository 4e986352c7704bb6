"""One partition of a topic, as the stream that a service follows."""

from collections.abc import Sequence
from typing import Protocol

from aiokafka import TopicPartition

from adapters.mapping import again, new_mapper
from adapters.streams.cloud_events import to_record
from adapters.streams.inbox import Inbox
from domain.storing import Record, Resubmission

PATIENCE = 5.0
"""Seconds that a reader waits for records which have to be fetched once more."""


class Source(Protocol):
    """Where a stream's records come from; asked in any thread, it answers by filling the inbox."""

    def go_to(self, stream: "KafkaStream", position: int) -> None:
        """Start the inbox again at this position."""
        ...

    def go_on(self, stream: "KafkaStream") -> None:
        """There is room again."""
        ...


class KafkaStream:
    """Keeps the contract of `Stream`: filled in the event loop, read in the service's thread.

    Records wait in an inbox until a later `after` tells that they are stored, so what has to be handled again is still
    at hand. Only for a position that the inbox does not hold, a reader waits. `log` is what the topic carries, where
    that is not its name. `first_end` is where the stream ended
    when it was opened, None before.
    """

    def __init__(self, epoch: str, place: TopicPartition, source: Source, *, log: str = "") -> None:
        self.name = f"{epoch}/{log or place.topic}/{place.partition}"
        self.place = place
        self.inbox = Inbox()
        self.first_end: int | None = None
        self._source = source
        self._mapper = new_mapper()

    @property
    def partition(self) -> int:
        """The number of the partition; it has the same accounts in every topic."""
        return int(self.place.partition)

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position that have arrived, in order; those up to it count as stored."""
        messages = self.inbox.take(after, limit)
        if messages is None:
            self._source.go_to(self, after)
            messages = self.inbox.wait(after, limit, PATIENCE)
        if self.inbox.wants_more:
            self._source.go_on(self)
        return [to_record(self._mapper, message) for message in messages]

    def end(self) -> int:
        """The position of the last record, as Kafka last told; 0 when there is none."""
        return self.inbox.end

    def again(self, resubmission: Resubmission) -> Record:
        """The record that a resubmission stands for, decoded anew."""
        return again(self._mapper, resubmission)
