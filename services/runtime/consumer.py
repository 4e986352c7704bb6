"""How every service consumes a log: live, batch by batch, and once more from its beginning when tables are rebuilt.

What follows from a batch is one transaction, and a bad record stops nothing else.
"""

from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from domain.cleaning import storable
from domain.store import (
    Commit,
    DeadLetter,
    Event,
    MendedRecord,
    Position,
    Record,
    Resubmission,
    Store,
    StoreConflict,
    StoreFailed,
    Stream,
    Unit,
)
from services.runtime.context import Clock, log_of, position_of

BATCH = 500

Handler = Callable[[Sequence[tuple[int, Event]]], Unit]
"""What a service makes of the events of a batch, each with its position in the log it is from: the unit to store."""

OnStored = Callable[[Unit], None]
"""Learns, in the service's thread, of each unit of a batch that was stored. It must not raise."""


def ignore(_: Unit) -> None:
    """Nothing follows."""


MOST_AHEAD = 4 * BATCH
"""Records that are consumed at a time where there are as many: then the other work of a service has its turn."""

LONGEST_REASON = 2000
LONGEST_NAME = 500
"""Characters that are kept of why a record could not be handled, and of its id and type; its bytes are kept whole."""

_AGAIN = "submitted again: "

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a service makes of a log that it consumes, of records for one `target` only where it names one."""

    handler: Handler
    target: str = ""

    def wants(self, record: Record) -> bool:
        """Whether a record is for this service, as far as it says without being read."""
        return not self.target or record.target in {"", self.target}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A record, and the name of the stream in which it came."""

    stream: str
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A batch, what follows from it, and the commit that is under way."""

    batch: Sequence[Arrived]
    unit: Unit
    commit: Commit


class Consumer:
    """Consumes the streams of one log into a store: what follows from a batch commits with the positions behind it.

    A batch has records of all streams that have any, so that many partitions cost no more than one. Two positions are
    kept of a stream: the place in it from which it is read on, and the watermark, which is the position in the log of
    the last record that was handled. Whatever comes at or below the watermark came before. They are one where a log is
    read in place.
    """

    def __init__(
        self,
        subscription: Subscription,
        store: Store,
        clock: Clock,
        *,
        on_stored: OnStored = ignore,
        is_ahead: bool = False,
    ) -> None:
        """One that `is_ahead` handles a batch while the whole one before it is being stored."""
        self._subscription = subscription
        self._store = store
        self._clock = clock
        self._on_stored = on_stored
        self._is_ahead = is_ahead
        self._under_way: _Begun | None = None
        self._streams: dict[str, Stream] = {}
        self._at: dict[str, int] = {}
        self._watermarks: dict[str, int] = {}
        self._unsettled: dict[str, int] = {}
        self._letters: dict[str, set[tuple[str, str]]] | None = None
        self.has_more = False
        """Whether the last step may have left something, so that another one has to follow at once."""

    @property
    def streams(self) -> Sequence[str]:
        """The names of the streams that are consumed."""
        return tuple(self._streams)

    def follow(self, stream: Stream) -> None:
        """Consume this stream too."""
        self._streams[stream.name] = stream
        self._letters = None

    def leave(self, name: str) -> None:
        """Stop consuming the stream of this name."""
        self._streams.pop(name, None)
        self._forget([name])

    def step(self) -> int:
        """Consume the next batch, or more while each is a whole one; how many records. Raises `StoreFailed`."""
        batch = self._read()
        taken = len(batch)
        try:
            if batch:
                self._consume(batch)
            while self._under_way and taken < MOST_AHEAD and (batch := self._read()):
                taken += len(batch)
                self._consume(batch)
            self._await()
        except StoreConflict:
            self._let_go()
            _log.info("batch is decided again", streams=sorted({each.stream for each in batch}))
        except StoreFailed:
            self._let_go()
            raise
        # What had to be forgotten is read once more.
        self.has_more = taken >= BATCH or (taken > 0 and self._at.keys() < self._streams.keys())
        return taken

    def _await(self) -> None:
        """Wait until nothing is under way. Raises `StoreConflict` when it is not stored: what followed is void."""
        begun = self._under_way
        if begun is None:
            return
        is_stored, failure = False, None
        try:
            is_stored = begun.commit()
        except Exception as raised:  # noqa: BLE001 - whatever a record does, it must not stop the others
            failure = raised
        if not is_stored:
            self._forget([*self._at])
        self._under_way = None
        if is_stored:
            self._on_stored(begun.unit)
            return
        if isinstance(failure, StoreFailed | StoreConflict):
            raise failure
        if failure is not None:
            for name in self._streams:
                self._recall(name)
            self._consume_each(begun.batch, failure)
        raise StoreConflict("the batch before is not stored as it was")

    def _let_go(self) -> None:
        """Begin again behind what is stored."""
        with suppress(StoreFailed, StoreConflict):
            self._await()
        self._forget([*self._at])

    def settle(self) -> None:
        """Store the positions behind records from which nothing followed. Raises `StoreFailed`."""
        if self._unsettled:
            try:
                self._commit(Unit(), {}, {})
            except StoreConflict:
                self._forget([*self._at])

    def has_reached(self, stream: str, position: int) -> bool:
        """Whether everything up to this position of a stream is known to be consumed."""
        return self._under_way is None and stream in self._at and self._at[stream] >= position

    def lag(self) -> int:
        """How far we are behind the streams; 0 when everything is consumed."""
        reached = (self._at[name] if name in self._at else self._store.position(name) for name in self._streams)
        return sum(stream.end() - at for stream, at in zip(self._streams.values(), reached, strict=True))

    def take_again(self, resubmission: Resubmission) -> None:
        """Handle what a dead letter of our streams stands for, of whatever epoch it is.

        If it still cannot be handled, the letter says the new reason.
        """
        streams = {position_of(name): stream for name, stream in self._streams.items()}
        try:
            record = streams[position_of(resubmission.stream)].again(resubmission)
            if record.event is None:
                self._blame(resubmission, record.reason)
            else:
                unit = Unit()
                if not self._is_overtaken(resubmission):
                    unit = self._understood([record])
                    unit.keep(self._mended(resubmission))
                unit.rows.pop((DeadLetter, (resubmission.stream, resubmission.position)), None)
                unit.remove(DeadLetter, _place(resubmission))
                self._settle(resubmission, unit)
        except (StoreFailed, StoreConflict):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever the record does, it must not stop the others
            self._blame(resubmission, f"{type(failure).__name__}: {failure}")

    def _mended(self, resubmission: Resubmission) -> Iterator[MendedRecord]:
        """What was handled instead of the record, if it is otherwise than it came."""
        for letter in self._store.select(DeadLetter, _place(resubmission)):
            if (letter.id, letter.topic, letter.body) != (resubmission.id, resubmission.topic, resubmission.body):
                yield MendedRecord(
                    log=log_of(resubmission.stream),
                    log_position=resubmission.log_position,
                    id=resubmission.id,
                    topic=resubmission.topic,
                    body=resubmission.body,
                )

    def _is_overtaken(self, resubmission: Resubmission) -> bool:
        """Whether a later version of the same history was consumed since; only the letter itself knows it."""
        history, version = version_of(resubmission.id)
        return any(
            letter.overtaken_by is not None
            and letter.id.partition("/")[0] == history
            and version <= letter.overtaken_by
            for letter in self._store.select(DeadLetter, _place(resubmission))
        )

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
                self._recall(name)
            left = BATCH - len(batch)
            records = stream.read(self._at[name], left) if left else ()
            batch += [Arrived(stream=name, record=record) for record in records]
            if records and len(records) == left:
                self._streams[name] = self._streams.pop(name)
        return batch

    def _recall(self, name: str) -> None:
        """Learn from the store how far a stream was consumed, and which of its records could not be handled."""
        self._at[name] = self._store.position(name)
        self._watermarks[position_of(name)] = self._store.position(position_of(name))

    def _letters_of(self, histories: Collection[str]) -> list[DeadLetter]:
        """The dead letters of these histories."""
        if self._letters is None:
            self._letters = {}
            for stream, id in self._store.count(DeadLetter, by=["stream", "id"]):  # noqa: A001 - the letter's word
                self._note(str(stream), str(id))
        places = set[tuple[str, str]]().union(*(self._letters.get(each, ()) for each in histories))
        if not places:
            return []
        where = {"stream": sorted({stream for stream, _ in places}), "id": sorted({each for _, each in places})}
        return self._store.select(DeadLetter, where)

    def _note(self, stream: str, id: str) -> None:  # noqa: A002 - the letter's word
        """Remember that there is such a dead letter, so that later versions of its history are noted in it."""
        if self._letters is not None:
            self._letters.setdefault(id.partition("/")[0], set()).add((stream, id))

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._at.pop(name, None)
            self._unsettled.pop(name, None)
            self._unsettled.pop(position_of(name), None)

    def _consume(self, batch: Sequence[Arrived]) -> None:
        """Handle and store a batch; where the whole of it cannot be, each record alone."""
        reached = {each.stream: each.record.position for each in batch}
        fresh, watermarks = self._fresh(batch)
        try:
            self._commit(self._handled(fresh), watermarks, reached, batch)
        except (StoreFailed, StoreConflict):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a record does, it must not stop the others
            self._consume_each(batch, failure)

    def _consume_each(self, batch: Sequence[Arrived], failure: Exception) -> None:
        """Handle and store the records of a batch that failed alone; one that was alone becomes a dead letter."""
        if len(batch) > 1:
            for each in batch:
                self._consume([each])
            return
        unit = Unit()
        unit.keep([self._dead_letter(batch[0], f"{type(failure).__name__}: {failure}")])
        self._commit(unit, {}, {batch[0].stream: batch[0].record.position})

    def _fresh(self, batch: Sequence[Arrived]) -> tuple[list[Arrived], dict[str, int]]:
        """The records that are for us and above the watermark, and what the watermarks are behind them.

        One of another epoch counts for nothing: its place may be that of another event in our log. What cannot be read
        does not move a watermark: its place in the log may be anything.
        """
        fresh, watermarks = list[Arrived](), dict[str, int]()
        for each in batch:
            part, at = position_of(each.stream), each.record.log_position
            if each.record.is_stale or 0 < at <= watermarks.get(part, self._watermarks[part]):
                continue
            is_wanted = self._subscription.wants(each.record)
            if is_wanted:
                fresh.append(each)
            if not is_wanted or each.record.event is not None:
                watermarks[part] = at
        return fresh, watermarks

    def _handled(self, fresh: Sequence[Arrived]) -> Unit:
        readable = [each.record for each in fresh if each.record.event is not None]
        unit = self._understood(readable)
        latest = dict(version_of(record.id) for record in readable)
        for each in fresh:
            if each.record.event is None:
                letter = self._dead_letter(each, each.record.reason)
                unit.keep([_overtaken(letter, latest.get(letter.id.partition("/")[0], 0))])
        return unit

    def _understood(self, records: Sequence[Record]) -> Unit:
        """What follows from readable records; the letters that they overtake say so."""
        if not records:
            return Unit()
        unit, latest = Unit(), dict(version_of(record.id) for record in records)
        for letter in self._letters_of(latest.keys()):
            noted = _overtaken(letter, latest[letter.id.partition("/")[0]])
            if noted is not letter:
                unit.keep([noted])
        unit.add(
            self._subscription.handler([(record.log_position, record.event) for record in records if record.event])
        )
        return unit

    def _commit(
        self,
        unit: Unit,
        watermarks: Mapping[str, int],
        reached: Mapping[str, int],
        batch: Sequence[Arrived] = (),
    ) -> None:
        """Store a unit with the positions; where there is nothing else, they wait for the next unit, or `settle`."""
        positions = {**self._unsettled, **watermarks, **reached}
        is_more_than_positions = bool(unit.events or unit.rows or unit.removed)
        is_stored = is_more_than_positions or not (watermarks or reached)
        if is_stored:
            unit.positions = [Position(name=name, at=position) for name, position in sorted(positions.items())]
            self._await()
            if self._is_ahead and len(batch) >= BATCH:
                self._under_way = _Begun(batch=batch, unit=unit, commit=self._store.begin(unit))
            elif not self._store.commit(unit):
                self._forget([*self._at])
                return
        self._unsettled = {} if is_stored else positions
        self._at.update(reached)
        self._watermarks.update(watermarks)
        for row in unit.rows.values():
            if isinstance(row, DeadLetter):
                self._note(row.stream, row.id)
        if is_more_than_positions and not self._under_way:
            self._on_stored(unit)

    def _dead_letter(self, arrived: Arrived, reason: str) -> DeadLetter:
        _log.warning("record became a dead letter", stream=arrived.stream, position=arrived.record.position)
        return to_dead_letter(arrived.stream, arrived.record, reason, self._clock())


def _overtaken(letter: DeadLetter, version: int) -> DeadLetter:
    """The letter, which says so if this version of its history is a later one than its own."""
    own = letter.id.partition("/")[2]
    is_later = own.isdecimal() and version > max(int(own), letter.overtaken_by or 0)
    return replace(letter, overtaken_by=version) if is_later else letter


def to_resubmission(mended: MendedRecord) -> Resubmission:
    """What was handled in place of a record, to be decoded once more."""
    at = mended.log_position
    return Resubmission(
        stream=mended.log, position=at, log_position=at, id=mended.id, topic=mended.topic, body=mended.body
    )


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


def version_of(id: str) -> tuple[str, int]:  # noqa: A002 - the record's word
    """The history that the event of this id is of, and its version there. Raises `ValueError`."""
    originator, _, version = id.partition("/")
    return originator, int(version)


PartitionOf = Callable[[str], int]
"""The partition of an account."""


class Consumed:
    """What a service has consumed of a log, by the positions in its store; without Kafka a log is one partition.

    A record that became a dead letter counts as consumed.
    """

    def __init__(self, store: Store, log: str, partition_of: PartitionOf | None) -> None:
        self._store = store
        self._log = log
        self._partition_of = partition_of
        self._up_to: dict[int, int] = {}

    def has(self, record: Record) -> bool:
        """Whether a record of the log was consumed. Raises `StoreFailed`."""
        partition = 0
        if self._partition_of:
            if record.event is None:
                return False
            partition = self._partition_of(record.event.account)
        if partition not in self._up_to:
            self._up_to[partition] = self._store.position(f"{self._log}/{partition}")
        return record.log_position <= self._up_to[partition]
