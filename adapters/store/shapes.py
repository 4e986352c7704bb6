"""Whether a table is as its row says, and what makes it so.

no table, or as the row says           make what is missing of it
it only lacks columns that may be None add them: of what is there already, nobody knows
of another version, without rows       make it anew
of another version, with rows          nobody can tell what belongs into its columns: a person decides
"""

from collections.abc import Callable, Mapping, Set
from typing import Any

from adapters.store.tables import Table

Shape = Set[str]
"""What a table declares, its columns with their types and its key; empty where there is no table."""


def shape(table: Table[Any]) -> Shape:
    """What the table declares when it is as its row says."""
    return {*table.declarations()}


def mending(table: Table[Any], found: Shape, has_rows: Callable[[], bool]) -> list[str] | None:
    """The statements that make the table as its row says, with its indexes; None where a person has to decide."""
    if not found or found == shape(table):
        return table.create()
    addable = _addable(table)
    if found < shape(table) and shape(table) - found <= addable.keys():
        lacking = (addable[each] for each in table.declarations() if each not in found)
        return [*(f"ALTER TABLE {table.row.TABLE} ADD COLUMN {each}" for each in lacking), *table.create()]
    return None if has_rows() else anew(table)


def anew(table: Table[Any]) -> list[str]:
    """The statements that drop the table, and make it as its row says."""
    return [f"DROP TABLE IF EXISTS {table.row.TABLE}", *table.create()]


def _addable(table: Table[Any]) -> Mapping[str, str]:
    """The columns that may be None, as they are compared, and as they are made."""
    made = table.declarations(table.dialect.text)
    columns = zip(table.columns, table.declarations(), made, strict=False)
    return {compared: each for name, compared, each in columns if name in table.optional}
