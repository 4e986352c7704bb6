"""Rows as tables: the SQL that every relational store shares, with `?` for parameters."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from types import UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from domain.storing import Row, Stored, Value, Where

R = TypeVar("R", bound=Row)

_to_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, check_circular=False).encode

_TYPES = {str: "TEXT", int: "BIGINT", bool: "BOOLEAN", float: "DOUBLE PRECISION"}


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """How one row type is stored."""

    row: type[R]
    columns: tuple[str, ...]
    json_columns: frozenset[str]
    boolean_columns: frozenset[str]
    declarations: tuple[str, ...]
    json_places: tuple[int, ...]
    values: Callable[[R], tuple[Any, ...]]

    def create(self) -> list[str]:
        """The statements that make the table and its indexes where they are not there yet."""
        name, key = self.row.TABLE, ", ".join(self.row.KEY)
        table = f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(self.declarations)}, PRIMARY KEY ({key}))"
        indexes = [
            f"CREATE INDEX IF NOT EXISTS {name}_{'_'.join(columns)} ON {name} ({', '.join(columns)})"
            for columns in self.row.INDEXES
        ]
        return [table, *indexes]

    def upsert(self) -> str:
        """Insert a row, or put it in the place of the one with its key."""
        values = ", ".join("?" for _ in self.columns)
        key = ", ".join(self.row.KEY)
        rest = [column for column in self.columns if column not in self.row.KEY]
        action = f"UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in rest)}" if rest else "NOTHING"
        return (
            f"INSERT INTO {self.row.TABLE} ({', '.join(self.columns)}) VALUES ({values}) "  # noqa: S608 - names of our own dataclasses
            f"ON CONFLICT ({key}) DO {action}"
        )

    def parameters(self, row: R) -> tuple[Any, ...]:
        """A row as the parameters of `upsert`."""
        values = list(self.values(row))
        for place in self.json_places:
            values[place] = _to_json(values[place])
        return tuple(values)

    def delete(self, where: Where) -> Statement:
        """Remove the rows that match."""
        condition = _condition(where)
        return Statement(f"DELETE FROM {self.row.TABLE}{condition.sql}", condition.parameters)  # noqa: S608 - as above

    def select(self, where: Where, order_by: str, after: Value | None, limit: int | None) -> Statement:
        """The rows that match."""
        condition = _condition(where, order_by, after)
        sql = f"SELECT {', '.join(self.columns)} FROM {self.row.TABLE}{condition.sql}"  # noqa: S608 - as above
        if order_by:
            sql += f" ORDER BY {order_by}"
        return Statement(f"{sql} LIMIT {limit:d}" if limit is not None else sql, condition.parameters)

    def page(self, behind: Stored | None, limit: int) -> Statement:
        """The rows behind this one, in the order of keys."""
        key = ", ".join(self.row.KEY)
        values = () if behind is None else tuple(behind[self.columns.index(column)] for column in self.row.KEY)
        condition = f" WHERE ({key}) > ({', '.join('?' for _ in values)})" if values else ""
        sql = f"SELECT {', '.join(self.columns)} FROM {self.row.TABLE}{condition} ORDER BY {key} LIMIT {limit:d}"  # noqa: S608 - as above
        return Statement(sql, values)

    def count(self, where: Where, by: Sequence[str]) -> Statement:
        """How many rows match, for each combination of these columns."""
        condition = _condition(where)
        chosen = "".join(f"{column}, " for column in by)
        sql = f"SELECT {chosen}COUNT(*) FROM {self.row.TABLE}{condition.sql}"  # noqa: S608 - as above
        return Statement(f"{sql} GROUP BY {', '.join(by)}" if by else sql, condition.parameters)

    def to_row(self, values: Sequence[Any]) -> R:
        """A row from the values of its columns."""
        return self.row(**dict(zip(self.columns, self.to_fields(self.columns, values), strict=True)))

    def to_fields(self, columns: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        """The fields that the values of these columns stand for."""
        return tuple(self._to_field(column, value) for column, value in zip(columns, values, strict=True))

    def _to_field(self, column: str, value: Any) -> Any:  # noqa: ANN401 - whatever the column holds
        if column in self.json_columns:
            return json.loads(value)
        return bool(value) if column in self.boolean_columns and value is not None else value


_TABLES: dict[type[Row], Table[Any]] = {}


def table_of(row: type[R]) -> Table[R]:
    """How this row type is stored: one column for each field."""
    if row not in _TABLES:
        _TABLES[row] = _to_table(row)
    return _TABLES[row]


def _to_table(row: type[R]) -> Table[R]:
    hints = get_type_hints(row)
    types = {each.name: _plain(hints[each.name]) for each in fields(row)}
    json_columns = frozenset(name for name, kind in types.items() if kind not in _TYPES)
    return Table(
        row=row,
        columns=tuple(types),
        json_columns=json_columns,
        json_places=tuple(place for place, name in enumerate(types) if name in json_columns),
        values=attrgetter(*types),
        boolean_columns=frozenset(name for name, kind in types.items() if kind is bool),
        declarations=tuple(
            f"{name} {_TYPES.get(kind, 'TEXT')}{'' if _is_optional(hints[name]) else ' NOT NULL'}"
            for name, kind in types.items()
        ),
    )


def _is_optional(hint: Any) -> bool:  # noqa: ANN401 - an annotation
    return isinstance(hint, UnionType) and type(None) in get_args(hint)


def _plain(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    if _is_optional(hint):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    return get_origin(hint) or hint


def _condition(where: Where, order_by: str = "", after: Value | None = None) -> Statement:
    clauses: list[str] = []
    parameters: list[Any] = []
    for column, wanted in where.items():
        values = _values(wanted)
        clauses.append(_clause(column, values))
        parameters.extend([wanted] if values is None else values)
    if after is not None:
        clauses.append(f"{order_by} > ?")
        parameters.append(after)
    return Statement(f" WHERE {' AND '.join(clauses)}" if clauses else "", tuple(parameters))


def _clause(column: str, values: list[Value] | None) -> str:
    if values is None:
        return f"{column} = ?"
    return f"{column} IN ({', '.join('?' for _ in values)})" if values else "1 = 0"


def _values(wanted: Value | Collection[Value]) -> list[Value] | None:
    if isinstance(wanted, str | int | float):
        return None
    return list(wanted)
