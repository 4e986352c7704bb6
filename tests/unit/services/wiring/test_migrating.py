"""What a migration may drop: what a rebuild makes, and nothing else."""

import pytest

from domain.store import StoreFailed
from services.wiring import distributed
from services.wiring.data_folder import STORES
from services.wiring.registry import SERVICES
from services.wiring.settings import DistributedSettings

SETTINGS = DistributedSettings.model_validate({"database_url": "postgresql://me@127.0.0.1:1/driverlink"})


def test_only_what_a_rebuild_makes_may_be_dropped() -> None:
    tables = {f"{schema}.{row.TABLE}" for schema, rows in distributed.SCHEMAS.items() for row in rows}
    refused = {table for table in tables if _is_refused(table)}
    rebuilt = {f"{spec.schema}.{row.TABLE}" for spec in SERVICES.values() for row in spec.read_models}
    assert tables - refused == rebuilt


def _is_refused(table: str) -> bool:
    """Whether it is refused before the database is asked, which is nowhere."""
    with pytest.raises(StoreFailed) as failed:
        distributed.migrate_database(SETTINGS, [table])
    return "is not a read model" in str(failed.value)


def test_a_data_folder_has_a_file_for_each_service() -> None:
    """The list is stated twice, so that commands need not load the services."""
    assert tuple(SERVICES) == STORES
