"""Two versions of a read model, compared row by row in the order of keys."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from operator import itemgetter
from typing import Any

from domain.store import Row, Stored, Value

_PRIVATE = frozenset({"profile", "body"})
"""Columns with personal data, which no message quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first row in which the kept and the rebuilt read model differ; `column` is empty when one has no such row."""

    service: str
    table: str
    key: str
    column: str
    kept: str
    rebuilt: str

    def __str__(self) -> str:
        """One line for a person."""
        what = f"column {self.column}" if self.column else "the whole row"
        return f"{self.service}, {self.table} {self.key}, {what}: kept {self.kept}, rebuilt {self.rebuilt}"


def first_difference(
    service: str, model: type[Row], kept: Iterable[Stored], rebuilt: Iterable[Stored]
) -> Difference | None:
    """The first difference of a read model, as it was kept and as it was rebuilt."""
    columns = [each.name for each in fields(model)]
    key = itemgetter(*map(columns.index, model.KEY))
    mine, other = _first_mismatch(kept, rebuilt, key)
    row = mine or other
    if row is None:
        return None
    column = _first_column(columns, mine, other) if mine and other else ""
    return Difference(
        service=service,
        table=model.TABLE,
        key=_named(key(row)),
        column=column,
        kept=_shown(columns, mine, column),
        rebuilt=_shown(columns, other, column),
    )


def _first_mismatch(
    kept: Iterable[Stored], rebuilt: Iterable[Stored], key: Callable[[Stored], Any]
) -> tuple[Stored | None, Stored | None]:
    """Two rows of one key that differ, or the one that has no counterpart; two times None if all rows are alike."""
    for mine, other in zip_longest(kept, rebuilt):
        if mine == other:
            continue
        if mine is None or other is None or key(mine) == key(other):
            return mine, other
        return (mine, None) if key(mine) < key(other) else (None, other)
    return None, None


def _first_column(columns: Sequence[str], mine: Stored, other: Stored) -> str:
    return next(name for name, kept, rebuilt in zip(columns, mine, other, strict=True) if kept != rebuilt)


def _named(key: Stored | Value) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _shown(columns: Sequence[str], row: Stored | None, column: str) -> str:
    if row is None:
        return "nothing"
    if not column:
        return "a row"
    return "(personal data)" if column in _PRIVATE else repr(row[columns.index(column)])
