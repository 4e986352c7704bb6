"""What a migration may drop: what a rebuild fills again, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.store import StoreFailed
from services.wiring import distributed
from services.wiring.embedded import open_embedded
from services.wiring.rebuild import parts
from services.wiring.settings import DistributedSettings, EmbeddedSettings

SETTINGS = DistributedSettings.model_validate({"database_url": "postgresql://me@127.0.0.1:1/driverlink"})


@pytest.fixture
def made_anew(tmp_path: Path) -> Iterator[set[str]]:
    """The tables that a rebuild makes."""
    embedded = open_embedded(EmbeddedSettings(data=tmp_path))
    yield {f"{part.service.replace('-', '_')}.{model.row.TABLE}" for part in parts(embedded) for model in part.models}
    embedded.close()


def test_only_what_a_rebuild_makes_may_be_dropped(made_anew: set[str]) -> None:
    tables = {f"{schema}.{row.TABLE}" for schema, rows in distributed.ROWS.items() for row in rows}
    refused = {table for table in tables if _is_refused(table)}
    assert tables - refused == made_anew


def _is_refused(table: str) -> bool:
    """Whether it is refused before the database is asked, which is nowhere."""
    with pytest.raises(StoreFailed) as failed:
        distributed.migrate_database(SETTINGS, [table])
    return "is no read model" in str(failed.value)
