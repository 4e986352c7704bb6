"""How every service consumes a log: live, batch by batch, and once more from its beginning when tables are rebuilt.

What follows from a batch is one transaction, and a bad record stops nothing else.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from domain.cleaning import storable
from domain.store import (
    DeadLetter,
    Event,
    Position,
    Record,
    Resubmission,
    Store,
    StoreConflict,
    StoreFailed,
    Stream,
    Unit,
    Watermark,
)
from services.runtime.context import Clock

BATCH = 500

Handler = Callable[[Sequence[tuple[int, Event]]], Unit]
"""What a service makes of the events of a batch, each with its position in the log it is from: the unit to store."""

OnStored = Callable[[Unit], None]
"""Learns, in the service's thread, of each unit of a batch that was stored. It must not raise."""


def ignore(_: Unit) -> None:
    """Nothing follows."""


LONGEST_REASON = 2000
LONGEST_NAME = 500
"""Characters that are kept of why a record could not be handled, and of its id and type; its bytes are kept whole."""

_AGAIN = "submitted again: "

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a service makes of a log that it consumes.

    Where records may come twice, or late, of each history only what is above the watermark is handled. So
    it is in every stream that has dead letters: each of them may be submitted again when it has been overtaken.
    """

    handler: Handler
    may_repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A record, and the name of the stream in which it came."""

    stream: str
    record: Record


class Consumer:
    """Consumes the streams of one log into a store: what follows from a batch commits with the positions behind it.

    A batch has records of all streams that have any, so that many partitions cost no more than one.
    """

    def __init__(self, subscription: Subscription, store: Store, clock: Clock, *, on_stored: OnStored = ignore) -> None:
        self._subscription = subscription
        self._store = store
        self._clock = clock
        self._on_stored = on_stored
        self._streams: dict[str, Stream] = {}
        self._at: dict[str, int] = {}

    @property
    def streams(self) -> Sequence[str]:
        """The names of the streams that are consumed."""
        return tuple(self._streams)

    def follow(self, stream: Stream) -> None:
        """Consume this stream too."""
        self._streams[stream.name] = stream

    def leave(self, name: str) -> None:
        """Stop consuming the stream of this name."""
        self._streams.pop(name, None)
        self._at.pop(name, None)

    def step(self) -> int:
        """Consume the next batch; how many records it had. Raises `StoreFailed`."""
        batch = self._read()
        try:
            if batch:
                self._consume(batch)
        except StoreConflict:
            self._at.clear()
            _log.info("batch is decided again", streams=sorted({each.stream for each in batch}))
        return len(batch)

    def has_reached(self, stream: str, position: int) -> bool:
        """Whether everything up to this position of a stream is known to be consumed."""
        return stream in self._at and self._at[stream] >= position

    def lag(self) -> int:
        """How far the store is behind the streams; 0 when everything is consumed."""
        return sum(stream.end() - self._store.position(name) for name, stream in self._streams.items())

    def take_again(self, resubmission: Resubmission) -> None:
        """Handle what a dead letter stands for; if it still cannot be handled, the letter says the new reason."""
        try:
            record = self._streams[resubmission.stream].again(resubmission)
            if record.event is None:
                self._blame(resubmission, record.reason)
            else:
                unit = self._understood([record], may_be_late=True)
                unit.remove(DeadLetter, _place(resubmission))
                self._settle(resubmission, unit)
        except (StoreFailed, StoreConflict):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever the record does, it must not stop the others
            self._blame(resubmission, f"{type(failure).__name__}: {failure}")

    def _blame(self, resubmission: Resubmission, reason: str) -> None:
        """Keep the dead letter, with this reason; with its first one where the record does not even say what it is."""
        unit, is_known = Unit(), resubmission.id and resubmission.topic
        for letter in self._store.select(DeadLetter, _place(resubmission)):
            text = f"{_AGAIN}{reason if is_known else letter.reason.removeprefix(_AGAIN)}"
            unit.keep([replace(letter, reason=storable(text, LONGEST_REASON), at=self._clock().isoformat())])
        self._settle(resubmission, unit)

    def _settle(self, resubmission: Resubmission, unit: Unit) -> None:
        unit.remove(Resubmission, _place(resubmission))
        self._store.commit(unit)
        self._on_stored(unit)

    def _read(self) -> list[Arrived]:
        """The next records, at most a batch; a stream that could not be read to its end comes last the next time."""
        batch: list[Arrived] = []
        for name, stream in [*self._streams.items()]:
            if name not in self._at:
                self._at[name] = self._store.position(name)
            left = BATCH - len(batch)
            records = stream.read(self._at[name], left) if left else ()
            batch += [Arrived(stream=name, record=record) for record in records]
            if records and len(records) == left:
                self._streams[name] = self._streams.pop(name)
        return batch

    def _consume(self, batch: Sequence[Arrived]) -> None:
        """Handle and store a batch; where the whole of it cannot be, each record alone."""
        try:
            self._commit(self._handled(batch), batch)
        except (StoreFailed, StoreConflict):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a record does, it must not stop the others
            if len(batch) > 1:
                for each in batch:
                    self._consume([each])
                return
            unit = Unit()
            unit.keep([self._dead_letter(batch[0], f"{type(failure).__name__}: {failure}")])
            self._commit(unit, batch)

    def _handled(self, batch: Sequence[Arrived]) -> Unit:
        letters = [self._dead_letter(each, each.record.reason) for each in batch if each.record.event is None]
        readable = [each.record for each in batch if each.record.event is not None]
        # A record may come behind later ones of its history where there are dead letters, too.
        may_be_late = self._subscription.may_repeat or bool(letters)
        may_be_late = may_be_late or any(self._store.count(DeadLetter, {"stream": self.streams}).values())
        unit = self._understood(readable, may_be_late=may_be_late)
        unit.keep(letters)
        return unit

    def _understood(self, records: Sequence[Record], *, may_be_late: bool) -> Unit:
        unit = Unit()
        if may_be_late:
            records = self._above_watermark(records, unit)
        unit.add(
            self._subscription.handler([(record.log_position, record.event) for record in records if record.event])
        )
        return unit

    def _above_watermark(self, records: Sequence[Record], unit: Unit) -> list[Record]:
        """The records above the watermark of their history; the watermarks move in the same unit."""
        known = watermarks(self._store, records)
        fresh: list[Record] = []
        for record in records:
            originator, version = version_of(record)
            if version > known.get(originator, 0):
                known[originator] = version
                fresh.append(record)
        moved = {version_of(record)[0] for record in fresh}
        unit.keep(Watermark(originator=each, version=known[each]) for each in sorted(moved))
        return fresh

    def _commit(self, unit: Unit, batch: Sequence[Arrived]) -> None:
        reached = {each.stream: each.record.position for each in batch}
        unit.positions = [Position(name=name, at=position) for name, position in sorted(reached.items())]
        if self._store.commit(unit):
            self._at.update(reached)
            self._on_stored(unit)
        else:
            self._at.clear()

    def _dead_letter(self, arrived: Arrived, reason: str) -> DeadLetter:
        _log.warning("record became a dead letter", stream=arrived.stream, position=arrived.record.position)
        return to_dead_letter(arrived.stream, arrived.record, reason, self._clock())


def _place(resubmission: Resubmission) -> dict[str, str | int]:
    return {"stream": resubmission.stream, "position": resubmission.position}


def to_dead_letter(stream: str, record: Record, reason: str, at: datetime) -> DeadLetter:
    """A record as it is kept when it cannot be handled, byte for byte."""
    return DeadLetter(
        stream=stream,
        position=record.position,
        log_position=record.log_position,
        id=storable(record.id, LONGEST_NAME),
        topic=storable(record.topic, LONGEST_NAME),
        headers=[[storable(name), b64encode(value).decode()] for name, value in record.headers],
        body=b64encode(record.body).decode(),
        reason=storable(reason, LONGEST_REASON),
        at=at.isoformat(),
        key=None if record.key is None else b64encode(record.key).decode(),
    )


def watermarks(store: Store, records: Iterable[Record]) -> dict[str, int]:
    """The watermark of each history of these records, by one query: the last version that was consumed."""
    originators = sorted({version_of(record)[0] for record in records})
    rows = store.select(Watermark, {"originator": originators}) if originators else []
    return {row.originator: row.version for row in rows}


def version_of(record: Record) -> tuple[str, int]:
    """The history that a decoded record is of, and its version there."""
    originator, _, version = record.id.partition("/")
    return originator, int(version)
