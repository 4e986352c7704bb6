"""What is stored: facts, rows of tables, and the roles of a store and of a stream."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeVar, overload
from uuid import UUID

from domain.failures import ClearFailure
from domain.values import quick


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact in the history of one thing; its fields are plain JSON values, so that SQL can read what is stored.

    `TOPIC` is the name under which it is stored; it never changes, wherever the class moves.
    """

    TOPIC: ClassVar[str]
    BY_TOPIC: ClassVar[dict[str, type["Event"]]] = {}

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str

    def __init_subclass__(cls, topic: str = "") -> None:
        """Register the class under its topic; without one it is only a base of others."""
        super().__init_subclass__()
        if topic:
            cls.TOPIC = topic
            Event.BY_TOPIC[topic] = cls


@dataclass(frozen=True, kw_only=True)
class DeciderEvent(Event):
    """A fact about one account on one target, as the decider stores it."""

    target: str


Value = str | int | float | bool
Where = Mapping[str, Value | Collection[Value]]


class _Filled(Collection[Value]):
    """Every value but the empty one: no empty text, and no 0."""

    def __contains__(self, value: object) -> bool:
        return bool(value)

    def __iter__(self) -> Iterator[Value]:
        raise TypeError("the values that are not empty cannot be counted up")

    def __len__(self) -> int:
        raise TypeError("the values that are not empty cannot be counted up")


FILLED: Final[Collection[Value]] = _Filled()
"""What a column has to be one of that is not empty."""

Stored = tuple[Value | None, ...]
"""A row as the values of its columns, in the order of its fields; JSON is text, the same for equal values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table: a read model, or work to be done. Its fields are the columns.

    Columns hold text, numbers, booleans, or plain JSON (a dict or list). `KEY` names the columns that identify a row,
    `INDEXES` further groups of columns that are searched by. An index with a column of `SPARSE`, which is empty in most
    rows, or which only some queries may go by, has only the rows in which it is filled; queries use it that ask for
    `FILLED` in this column, or for a value of it.
    `WORK` are the columns of a read model that hold work in hand: no log says what is in them.
    """

    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = ()
    SPARSE: ClassVar[frozenset[str]] = frozenset()
    WORK: ClassVar[tuple[str, ...]] = ()


R = TypeVar("R", bound=Row)
S = TypeVar("S")


Values = tuple[Value, ...]
"""Those of the columns in the key of a row, in their order."""

_KEYS: dict[type[Row], Callable[[Row], Values]] = {}


def key_of(row: Row) -> Values:
    """The key of a row."""
    kind = type(row)
    if kind not in _KEYS:
        get: Callable[[Row], Any] = attrgetter(*kind.KEY)
        _KEYS[kind] = (lambda row: (get(row),)) if len(kind.KEY) == 1 else get
    return _KEYS[kind](row)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter(Row):
    """A record that could not be handled, as it came, its place and the reason, so that it stops no other record.

    `headers`, `body` and `key` are what a `Record` calls so, with every byte kept: base64, as in RFC 4648.
    `overtaken_by` is the last version of its history that was consumed behind it; None where none was.
    """

    TABLE: ClassVar[str] = "dead_letters"
    KEY: ClassVar[tuple[str, ...]] = ("stream", "position")

    stream: str
    position: int
    log_position: int
    id: str
    topic: str
    headers: list[list[str]]
    body: str
    reason: str
    at: str
    key: str | None = None
    overtaken_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resubmission(Row):
    """Work in hand: a dead letter's record, mended or as it was, to be handled by the consumer of its stream.

    `body` is base64 of the bytes.
    """

    TABLE: ClassVar[str] = "resubmissions"
    KEY: ClassVar[tuple[str, ...]] = ("stream", "position")

    stream: str
    position: int
    log_position: int
    id: str
    topic: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MendedRecord(Row):
    """What was handled in place of a record of a log that could not be: another body, of the same event.

    The log still has the former one, so a rebuild needs this. `body` is base64.
    """

    TABLE: ClassVar[str] = "mended_records"
    KEY: ClassVar[tuple[str, ...]] = ("log", "log_position")

    log: str
    log_position: int
    id: str
    topic: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadModelVersion(Row):
    """The version in which the table of a read model was made."""

    TABLE: ClassVar[str] = "read_models"
    KEY: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigratedTables(Row):
    """A numbered script that has migrated the tables of this store, so that it is not run again."""

    TABLE: ClassVar[str] = "migrations"
    KEY: ClassVar[tuple[str, ...]] = ("number",)

    number: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAnswer(Row):
    """Work in hand: what a command with an Idempotency-Key was answered, stored with what it did.

    `key` and `caller` are digests, the key's with its caller; `number` counts the caller's, `hour` is when it came, and
    `fingerprint` stands for the request. Only who has the key can read the `answer`.
    """

    TABLE: ClassVar[str] = "command_answers"
    KEY: ClassVar[tuple[str, ...]] = ("key",)
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("caller", "number"), ("hour",))

    key: str
    caller: str
    number: int
    hour: str
    account: str
    fingerprint: str
    status: int
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow(Row):
    """What somebody did that no event says, stored with what it did; `note` is why, in their own words.

    `command` is the API's operation, `subject` what it was done to; `by`, `role` and `authenticated` are as in events.
    Ids are in the order of time, the newest first. `account` is empty where it is about none.
    """

    TABLE: ClassVar[str] = "journal"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "id"),)

    id: str
    at: str
    account: str
    command: str
    subject: str
    by: str
    role: str
    authenticated: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryHead(Row):
    """The last event of a history: without it the last event could be missing, and the rest would still be a chain.

    `history` is the id in 32 hexadecimal digits, `hash` in 64.
    """

    TABLE: ClassVar[str] = "history_heads"
    KEY: ClassVar[tuple[str, ...]] = ("history",)

    history: str
    version: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedEvent(Row):
    """The hash of an event that was erased, and its place in the log: a root that was signed before covers it."""

    TABLE: ClassVar[str] = "erased_events"
    KEY: ClassVar[tuple[str, ...]] = ("position",)

    position: int
    hash: str


OF_EVERY_STORE: tuple[type[Row], ...] = (
    DeadLetter,
    Resubmission,
    MendedRecord,
    ReadModelVersion,
    MigratedTables,
    CommandAnswer,
    JournalRow,
    HistoryHead,
    ErasedEvent,
)
"""The tables that every store has, whatever its service keeps besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far something has come, and never goes back, such as what was consumed of a log or read of a topic."""

    name: str
    at: int


@dataclass(slots=True)
class Unit:
    """What one transaction stores: all of it, or nothing.

    `states` are what histories come to with its events, for a store that keeps such states in memory.
    """

    events: list[Event] = field(default_factory=list)
    states: dict[UUID, object] = field(default_factory=dict)
    rows: dict[tuple[type[Row], Values], Row] = field(default_factory=dict)
    removed: list[tuple[type[Row], Where]] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)

    def keep(self, rows: Iterable[Row]) -> None:
        """Insert these rows, or put them in the place of those with the same key."""
        for row in rows:
            self.rows[type(row), key_of(row)] = row

    def remove(self, row: type[Row], where: Where) -> None:
        """Remove the rows that match, before any are kept."""
        self.removed.append((row, where))

    def add(self, other: "Unit") -> None:
        """Store also what another unit would, apart from its positions."""
        self.events.extend(other.events)
        self.states.update(other.states)
        self.removed.extend(other.removed)
        self.rows.update(other.rows)


T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - a decorator
    """Works an attribute out when it is first asked for, and keeps it.

    As `functools.cached_property` without its lock, which costs more than most of what is worked out; two threads may
    work it out both, and come to the same.
    """

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object, owner: type) -> T | Self:
        """The attribute of an instance; asked of the class, this itself."""
        if instance is None:
            return self
        found = instance.__dict__[self._name] = self._work_out(instance)
        return found


@quick
@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of a stream, as it came: what it says is read when it is asked for.

    `position` is its place in the stream, `log_position` the one in the log of the service that wrote it; they are the
    same where the stream is that log. `id` is the event's originator and version with a slash between; it and `topic`
    are empty, and `log_position` is 0, where the record does not give them. `target` is the only one that it concerns;
    empty where it may concern each of them. It `is_stale` where it was sent in another epoch than the one that is read,
    in which the whole log is sent too. `headers` are what else came with it, and `key` is by what it was put into its
    partition; None where there is none, as in a log that is read in place. `decode` gives the event, or None and why it
    cannot be read.
    """

    position: int
    log_position: int
    id: str
    topic: str
    body: bytes
    decode: Callable[[], tuple[Event | None, str]] = field(compare=False, repr=False)
    target: str = ""
    is_stale: bool = False
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes | None = None

    @once
    def _decoded(self) -> tuple[Event | None, str]:
        return self.decode()

    @property
    def event(self) -> Event | None:
        """The event; None when it cannot be read."""
        return self._decoded[0]

    @property
    def reason(self) -> str:
        """Why it cannot be read; empty when it can."""
        return self._decoded[1]


class StoreFailed(ClearFailure):
    """A store cannot work; the message says what would help.

    Nothing of the transaction was stored, unless the connection broke in a commit without positions: then look.
    `part` is the part of the installation that it is about.
    """

    part: ClassVar[str] = "database"


class Misconfigured(StoreFailed):
    """Something is not set up as it has to be, and waiting does not change that; the message says what to do."""


LONGEST_EVENT: Final = 900_000
"""Bytes of an event as it is stored: every broker takes a record of a million with what goes with it."""


class EventTooLong(ValueError):
    """An event is longer than what can be relayed, so nothing of its unit is stored."""

    def __init__(self, topic: str, size: int) -> None:
        super().__init__(f"{topic} of {size} bytes is longer than the {LONGEST_EVENT} that a broker takes")


class StoreConflict(Exception):
    """Another process stored into the same histories first: load them again, and decide again."""


Commit = Callable[[], bool]
"""A unit that is being stored: waits for the end of that, and then returns or raises what `Store.commit` does."""


class Stream(Protocol):
    """An ordered log of records, read from a position on."""

    @property
    def name(self) -> str:
        """Under which positions in it are kept: log/partition where it is the log itself, else epoch/log/partition."""
        ...

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position, at most `limit`, in order. Raises `StoreFailed`."""
        ...

    def end(self) -> int:
        """The position of the last record; 0 when there is none. Raises `StoreFailed`."""
        ...

    def again(self, resubmission: Resubmission) -> Record:
        """The record of this stream that a resubmission stands for, decoded again."""
        ...


class Log(Stream, Protocol):
    """The stream that a service itself writes; it can also be read from its end."""

    def read_back(self, before: int, limit: int) -> Sequence[Record]:
        """The records before this position, at most `limit`, the newest first. Raises `StoreFailed`."""
        ...


class Store(Protocol):
    """What one service owns: the histories it writes, its tables, and how far it has read others' streams."""

    @property
    def log(self) -> Log:
        """Everything that was stored as an event, in the order of commits."""
        ...

    def log_of(self, account: str) -> Log:
        """The log as if it had only the records of this account, found by an index; its end is that of the log."""
        ...

    def commit(self, unit: Unit) -> bool:
        """Store a unit in one transaction; False, with nothing stored, when one of its positions is reached already.

        Raises `StoreConflict` when a version is taken, `StoreFailed` when the store cannot work, `ValueError` when a
        value cannot be stored (no Unicode, or not of its column's type) or an event is longer than `LONGEST_EVENT`,
        because nothing is stored that cannot be relayed: each time nothing of the unit is.
        """
        ...

    def begin(self, unit: Unit) -> Commit:
        """Begin to store a unit, which has to be awaited before another begins; until then reading may not show it.

        Raises what `commit` raises, as far as that is known already.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """While this lasts, what this thread commits is stored by one transaction at its end, if the store can do that.

        A unit that cannot be stored leaves the others as they are. Raises `StoreFailed` at the end, with nothing
        stored, when the transaction cannot be.
        """
        ...

    def position(self, name: str) -> int:
        """How far the stream, or the log's partition, of this name has been consumed; 0 at first."""
        ...

    def histories(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Event]]:
        """The events of each of these histories, in order, by one query; an unknown id has none."""
        ...

    def folded(self, start: Mapping[UUID, S], apply: Callable[[S, Event], S]) -> Mapping[UUID, S]:
        """What each of these histories comes to, given what it is before its first event.

        Only a page of events is in memory at a time, however long the histories are.
        """
        ...

    def ids(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """The ids of the histories behind this one, in the order of ids."""
        ...

    def select(
        self,
        row: type[R],
        where: Where | None = None,
        *,
        order_by: str | tuple[str, ...] = "",
        after: Value | tuple[Value, ...] | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """The rows that match: a column equals a value, or is one of several.

        `after` starts behind this value of the column in `order_by`, or behind these values of its columns. Text is
        ordered by its code points.
        """
        ...

    def among(
        self, row: type[R], columns: Sequence[str], values: Collection[tuple[Value, ...]], where: Where | None = None
    ) -> list[R]:
        """The rows that match, and whose values in these columns are one of several combinations."""
        ...

    def first(self, row: type[R], column: str, most: Mapping[str, int], *, order_by: str) -> list[R]:
        """For each of these values of a column its first rows, at most as many as it says, by one query.

        Rows in which the column in `order_by` is empty, and sparse, are not among them.
        """
        ...

    def count(
        self,
        row: type[Row],
        where: Where | None = None,
        *,
        by: Sequence[str] = (),
        without: type[Row] | None = None,
    ) -> Mapping[tuple[Value, ...], int]:
        """How many rows match, for each combination of the columns in `by`; the empty tuple counts all without them.

        Rows that have a counterpart in the table `without`, with the same key, do not match.
        """
        ...

    def least(
        self, row: type[Row], column: str, where: Where | None = None, *, by: Sequence[str]
    ) -> Mapping[tuple[Value, ...], Value]:
        """The least value of a column in the rows that match, for each combination of the columns in `by`."""
        ...

    def records(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Record]]:
        """The same histories as the log has them: with positions, and also what cannot be decoded."""
        ...

    def scan(self, row: type[Row]) -> Iterator[Stored]:
        """All rows as they are stored, in the order of their keys, a page at a time. Raises `StoreFailed`."""
        ...

    def end_erasing(self) -> None:
        """Let what was erased be overwritten now, where the store decides that itself. Raises `StoreFailed`."""
        ...

    def close(self) -> None:
        """Let go of the file or the connections."""
        ...


_PAGE = 500


def pages(
    store: Store,
    row: type[R],
    where: Where,
    order_by: str | tuple[str, ...],
    *,
    after: Value | tuple[Value, ...] | None = None,
    limit: int | None = None,
) -> Iterator[list[R]]:
    """The rows that match, in pages, from behind these values of the columns in `order_by`, which distinguish them.

    Raises `StoreFailed`.
    """
    most = limit or _PAGE
    values_of = attrgetter(*([order_by] if isinstance(order_by, str) else order_by))
    while page := store.select(row, where, order_by=order_by, after=after, limit=most):
        yield page
        if len(page) < most:
            return
        after = values_of(page[-1])
