"""How every service takes over a stream: batch by batch, one transaction each; a bad record stops nobody."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from domain.event import Event
from domain.storing import (
    DeadLetter,
    LastHeard,
    Position,
    Record,
    Resubmission,
    Store,
    StoreConflict,
    StoreFailed,
    Stream,
    Unit,
)
from services.runtime.clock import Clock

BATCH = 500

Handler = Callable[[Sequence[tuple[int, Event]]], Unit]
"""What a service makes of the events of a batch, each with its position in the log it is from: the unit to store."""

_log = structlog.get_logger()


class Unreadable(Exception):
    """A record that was submitted again cannot be decoded; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A stream that a service follows, and what it makes of it.

    Where records may come twice, or late, of each history only what is newer than what was heard last is handled. So
    it is in every stream that has dead letters: each of them may be submitted again when it has been overtaken.
    """

    stream: Stream
    handler: Handler
    may_repeat: bool = False


class Follower:
    """Takes a stream over into a store: what follows from a batch commits with the position behind it."""

    def __init__(self, feed: Feed, store: Store, clock: Clock) -> None:
        self._feed = feed
        self._stream = feed.stream
        self._store = store
        self._clock = clock
        self._at: int | None = None

    @property
    def stream(self) -> str:
        """The name of the stream that is followed."""
        return self._stream.name

    def step(self) -> int:
        """Take over the next batch; how many records it had. Raises `StoreFailed`."""
        records = self._stream.read(self._position(), BATCH)
        try:
            if records:
                self._take_over(records)
        except StoreConflict:
            self._at = None
            _log.info("batch is decided again", stream=self.stream)
        return len(records)

    def has_reached(self, position: int) -> bool:
        """Whether everything up to this position is known to be taken over."""
        return self._at is not None and self._at >= position

    def lag(self) -> int:
        """How far the store is behind the stream; 0 when everything is taken over."""
        return self._stream.end() - self._store.position(self.stream)

    def take_again(self, resubmission: Resubmission) -> None:
        """Take over what a dead letter stands for; where it still cannot be, the letter says the new reason."""
        try:
            self._settle(resubmission, self._mended(resubmission))
        except (StoreFailed, StoreConflict):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever the record does, it must not stop the others
            self._settle(resubmission, self._blamed(resubmission, failure))

    def _position(self) -> int:
        if self._at is None:
            self._at = self._store.position(self.stream)
        return self._at

    def _take_over(self, records: Sequence[Record]) -> None:
        """Handle and store a batch; where the whole of it cannot be, each record by itself."""
        try:
            self._commit(self._handled(records), records[-1].position)
        except (StoreFailed, StoreConflict):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a record does, it must not stop the others
            self._take_over_singly(records, failure)

    def _handled(self, records: Sequence[Record]) -> Unit:
        letters = [self._dead_letter(record, record.reason) for record in records if record.event is None]
        readable = [record for record in records if record.event is not None]
        unit = self._understood(readable, may_be_late=bool(letters) or self._may_be_late())
        unit.keep(letters)
        return unit

    def _may_be_late(self) -> bool:
        """Whether a record may come behind later ones of its history."""
        return self._feed.may_repeat or any(self._store.count(DeadLetter, {"stream": self.stream}).values())

    def _understood(self, records: Sequence[Record], *, may_be_late: bool) -> Unit:
        unit = Unit()
        if may_be_late:
            records = self._unheard(records, unit)
        unit.add(self._feed.handler([(record.log_position, record.event) for record in records if record.event]))
        return unit

    def _unheard(self, records: Sequence[Record], unit: Unit) -> list[Record]:
        """The records that tell something new, by what was heard last of each history; that moves in the same unit."""
        heard = last_heard(self._store, records)
        fresh: list[Record] = []
        for record in records:
            originator, version = version_of(record)
            if version > heard.get(originator, 0):
                heard[originator] = version
                fresh.append(record)
        told = {version_of(record)[0] for record in fresh}
        unit.keep(LastHeard(originator=each, version=heard[each]) for each in sorted(told))
        return fresh

    def _take_over_singly(self, records: Sequence[Record], failure: Exception) -> None:
        if len(records) > 1:
            for record in records:
                self._take_over([record])
            return
        unit = Unit()
        unit.keep([self._dead_letter(records[0], f"{type(failure).__name__}: {failure}")])
        self._commit(unit, records[0].position)

    def _commit(self, unit: Unit, position: int) -> None:
        unit.position = Position(name=self.stream, at=position)
        self._at = position if self._store.commit(unit) else None

    def _dead_letter(self, record: Record, reason: str) -> DeadLetter:
        _log.warning("record became a dead letter", stream=self.stream, position=record.position)
        return to_dead_letter(self.stream, record, reason, self._clock())

    def _mended(self, resubmission: Resubmission) -> Unit:
        record = self._stream.again(resubmission)
        if record.event is None:
            raise Unreadable(record.reason)
        unit = self._understood([record], may_be_late=True)
        unit.remove(DeadLetter, _place(resubmission))
        return unit

    def _blamed(self, resubmission: Resubmission, failure: Exception) -> Unit:
        reason = str(failure) if isinstance(failure, Unreadable) else f"{type(failure).__name__}: {failure}"
        letters = self._store.select(DeadLetter, _place(resubmission))
        unit = Unit()
        unit.keep(
            replace(letter, reason=_storable(f"submitted again: {reason}"), at=self._clock().isoformat())
            for letter in letters
        )
        return unit

    def _settle(self, resubmission: Resubmission, unit: Unit) -> None:
        unit.remove(Resubmission, _place(resubmission))
        self._store.commit(unit)


def to_dead_letter(stream: str, record: Record, reason: str, at: datetime) -> DeadLetter:
    """A record as it is kept when it cannot be handled, byte for byte."""
    return DeadLetter(
        stream=stream,
        position=record.position,
        log_position=record.log_position,
        id=_storable(record.id),
        topic=_storable(record.topic),
        headers=[[_storable(name), b64encode(value).decode()] for name, value in record.headers],
        body=b64encode(record.body).decode(),
        reason=_storable(reason),
        at=at.isoformat(),
    )


def last_heard(store: Store, records: Iterable[Record]) -> dict[str, int]:
    """The version that was heard last of each history that these records are of, by one query."""
    originators = sorted({version_of(record)[0] for record in records})
    rows = store.select(LastHeard, {"originator": originators}) if originators else []
    return {row.originator: row.version for row in rows}


def version_of(record: Record) -> tuple[str, int]:
    """The history that a decoded record is of, and its version there."""
    originator, _, version = record.id.partition("/")
    return originator, int(version)


def _place(resubmission: Resubmission) -> dict[str, str | int]:
    return {"stream": resubmission.stream, "position": resubmission.position}


def _storable(text: str) -> str:
    """The text with an escape for each character that some store cannot hold: lone surrogates, and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
