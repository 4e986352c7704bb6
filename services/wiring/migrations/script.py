"""What a numbered script is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapters.store.migrating import OldTables

PartitionOf = Callable[[str], int]
"""The partition of an account, where there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One store to be migrated, and the stores of those who write the logs that it consumes.

    `partition_of` is None in the embedded deployment, where each log is read in place.
    """

    service: str
    tables: OldTables
    logs: Mapping[str, OldTables]
    partition_of: PartitionOf | None


Script = Callable[[Migration], None]
"""Brings the tables of one store to the next version; it does nothing where they are of that version already."""
