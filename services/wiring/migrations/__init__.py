"""Numbered scripts for what no rebuild can make again: positions, and tables that hold work in hand.

Each is run once in every store, in one transaction with the note that it was, before the store's tables are checked.
A script looks at what is there and leaves alone what it does not know: a new store has no tables yet.
"""

from collections.abc import Mapping, Sequence

from adapters.store.migrating import OldTables
from services.wiring.migrations import m0001_positions, m0002_deliveries
from services.wiring.migrations.script import Migration, PartitionOf, Script
from services.wiring.registry import SERVICES

SCRIPTS: Sequence[tuple[int, str, Script]] = (
    (1, "positions are those of logs", m0001_positions.migrate),
    (2, "a link's delivery, and a breaker, is one row", m0002_deliveries.migrate),
)
"""Every script, by its number, with what it does."""


def migrate(stores: Mapping[str, OldTables], partition_of: PartitionOf | None) -> None:
    """Run what was not run yet in these stores, which are by service. Raises `StoreFailed`."""
    logs = {spec.log: stores[name] for name, spec in SERVICES.items()}
    applied = {name: tables.applied() for name, tables in stores.items()}
    for number, name, script in SCRIPTS:
        for service, tables in stores.items():
            if number not in applied[service]:
                script(Migration(service=service, tables=tables, logs=logs, partition_of=partition_of))
                tables.apply(number, name)
