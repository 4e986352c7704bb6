"""How every service takes over a stream: batch by batch, one transaction each; a bad record stops nobody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from domain.event import Event
from domain.storing import DeadLetter, Position, Record, Store, StoreConflict, StoreFailed, Stream, Unit
from services.runtime.clock import Clock

BATCH = 500

Handler = Callable[[Sequence[tuple[int, Event]]], Unit]
"""What a service makes of the events of a batch, each with its position: the unit to store."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A stream that a service follows, and what it makes of it."""

    stream: Stream
    handler: Handler


class Follower:
    """Takes a stream over into a store: what follows from a batch commits with the position behind it."""

    def __init__(self, feed: Feed, store: Store, clock: Clock) -> None:
        self._stream = feed.stream
        self._handler = feed.handler
        self._store = store
        self._clock = clock

    def step(self) -> int:
        """Take over the next batch; how many records it had. Raises `StoreFailed`."""
        position = self._store.position(self._stream.name)
        records = self._stream.read(position, BATCH)
        try:
            if records:
                self._take_over(records)
        except StoreConflict:
            _log.info("batch is decided again", stream=self._stream.name, position=position)
        return len(records)

    def lag(self) -> int:
        """How far the store is behind the stream; 0 when everything is taken over."""
        return self._stream.end() - self._store.position(self._stream.name)

    def _take_over(self, records: Sequence[Record]) -> None:
        """Handle and store a batch; where the whole of it cannot be, each record by itself."""
        try:
            self._commit(self._handled(records), records[-1].position)
        except (StoreFailed, StoreConflict):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a record does, it must not stop the others
            self._take_over_singly(records, failure)

    def _handled(self, records: Sequence[Record]) -> Unit:
        unit = Unit()
        unit.add(self._handler([(record.position, record.event) for record in records if record.event is not None]))
        unit.keep(self._dead_letter(record, record.reason) for record in records if record.event is None)
        return unit

    def _take_over_singly(self, records: Sequence[Record], failure: Exception) -> None:
        if len(records) > 1:
            for record in records:
                self._take_over([record])
            return
        unit = Unit()
        unit.keep([self._dead_letter(records[0], f"{type(failure).__name__}: {failure}")])
        self._commit(unit, records[0].position)

    def _commit(self, unit: Unit, position: int) -> None:
        unit.position = Position(name=self._stream.name, at=position)
        self._store.commit(unit)

    def _dead_letter(self, record: Record, reason: str) -> DeadLetter:
        _log.warning("record became a dead letter", stream=self._stream.name, position=record.position)
        return DeadLetter(
            stream=self._stream.name,
            position=record.position,
            topic=_storable(record.topic),
            body=_storable(record.body.decode("utf-8", "backslashreplace")),
            reason=_storable(reason),
            at=self._clock().isoformat(),
        )


def _storable(text: str) -> str:
    """The text with an escape for each character that some store cannot hold: lone surrogates, and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
