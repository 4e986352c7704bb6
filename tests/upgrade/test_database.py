"""The database of an earlier version upgrades when its first process starts, and ends as a data folder does."""

from pathlib import Path
from uuid import uuid4

import pytest

from domain.store import Stored
from services.sandbox.demo import RunningSandboxes
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.registry import SERVICES
from tests.support.distributed import Deployment
from tests.upgrade.fixtures import load

_NOWHERE = RunningSandboxes(driveri="http://127.0.0.1:1", motive="http://127.0.0.1:1")


@pytest.fixture
def earlier(database: str) -> str:
    """The database of the earlier version."""
    load(database)
    return database


def deployment(database: str, folder: Path, targets: RunningSandboxes, kafka: str = "") -> Deployment:
    """Its topics are lost, so it has another epoch."""
    prefix = f"upgrade-{uuid4().hex[:8]}."
    return Deployment(kafka=kafka, database=database, targets=targets, folder=folder, prefix=prefix, epoch="2")


def rows(shape: Distributed) -> dict[tuple[str, str], list[Stored]]:
    """Every row of every table."""
    installation = shape.installation()
    try:
        stores = {service.name: service.store for service in installation.services}
        return {(name, row.TABLE): list(stores[name].scan(row)) for name, spec in SERVICES.items() for row in spec.rows}
    finally:
        installation.close()


def test_a_migration_names_what_the_first_process_makes_again(earlier: str, tmp_path: Path) -> None:
    settings = deployment(earlier, tmp_path, _NOWHERE).settings
    stale = migrate_database(settings)
    assert {"accounts.accounts", "decider.links", "projector_motive.roster"} <= {*stale}
    shape = Distributed(settings)
    shape.upgrade()
    assert migrate_database(settings) == []
    first = rows(shape)
    assert first["decider", "links"]
    shape.upgrade()
    assert rows(shape) == first
