"""Rows as tables: the SQL that every relational store shares, apart from what its dialect says.

What is done where a table is not as its row says:

no table, or as the row says           make what is missing of it
it only lacks columns that may be None add them: they are unknown for the rows that exist
of another version, without rows       make it again
of another version, a read model       leave it: a rebuild makes it beside, and puts it in its place
another, of another version, with rows what belongs into its columns is unknown: a numbered script has to migrate it
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from itertools import chain, zip_longest
from operator import attrgetter
from types import UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from domain.store import FILLED, Row, Stored, Value, Where

R = TypeVar("R", bound=Row)

_to_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, check_circular=False).encode

_NO_LIMIT = 2**62
"""More rows than there are: a limit keeps what is within from being planned together with what is around it."""

_EMPTY = {"TEXT": "''", "BIGINT": "0"}
"""What is empty of each type."""

_TYPES = {str: "TEXT", int: "BIGINT", bool: "BOOLEAN", float: "DOUBLE PRECISION"}


Shape = Set[str]
"""What a table declares, its columns with their types and its key; empty where there is no table."""


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """SQL and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one database writes in another way than others.

    `placeholder` stands for a parameter, `text` is the type of text that compares by code points, and `position` the
    column that says where an event stands in the log. `one_of` is the condition that a column has one of these values,
    and `combinations` is the query for these values of columns with these types. `guard` is a condition that every
    value of a column of this type meets: an index has it, so that only queries that say it use the index; empty where
    no such care is needed. `put` inserts rows with a cursor, each in the place of one with its key, and
    `load` does so where there are none yet; they raise `ValueError` for what does not fit. `from_uuid` and `to_uuid`
    lead to an id as the database has it, and back; `id` is the type of that. Of a stored event `history` is the id of
    its history in hexadecimal digits, and `raw` are its columns as the bytes that are stored: this id, version, topic,
    state, hash, account, driver; `hash_text` is the hash in hexadecimal digits. `added` are the columns that the
    library does not make, with what they are declared as, and `event_indexes` the statements that make the indexes.
    """

    placeholder: str
    text: str
    position: str
    one_of: Callable[[list[Any]], SqlStatement]
    combinations: Callable[[Sequence[str], Collection[tuple[Any, ...]]], SqlStatement]
    guard: Callable[[str, str], str]
    put: Callable[[Any, "Table[Any]", Iterable[Stored]], None]
    load: Callable[[Any, "Table[Any]", Iterable[Stored]], None]
    from_uuid: Callable[[UUID], Any]
    to_uuid: Callable[[Any], UUID]
    id: str
    history: str
    raw: str
    added: Mapping[str, str] = field(hash=False)
    event_indexes: tuple[str, ...]
    hash_text: str

    def add_column(self, name: str) -> str:
        """The statement that gives stored events one of the columns that the library does not make."""
        return f"ALTER TABLE stored_events ADD COLUMN {name} {self.added[name]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[R]):
    """How one row type is stored."""

    row: type[R]
    dialect: Dialect
    columns: tuple[str, ...]
    types: tuple[str, ...]
    optional: frozenset[str]
    conversions: Mapping[str, Callable[[Any], Any]]
    json_places: tuple[int, ...]
    values: Callable[[R], tuple[Any, ...]]

    def declarations(self, text: str = "TEXT") -> list[str]:
        """The columns and the key as they are declared; `text` is the type of texts."""
        columns = [
            f"{name} {text if kind == 'TEXT' else kind}{'' if name in self.optional else ' NOT NULL'}"
            for name, kind in zip(self.columns, self.types, strict=True)
        ]
        return [*columns, f"PRIMARY KEY ({', '.join(self.row.KEY)})"]

    def create(self) -> list[str]:
        """The statements that make the table and its indexes where they are not there yet."""
        name = self.row.TABLE
        table = f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(self.declarations(self.dialect.text))})"
        return [table, *self.indexes()]

    def indexes(self) -> list[str]:
        """The statements that make the indexes where they are not there yet."""
        return [*chain.from_iterable(self._index(columns) for columns in self.row.INDEXES)]

    def take_place(self, found: Shape) -> list[str]:
        """The statements that put the table beside in the place of this one, which is `found` so, with its indexes."""
        name, key = self.row.TABLE, self.row.KEY
        declared = dict(zip(self.columns, self.declarations(), strict=False))
        statements = [f"DROP TABLE IF EXISTS {name}", f"ALTER TABLE {name}{_BESIDE} RENAME TO {name}", *self.indexes()]
        if kept := [column for column in self.row.WORK if declared[column] in found]:
            columns, old = ", ".join(kept), f"{name} AS kept"
            same = " AND ".join(f"kept.{column} = {name}{_BESIDE}.{column}" for column in key)
            row = f"SELECT {', '.join(f'kept.{column}' for column in kept)} FROM {old} WHERE {same}"  # noqa: S608 - our own names
            statements.insert(
                0,
                f"UPDATE {name}{_BESIDE} SET ({columns}) = ({row}) WHERE EXISTS (SELECT 1 FROM {old} WHERE {same})",  # noqa: S608 - as above
            )
        return statements

    def _index(self, columns: Sequence[str]) -> list[str]:
        """The statements that make an index; one that is guarded takes the place of the one without a guard."""
        name, on = f"{self.row.TABLE}_{'_'.join(columns)}", f"ON {self.row.TABLE} ({', '.join(columns)})"
        if filled := [self._filled(column) for column in columns if column in self.row.SPARSE]:
            return [f"CREATE INDEX IF NOT EXISTS {name} {on} WHERE {' AND '.join(filled)}"]
        guards = self._guards(columns)
        if not guards:
            return [f"CREATE INDEX IF NOT EXISTS {name} {on}"]
        made = f"CREATE INDEX IF NOT EXISTS {name}_asked {on} WHERE {' AND '.join(guards)}"
        return [f"DROP INDEX IF EXISTS {name}", made]

    def _guards(self, asked: Collection[str]) -> list[str]:
        """What a query says besides that asks for these columns, so that it may use the indexes that begin with them.

        An index that begins as the key does would else tempt a planner that knows nothing of the values yet: it reads
        all that begin so, for each of thousands of keys.
        """
        whole = (columns for columns in self.row.INDEXES if self.row.SPARSE.isdisjoint(columns))
        own = dict.fromkeys(_own_column(self.row.KEY, columns) for columns in whole)
        kinds = dict(zip(self.columns, self.types, strict=True))
        guards = (self.dialect.guard(column, kinds[column]) for column in own if column and column in asked)
        return [guard for guard in guards if guard]

    def _is_filled(self, column: str, wanted: Value | Collection[Value]) -> bool:
        """Whether a sparse column is filled in every row that has one of these values in it."""
        one_of = [wanted] if isinstance(wanted, str | int | float) else wanted
        return column in self.row.SPARSE and all(one_of)

    def _filled(self, column: str) -> str:
        """The condition that a column is filled, in the same words in queries and in indexes."""
        return f"{column} <> {_EMPTY[self.types[self.columns.index(column)]]}"

    def _conditions(self, where: Where, asked: Collection[str] = ()) -> list[SqlStatement]:
        return [*self._stated(where), *map(SqlStatement, self._guards({*where, *asked}))]

    def _stated(self, where: Where) -> list[SqlStatement]:
        """What the rows have to be, in words that make an index with a sparse column match."""
        sparse = (column for column, wanted in where.items() if wanted is FILLED or self._is_filled(column, wanted))
        filled = [SqlStatement(self._filled(column)) for column in sparse]
        others = {column: wanted for column, wanted in where.items() if wanted is not FILLED}
        return [*filled, *_clauses(self.dialect, others)]

    def upsert(self, source: str) -> str:
        """Insert the rows of this source, or put them in the place of those with their keys."""
        key = ", ".join(self.row.KEY)
        rest = [column for column in self.columns if column not in self.row.KEY]
        action = f"UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in rest)}" if rest else "NOTHING"
        return f"INSERT INTO {self.row.TABLE} ({', '.join(self.columns)}) {source} ON CONFLICT ({key}) DO {action}"

    def parameters(self, row: R) -> tuple[Any, ...]:
        """A row as the parameters of `upsert`."""
        stated = self.values(row)
        if not self.json_places:
            return stated
        values = list(stated)
        for place in self.json_places:
            value = values[place]
            values[place] = "[]" if value == [] else _to_json(value)
        return tuple(values)

    def delete(self, where: Where) -> SqlStatement:
        """Remove the rows that match."""
        condition = _all_of(self._conditions(where))
        return SqlStatement(f"DELETE FROM {self.row.TABLE}{condition.sql}", condition.parameters)  # noqa: S608 - as above

    def delete_among(self, columns: Sequence[str], values: Collection[tuple[Any, ...]]) -> SqlStatement:
        """Remove the rows whose values in these columns are one of several combinations."""
        if len(values) == 1:
            return self.delete(dict(zip(columns, *values, strict=True)))
        condition = _all_of([self._among(columns, values)])
        return SqlStatement(f"DELETE FROM {self.row.TABLE}{condition.sql}", condition.parameters)  # noqa: S608 - as above

    def select(
        self,
        where: Where,
        order_by: str | tuple[str, ...],
        after: Value | tuple[Value, ...] | None,
        limit: int | None,
    ) -> SqlStatement:
        """The rows that match."""
        order = (order_by,) if isinstance(order_by, str) else order_by
        clauses = self._conditions(where, order)
        if after is not None:
            clauses.append(_behind(self.dialect, order, after if isinstance(after, tuple) else (after,)))
        condition = _all_of(clauses)
        sql = f"SELECT {', '.join(self.columns)} FROM {self.row.TABLE}{condition.sql}"  # noqa: S608 - as above
        if order_by:
            sql += f" ORDER BY {', '.join(order)}"
        if limit is None:
            return SqlStatement(sql, condition.parameters)
        return SqlStatement(f"{sql} LIMIT {self.dialect.placeholder}", (*condition.parameters, limit))

    def among(self, columns: Sequence[str], values: Collection[tuple[Any, ...]], where: Where) -> SqlStatement:
        """The rows that match, and whose values in these columns are one of several combinations.

        They are found by the combinations alone; what else they have to match is looked at behind that.
        """
        sparse = [SqlStatement(self._filled(column)) for column in columns if column in self.row.SPARSE]
        chosen, names = _all_of([self._among(columns, values), *sparse]), ", ".join(self.columns)
        found = f"SELECT {names} FROM {self.row.TABLE}{chosen.sql}"  # noqa: S608 - as above
        if not where:
            return SqlStatement(found, chosen.parameters)
        condition = _all_of(self._stated(where))
        sql = f"SELECT {names} FROM ({found} LIMIT {_NO_LIMIT}) AS found{condition.sql}"  # noqa: S608 - as above
        return SqlStatement(sql, (*chosen.parameters, *condition.parameters))

    def first(self, column: str, most: Mapping[str, int], order_by: str) -> SqlStatement:
        """For each of these values of a column its first rows, up to its limit."""
        filled: Where = {order_by: FILLED} if order_by in self.row.SPARSE else {}
        parts = [self.select({column: value, **filled}, order_by, None, limit) for value, limit in most.items()]
        sql = " UNION ALL ".join(f"SELECT * FROM ({part.sql}) AS part" for part in parts)  # noqa: S608 - as above
        return SqlStatement(sql, tuple(chain.from_iterable(part.parameters for part in parts)))

    def page(self, behind: Stored | None, limit: int) -> SqlStatement:
        """The rows behind this one, in the order of keys."""
        key = self.row.KEY
        values = () if behind is None else tuple(behind[self.columns.index(column)] for column in key)
        condition = _all_of([_behind(self.dialect, key, values)] if values else [])
        found = f"SELECT {', '.join(self.columns)} FROM {self.row.TABLE}{condition.sql}"  # noqa: S608 - as above
        return SqlStatement(f"{found} ORDER BY {', '.join(key)} LIMIT {limit:d}", condition.parameters)

    def count(self, where: Where, by: Sequence[str], without: type[Row] | None = None) -> SqlStatement:
        """How many rows match, for each combination of these columns; none that has a counterpart in another table."""
        conditions = self._conditions(where, by)
        if without is not None:
            conditions.append(SqlStatement(_lacking(self.row, without)))
        condition = _all_of(conditions)
        chosen = "".join(f"{column}, " for column in by)
        sql = f"SELECT {chosen}COUNT(*) FROM {self.row.TABLE}{condition.sql}"  # noqa: S608 - as above
        return SqlStatement(f"{sql} GROUP BY {', '.join(by)}" if by else sql, condition.parameters)

    def least(self, column: str, where: Where, by: Sequence[str]) -> SqlStatement:
        """The least value of a column in the rows that match, for each combination of these columns."""
        condition, chosen = _all_of(self._conditions(where, [column, *by])), ", ".join(by)
        sql = f"SELECT {chosen}, MIN({column}) FROM {self.row.TABLE}{condition.sql} GROUP BY {chosen}"  # noqa: S608 - as above
        return SqlStatement(sql, condition.parameters)

    def to_row(self, values: Sequence[Any]) -> R:
        """A row from the values of its columns."""
        named = dict(zip(self.columns, values, strict=True))
        for column, to_field in self.conversions.items():
            named[column] = to_field(named[column])
        return self.row(**named)

    def to_fields(self, columns: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        """The fields that the values of these columns stand for."""
        if self.conversions.keys().isdisjoint(columns):
            return tuple(values)
        return tuple(
            self.conversions[column](value) if column in self.conversions else value
            for column, value in zip(columns, values, strict=True)
        )

    def _among(self, columns: Sequence[str], values: Collection[tuple[Any, ...]]) -> SqlStatement:
        types = [self.types[self.columns.index(column)] for column in columns]
        chosen = self.dialect.combinations(types, values)
        return SqlStatement(f"({', '.join(columns)}) IN ({chosen.sql})", chosen.parameters)


def _to_boolean(value: Any) -> bool | None:  # noqa: ANN401 - as the database has it
    return None if value is None else bool(value)


def _to_optional(value: Any) -> Any:  # noqa: ANN401 - as above
    return None if value is None else msgspec.json.decode(value)


_BESIDE = "_beside"


_BESIDES: dict[type[Row], type[Row]] = {}


def beside(row: type[Row]) -> type[Row]:
    """The rows of the table in which a rebuild makes what is to take the place of these."""
    if row not in _BESIDES:
        changed = {"__slots__": (), "TABLE": f"{row.TABLE}{_BESIDE}", "INDEXES": ()}
        _BESIDES[row] = type(row.__name__, (row,), changed)
    return _BESIDES[row]


_TABLES: dict[tuple[type[Row], Dialect], Table[Any]] = {}


def table_of(row: type[R], dialect: Dialect) -> Table[R]:
    """How this row type is stored: one column for each field."""
    if (row, dialect) in _TABLES:
        return _TABLES[row, dialect]
    hints = get_type_hints(row)
    types = {each.name: _plain(hints[each.name]) for each in fields(row)}
    json_columns = frozenset(name for name, kind in types.items() if kind not in _TYPES)
    boolean_columns = frozenset(name for name, kind in types.items() if kind is bool)
    optional = frozenset(name for name in types if _is_optional(hints[name]))
    # What was stored before an optional column was added has nothing in it, not even JSON's null.
    from_json = {name: _to_optional if name in optional else msgspec.json.decode for name in json_columns}
    _TABLES[row, dialect] = Table(
        row=row,
        dialect=dialect,
        columns=tuple(types),
        types=tuple(_TYPES.get(kind, "TEXT") for kind in types.values()),
        optional=optional,
        conversions={**dict.fromkeys(boolean_columns, _to_boolean), **from_json},
        json_places=tuple(place for place, name in enumerate(types) if name in json_columns),
        values=attrgetter(*types),
    )
    return _TABLES[row, dialect]


def _is_optional(hint: Any) -> bool:  # noqa: ANN401 - an annotation
    return isinstance(hint, UnionType) and type(None) in get_args(hint)


def _plain(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    if _is_optional(hint):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    return get_origin(hint) or hint


def _own_column(key: Sequence[str], index: Sequence[str]) -> str:
    """The first column in which an index that begins as the key does differs from it; empty where it does not."""
    if index[0] != key[0]:
        return ""
    pairs = zip_longest(key, index)
    return next((ours for theirs, ours in pairs if ours is not None and ours != theirs), "")


def _clauses(dialect: Dialect, where: Where) -> list[SqlStatement]:
    clauses: list[SqlStatement] = []
    for column, wanted in where.items():
        if isinstance(wanted, str | int | float):
            clauses.append(SqlStatement(f"{column} = {dialect.placeholder}", (wanted,)))
        else:
            one_of = dialect.one_of(list(wanted))
            clauses.append(SqlStatement(f"{column} {one_of.sql}", one_of.parameters))
    return clauses


def _lacking(row: type[Row], other: type[Row]) -> str:
    """The condition that a row has no counterpart with the same key in another table.

    It is a value of its own, so that a planner that knows nothing looks for each row by the key, and joins no tables.
    """
    same = " AND ".join(f"counterpart.{column} = {row.TABLE}.{column}" for column in other.KEY)
    return f"(SELECT 1 FROM {other.TABLE} AS counterpart WHERE {same} LIMIT 1) IS NULL"  # noqa: S608 - our own names


def _behind(dialect: Dialect, columns: Sequence[str], values: tuple[Any, ...]) -> SqlStatement:
    """The condition that the values of these columns come behind those, in the order of the columns."""
    if len(columns) == 1:
        return SqlStatement(f"{columns[0]} > {dialect.placeholder}", values)
    return SqlStatement(f"({', '.join(columns)}) > ({', '.join(dialect.placeholder for _ in values)})", values)


def _all_of(clauses: Sequence[SqlStatement]) -> SqlStatement:
    parameters = tuple(parameter for clause in clauses for parameter in clause.parameters)
    return SqlStatement(f" WHERE {' AND '.join(clause.sql for clause in clauses)}" if clauses else "", parameters)


def shape(table: Table[Any]) -> Shape:
    """What the table declares when it is as its row says."""
    return {*table.declarations()}


def mending(table: Table[Any], found: Shape, has_rows: Callable[[], bool]) -> list[str] | None:
    """The statements that make the table as its row says, with its indexes; None where they cannot."""
    if not found or found == shape(table):
        return table.create()
    # The columns that may be None, as they are compared, and as they are made.
    declarations = zip(table.columns, table.declarations(), table.declarations(table.dialect.text), strict=False)
    addable = {compared: made for name, compared, made in declarations if name in table.optional}
    if found < shape(table) and shape(table) - found <= addable.keys():
        lacking = (addable[each] for each in table.declarations() if each not in found)
        return [*(f"ALTER TABLE {table.row.TABLE} ADD COLUMN {each}" for each in lacking), *table.create()]
    return None if has_rows() else recreate(table)


def recreate(table: Table[Any]) -> list[str]:
    """The statements that drop the table, and make it as its row says."""
    return [f"DROP TABLE IF EXISTS {table.row.TABLE}", *table.create()]
