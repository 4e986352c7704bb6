"""What the stores in relational databases have in common; how a statement gets there is left to each of them."""

import json
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.persistence import IntegrityError, StoredEvent

from adapters.events import EventMapper, again, new_mapper, to_event, to_records
from adapters.store.chains import Chains, forget_heads, keep_hashes
from adapters.store.tables import Dialect, Shape, SqlStatement, Table, beside, recreate, shape, table_of
from domain.hash_chain import ChainedEvent, CheckedPart, Leaf
from domain.ports import ProfileKeys
from domain.store import (
    LONGEST_EVENT,
    Commit,
    DeadLetter,
    Event,
    EventTooLong,
    MendedRecord,
    Misconfigured,
    Position,
    ReadModelVersion,
    Record,
    Resubmission,
    Row,
    StoreConflict,
    Stored,
    StoreFailed,
    Unit,
    Value,
    Where,
)

R = TypeVar("R", bound=Row)
S = TypeVar("S")

Values = tuple[Any, ...]

Fetch = Callable[[str, Sequence[Any]], list[Values]]
"""Runs a query with these parameters; raises `StoreFailed`, and `ValueError` for a parameter that cannot be sent."""

_SCAN = 1000
"""Rows that a scan holds at a time."""

_FIRST = 100
"""Records of a log whose keys are looked for at a start."""

_PARTS = 100
"""Queries that are put together to one; SQLite takes 500 at most."""

_COMBINATIONS = 5000
"""Combinations of values that one query asks for; no database takes any number of parameters."""


class AnswerLost(StoreFailed):
    """The connection broke, so that only a look at the store shows whether the last step was stored."""


class RelationalLog:
    """A store's own log, read in place."""

    def __init__(
        self, name: str, fetch: Fetch, dialect: Dialect, mapper: EventMapper, account: str | None = None
    ) -> None:
        """With an account only what it has of that."""
        self.name = name
        self._account = account
        self._fetch = fetch
        self._dialect = dialect
        self._mapper = mapper

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position, in order."""
        return self._read(">", after, "", limit)

    def read_back(self, before: int, limit: int) -> Sequence[Record]:
        """The records before this position, the newest first."""
        return self._read("<", before, " DESC", limit)

    def _read(self, side: str, place: int, order: str, limit: int) -> Sequence[Record]:
        position, placeholder = self._dialect.position, self._dialect.placeholder
        of_account, account = ("", ()) if self._account is None else (f"account = {placeholder} AND ", (self._account,))
        rest = f"WHERE {of_account}{position} {side} {placeholder} ORDER BY {position}{order} LIMIT {placeholder}"
        found = self._fetch(select_events(self._dialect, rest), [*account, place, limit])
        return to_records(self._mapper, [placed(values, self._dialect.to_uuid(values[1])) for values in found])

    def end(self) -> int:
        """The position of the last record; 0 when there is none."""
        ((last,),) = self._fetch(f"SELECT MAX({self._dialect.position}) FROM stored_events", [])  # noqa: S608 - our own name
        return last or 0

    def again(self, resubmission: Resubmission) -> Record:
        """The record that a resubmission stands for, decoded again."""
        return again(self._mapper, resubmission)

    def check_keys(self) -> None:
        """See to it that the profile keys are those of this history. Raises `Misconfigured`, as for a master key.

        Other ones would make every profile unreadable, and seal what is to come beside what nobody can read any more.
        """
        if self._mapper.lacks_keys(each.body for each in self.read(0, _FIRST)):
            raise Misconfigured(
                f"the keys that sealed the profiles in {self.name.partition('/')[0]} are missing: put back a copy of "
                "the profile keys from beside these events (the file profile-keys.sqlite, or the schema profile_keys)"
            )


class RelationalStore(ABC):
    """What one service owns, in tables."""

    def __init__(self, dialect: Dialect, log_name: str, keys: ProfileKeys | None) -> None:
        self._dialect = dialect
        self._mapper = new_mapper(keys)
        self._chains = Chains(self._fetch, dialect)
        self.log = RelationalLog(f"{log_name}/0", self._fetch, dialect, self._mapper)

    def log_of(self, account: str) -> RelationalLog:
        """The log as if it had only the records of this account."""
        return RelationalLog(self.log.name, self._fetch, self._dialect, self._mapper, account)

    def commit(self, unit: Unit) -> bool:
        """Store a unit in one transaction; False when one of its positions was stored already."""
        return self.begin(unit)()

    def begin(self, unit: Unit) -> Commit:
        """Send a unit, and await its end later."""
        stored = self._mapper.to_stored_events(unit.events)
        for each in stored:
            if len(each.state) > LONGEST_EVENT:
                raise EventTooLong(each.topic, len(each.state))
        hashes = self._chains.extend(stored)
        try:
            end = self._send(stored, hashes, unit)
        except (IntegrityError, AnswerLost) as failure:
            known = failure

            def end() -> None:
                raise known

        return partial(self._ended, unit, partial(self._chains.remember, stored, hashes), end)

    def together(self) -> AbstractContextManager[None]:
        """Here each unit has a transaction of its own."""
        return nullcontext()

    def _ended(self, unit: Unit, remember: Callable[[], None], end: Callable[[], None]) -> bool:
        try:
            end()
        except (IntegrityError, AnswerLost) as failure:
            if any(self.position(each.name) >= each.at for each in unit.positions):
                return False
            if isinstance(failure, StoreFailed):
                raise
            raise StoreConflict("another process stored into the same histories first") from failure
        remember()
        return True

    def check_chains(self, after: str, limit: int) -> CheckedPart:
        """Check the next events of the log, and behind the last one every head; see `ChainedStore`."""
        return self._chains.check(after, limit)

    def leaves(self, after: int, through: int, limit: int) -> Sequence[Leaf]:
        """What the log has, or had before it was erased; see `ChainedStore`."""
        return self._chains.leaves(after, through, limit)

    def chained_events(self, after: int, through: int, limit: int) -> Sequence[ChainedEvent]:
        """The next events of the log as they are stored; see `ChainedStore`."""
        return self._chains.events(after, through, limit)

    def insert_new(self, rows: Sequence[Row]) -> None:
        """Insert these rows of one type, but for those whose key is there already: the first who inserts it wins."""
        table = self._table(type(rows[0]))
        values = ", ".join(self._dialect.placeholder for _ in table.columns)
        sql = f"INSERT INTO {table.row.TABLE} ({', '.join(table.columns)}) VALUES ({values})"  # noqa: S608 - our own names
        with self._transaction() as cursor:
            # In one order, so that two processes do not wait for each other.
            cursor.executemany(f"{sql} ON CONFLICT DO NOTHING", sorted(map(table.parameters, rows)))

    def exchange(self, rows: Collection[tuple[R, R]]) -> None:
        """Put the second of each of these pairs in the place of the first, where that is still as it is there."""
        if not rows:
            return
        table = self._table(type(next(iter(rows))[0]))
        placeholder = self._dialect.placeholder
        changed = ", ".join(f"{column} = {placeholder}" for column in table.columns)
        same = " AND ".join(f"{column} = {placeholder}" for column in table.columns)
        parameters = sorted((table.parameters(before), table.parameters(after)) for before, after in rows)
        with self._transaction() as cursor:
            sql = f"UPDATE {table.row.TABLE} SET {changed} WHERE {same}"  # noqa: S608 - our own names
            cursor.executemany(sql, [(*after, *before) for before, after in parameters])

    def position(self, name: str) -> int:
        """How far the stream of this name has been read."""
        sql = f"SELECT MAX(notification_id) FROM tracking WHERE application_name = {self._dialect.placeholder}"  # noqa: S608 - only a placeholder
        ((at,),) = self._fetch(sql, [name])
        return at or 0

    def histories(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Event]]:
        """The events of each of these histories, in order, by one query."""
        stored = self._histories(ids)
        ciphers = self._mapper.ciphers(event.state for events in stored.values() for _, event in events)
        return {
            each: [to_event(self._mapper, event, ciphers) for _, event in events] for each, events in stored.items()
        }

    def folded(self, start: Mapping[UUID, S], apply: Callable[[S, Event], S]) -> Mapping[UUID, S]:
        """What each of these histories comes to, given what it is before its first event."""
        states = dict(start)
        for event in self._events(start):
            states[event.originator_id] = apply(states[event.originator_id], event)
        return states

    def _events(self, ids: Collection[UUID]) -> Iterator[Event]:
        """The events of these histories, one history after the other and each in order, a page at a time."""
        wanted = {self._dialect.from_uuid(each): each for each in sorted(ids, key=attrgetter("int"))}
        placeholder, behind = self._dialect.placeholder, ""
        last: Values = ()
        while wanted:
            one_of = self._dialect.one_of([*wanted])
            order = f"ORDER BY originator_id, originator_version LIMIT {placeholder}"
            rest = f"WHERE originator_id {one_of.sql} {behind}{order}"
            page = self._fetch(select_events(self._dialect, rest), [*one_of.parameters, *last, _SCAN])
            stored = [placed(values, wanted[values[1]])[1] for values in page]
            ciphers = self._mapper.ciphers(each.state for each in stored)
            for each in stored:
                yield to_event(self._mapper, each, ciphers)
            if len(page) < _SCAN:
                return
            behind, last = (
                f"AND (originator_id, originator_version) > ({placeholder}, {placeholder}) ",
                tuple(page[-1][1:3]),
            )
            wanted = {stored_id: each for stored_id, each in wanted.items() if each >= wanted[last[0]]}

    def records(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Record]]:
        """The same histories as the log has them."""
        stored = self._histories(ids)
        found = iter(to_records(self._mapper, [each for events in stored.values() for each in events]))
        return {each: [next(found) for _ in events] for each, events in stored.items()}

    def ids(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """The ids of the histories behind this one, in the order of ids."""
        placeholder = self._dialect.placeholder
        behind = f"WHERE originator_id > {placeholder} " if after else ""
        sql = f"SELECT DISTINCT originator_id FROM stored_events {behind}ORDER BY originator_id LIMIT {placeholder}"  # noqa: S608 - only placeholders
        parameters = [self._dialect.from_uuid(after), limit] if after else [limit]
        return [self._dialect.to_uuid(each) for (each,) in self._fetch(sql, parameters)]

    def select(
        self,
        row: type[R],
        where: Where | None = None,
        *,
        order_by: str | tuple[str, ...] = "",
        after: Value | tuple[Value, ...] | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """The rows that match."""
        table = self._table(row)
        statement = table.select(where or {}, order_by, after, limit)
        return [table.to_row(values) for values in self._fetch(statement.sql, statement.parameters)]

    def among(
        self, row: type[R], columns: Sequence[str], values: Collection[Values], where: Where | None = None
    ) -> list[R]:
        """The rows that match, and whose values in these columns are one of several combinations."""
        table, wanted, found = self._table(row), iter(dict.fromkeys(values)), list[R]()
        while some := list(islice(wanted, _COMBINATIONS)):
            statement = table.among(columns, some, where or {})
            found += map(table.to_row, self._fetch(statement.sql, statement.parameters))
        return found

    def first(self, row: type[R], column: str, most: Mapping[str, int], *, order_by: str) -> list[R]:
        """For each of these values of a column its first rows, up to its limit."""
        table, found, remaining = self._table(row), list[R](), iter(most.items())
        while some := dict(islice(remaining, _PARTS)):
            statement = table.first(column, some, order_by)
            found += map(table.to_row, self._fetch(statement.sql, statement.parameters))
        return found

    def count(
        self,
        row: type[Row],
        where: Where | None = None,
        *,
        by: Sequence[str] = (),
        without: type[Row] | None = None,
    ) -> Mapping[tuple[Value, ...], int]:
        """How many rows match, for each combination of the columns in `by`."""
        table = self._table(row)
        statement = table.count(where or {}, by, without)
        found = self._fetch(statement.sql, statement.parameters)
        return {table.to_fields(by, values[:-1]): values[-1] for values in found}

    def least(
        self, row: type[Row], column: str, where: Where | None = None, *, by: Sequence[str]
    ) -> Mapping[tuple[Value, ...], Value]:
        """The least value of a column in the rows that match, for each combination of the columns in `by`."""
        table = self._table(row)
        statement = table.least(column, where or {}, by)
        found = self._fetch(statement.sql, statement.parameters)
        return {table.to_fields(by, values[:-1]): values[-1] for values in found}

    def scan(self, row: type[Row]) -> Iterator[Stored]:
        """All rows as they are stored, in the order of their keys, a page at a time."""
        table = self._table(row)
        page = self._page(table, None)
        while page:
            yield from page
            page = self._page(table, page[-1]) if len(page) == _SCAN else []

    def unlike(self, rows: Collection[type[Row]]) -> list[type[Row]]:
        """Those of these whose tables have other columns, or another key."""
        with self._transaction() as cursor:
            found = self._shapes(cursor)
        return [row for row in rows if found.get(row.TABLE) != shape(self._table(row))]

    def begin_beside(self, rows: Collection[type[Row]]) -> None:
        """Make an empty table beside the table of each of these, without its indexes."""
        with self._transaction() as cursor:
            for row in rows:
                for statement in recreate(self._table(beside(row))):
                    cursor.execute(statement)

    def put_beside(self, row: type[Row], rows: Mapping[tuple[Value, ...], Row | None], *, is_first: bool) -> None:
        """Put these rows into the table beside; None: remove it."""
        table = self._table(beside(row))
        kept: Iterable[Any] = (each for each in rows.values() if each is not None)
        with self._transaction() as cursor:
            if is_first:
                self._dialect.load(cursor, table, map(table.parameters, kept))
                return
            removed = iter([key for key, each in rows.items() if each is None])
            while some := list(islice(removed, _COMBINATIONS)):
                statement = table.delete_among(row.KEY, some)
                cursor.execute(statement.sql, statement.parameters)
            self._dialect.put(cursor, table, map(table.parameters, kept))

    def among_beside(self, row: type[R], keys: Collection[tuple[Value, ...]]) -> list[R]:
        """The rows of these keys in the table beside."""
        found: list[Any] = self.among(beside(row), row.KEY, keys)
        return [row(**{each.name: getattr(made, each.name) for each in fields(row)}) for made in found]

    def scan_beside(self, row: type[Row]) -> Iterator[Stored]:
        """All rows of the table beside, as they are stored."""
        return self.scan(beside(row))

    def end_beside(self, versions: Mapping[type[Row], str], positions: Sequence[Position] = ()) -> None:
        """Let the tables beside take the place of these tables, in one transaction with positions that are new."""
        stored = [ReadModelVersion(name=row.TABLE, version=version) for row, version in versions.items()]
        table, placeholder = self._table(ReadModelVersion), self._dialect.placeholder
        with self._transaction() as cursor:
            found = self._shapes(cursor)
            for row in versions:
                for statement in self._taking_place(self._table(row), found.get(row.TABLE, frozenset())):
                    cursor.execute(statement)
            self._dialect.put(cursor, table, map(table.parameters, stored))
            mark = f"INSERT INTO tracking (application_name, notification_id) VALUES ({placeholder}, {placeholder})"  # noqa: S608 - only placeholders
            for each in positions:
                cursor.execute(mark, [each.name, each.at])

    def erase(self, account: str, rows: Collection[type[Row]], but: Collection[str]) -> tuple[int, int]:
        """Erase an account's events and rows, in one transaction."""
        placeholder, events, erased = self._dialect.placeholder, 0, 0
        kept = f" AND topic NOT IN ({', '.join(placeholder for _ in but)})" if but else ""
        own = [row for row in rows if "account" in self._table(row).columns]
        with self._transaction() as cursor:

            def delete(table: str, condition: str, parameters: Sequence[Any]) -> int:
                cursor.execute(f"SELECT COUNT(*) FROM {table} WHERE {condition}", parameters)  # noqa: S608 - our own names
                ((found,),) = cursor.fetchall()
                cursor.execute(f"DELETE FROM {table} WHERE {condition}", parameters)  # noqa: S608 - as above
                return int(found)

            gone = f"account = {placeholder}{kept}"
            cursor.execute(keep_hashes(self._dialect, gone), [account, *but])
            cursor.execute(forget_heads(self._dialect, gone), [account, *but])
            events = delete("stored_events", gone, [account, *but])
            for row in own:
                erased += delete(row.TABLE, f"account = {placeholder}", [account])
        self._chains.forget()
        return events, erased + self._erase_records(account)

    def _erase_records(self, account: str) -> int:
        """Erase the records of an account that could not be handled; how many."""
        said, unit, found = json.dumps(account).encode(), Unit(), 0
        kinds: tuple[type[DeadLetter | Resubmission | MendedRecord], ...] = (DeadLetter, Resubmission, MendedRecord)
        for kind in kinds:
            for row in self.select(kind):
                if said in b64decode(row.body):
                    unit.remove(kind, {column: getattr(row, column) for column in kind.KEY})
                    found += 1
        if found:
            self.commit(unit)
        return found

    def last_of(self, account: str) -> int:
        """The position of an account's last event; 0 where there is none."""
        sql = f"SELECT MAX({self._dialect.position}) FROM stored_events WHERE account = {self._dialect.placeholder}"  # noqa: S608 - our own names
        ((last,),) = self._fetch(sql, [account])
        return last or 0

    def drop_beside(self, rows: Collection[type[Row]]) -> None:
        """Remove the tables beside."""
        with self._transaction() as cursor:
            for row in rows:
                cursor.execute(f"DROP TABLE IF EXISTS {beside(row).TABLE}")

    @abstractmethod
    def begin_erasing(self) -> None:
        """See to it that what is changed or removed from now on is overwritten."""

    @abstractmethod
    def end_erasing(self) -> None:
        """Let no copy of what was changed or removed stay beside the tables."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    @abstractmethod
    def _send(self, stored: Sequence[StoredEvent], hashes: Sequence[bytes], unit: Unit) -> Callable[[], None]:
        """Begin to store all of it, with the hash of each event, in one transaction; what is returned ends that.

        That raises the library's `IntegrityError` when a version or a position is taken, and what `commit` raises.
        """

    @abstractmethod
    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Values]: ...

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Any]:
        """A transaction in which this store may write, as its cursor; raises `StoreFailed`."""

    @abstractmethod
    def _shapes(self, cursor: Any) -> Mapping[str, Shape]:  # noqa: ANN401 - any database's
        """What every table declares, by its name."""

    def _taking_place(self, table: Table[Any], found: Shape) -> list[str]:
        """The statements that put the table beside in the place of this one."""
        return table.take_place(found)

    def _histories(self, ids: Collection[UUID]) -> dict[UUID, list[tuple[int, StoredEvent]]]:
        found: dict[UUID, list[tuple[int, StoredEvent]]] = {each: [] for each in ids}
        wanted = {self._dialect.from_uuid(each): each for each in found}
        one_of = self._dialect.one_of([*wanted])
        rest = f"WHERE originator_id {one_of.sql} ORDER BY originator_id, originator_version"
        for values in self._fetch(select_events(self._dialect, rest), one_of.parameters):
            id = wanted[values[1]]  # noqa: A001 - the event's word
            found[id].append(placed(values, id))
        return found

    def _page(self, table: Table[Any], behind: Stored | None) -> list[Stored]:
        statement = table.page(behind, _SCAN)
        return self._fetch(statement.sql, statement.parameters)

    def _table(self, row: type[R]) -> Table[R]:
        return table_of(row, self._dialect)


def write_rows(cursor: Any, unit: Unit, dialect: Dialect) -> None:  # noqa: ANN401 - any database's
    """Remove and keep the rows of a unit."""
    for statement in _removals(unit, dialect):
        cursor.execute(statement.sql, statement.parameters)
    by_kind: dict[type[Row], list[Row]] = {}
    for row in unit.rows.values():
        by_kind.setdefault(type(row), []).append(row)
    for kind, rows in by_kind.items():
        table: Table[Any] = table_of(kind, dialect)
        dialect.put(cursor, table, map(table.parameters, rows))


def _removals(unit: Unit, dialect: Dialect) -> Iterator[SqlStatement]:
    """The statements that remove the rows of a unit: one for many that are named one by one."""
    named: dict[tuple[type[Row], tuple[str, ...]], list[Values]] = {}
    for kind, where in unit.removed:
        if where and all(isinstance(wanted, str | int | float) for wanted in where.values()):
            named.setdefault((kind, tuple(where)), []).append(tuple(where.values()))
        else:
            yield table_of(kind, dialect).delete(where)
    for (kind, columns), values in named.items():
        remaining = iter(dict.fromkeys(values))
        while some := list(islice(remaining, _COMBINATIONS)):
            yield table_of(kind, dialect).delete_among(columns, some)


def named_in(event: Event) -> tuple[str, str]:
    """The account and the driver by which an event is found; empty where it is about none."""
    return event.account, getattr(event, "driver", "")


def select_events(dialect: Dialect, rest: str) -> str:
    """The query for the events that the rest of it names, as `placed` reads them."""
    return f"SELECT {dialect.position}, originator_id, originator_version, topic, state FROM stored_events {rest}"  # noqa: S608 - our own names


def placed(values: Values, id: UUID) -> tuple[int, StoredEvent]:  # noqa: A002 - the event's word
    """A stored event of this history, with its position in the log."""
    position, _, version, topic, state = values
    # SQLite has text where somebody altered the bytes by hand, which `verify` is to name.
    body = state.encode() if isinstance(state, str) else state
    return position, StoredEvent(originator_id=id, originator_version=version, topic=topic, state=body)
