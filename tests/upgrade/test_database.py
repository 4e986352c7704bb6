"""The database of an earlier version upgrades when its first process starts, and ends as a data folder does."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adapters.store.locks import InstanceLock
from domain.store import Stored, StoreFailed
from services.sandbox.demo import RunningSandboxes
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.registry import SERVICES
from tests.contract.lasting import at_once
from tests.support import exactly_once
from tests.support.backlog import Backlog
from tests.support.distributed import Deployment, every_service, running, until_ready
from tests.support.patience import commanded
from tests.support.processes import sandboxes
from tests.support.servers import Kafka, Postgres
from tests.upgrade.fixtures import ACCOUNT, TARGETS, load
from tests.upgrade.resting import ACCOUNTS, at_rest, held, links_of, to_hold, unlike

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


async def come_to_rest(database: str, kafka: str, folder: Path) -> tuple[dict[str, Any], list[Any]]:
    """What the installation comes to, and the effects that a target had twice."""
    async with sandboxes() as targets:
        await to_hold(targets, TARGETS)
        shape = deployment(database, folder, targets, kafka)
        await asyncio.to_thread(shape.prepare)
        services = every_service(shape, each=1)
        async with running(services):
            await until_ready(services)
            async with commanded(shape.settings) as (client, installation):
                await Backlog(installation, shape.settings).until_quiet()
                await at_rest(client)
                links = {account: await links_of(client, account) for account in ACCOUNTS}
        journals = [await exactly_once.journal_of(each) for each in (targets.driveri, targets.motive)]
        twice = [effect for journal in journals for effect in exactly_once.repeated_effects(journal)]
        return {"links": links, **await held(targets)}, twice


def rows(shape: Distributed) -> dict[tuple[str, str], list[Stored]]:
    """Every row of every table."""
    installation = shape.installation()
    try:
        stores = {service.name: service.store for service in installation.services}
        return {(name, row.TABLE): list(stores[name].scan(row)) for name, spec in SERVICES.items() for row in spec.rows}
    finally:
        installation.close()


def test_it_ends_where_the_earlier_version_would_have(earlier: str, kafka: Kafka, tmp_path: Path) -> None:
    come_to, twice = asyncio.run(come_to_rest(earlier, kafka.servers, tmp_path))
    assert unlike(ACCOUNT, come_to) == []
    assert twice == []


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


def test_of_two_that_start_one_upgrades_and_the_other_waits(earlier: str, tmp_path: Path) -> None:
    settings = deployment(earlier, tmp_path, _NOWHERE).settings
    assert migrate_database(settings)
    at_once(*[Distributed(settings).upgrade] * 2)
    assert migrate_database(settings) == []


def test_processes_of_the_earlier_version_have_to_end_first(earlier: str, tmp_path: Path) -> None:
    settings = deployment(earlier, tmp_path, _NOWHERE).settings
    stale = migrate_database(settings)
    with closing(InstanceLock(earlier, "", ["decider"])) as lock:
        lock.acquire_shared()
        with pytest.raises(StoreFailed, match="processes or commands work on decider: end them first"):
            Distributed(settings).upgrade()
    assert migrate_database(settings) == stale


@pytest.fixture(scope="module")
def expected(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], list[Stored]]]:
    """Every row after an upgrade without a kill."""
    other = postgres.database()
    load(other)
    settings = deployment(other, tmp_path_factory.mktemp("other"), _NOWHERE).settings
    migrate_database(settings)
    Distributed(settings).upgrade()
    yield rows(Distributed(settings))
    postgres.drop(other)


@pytest.mark.parametrize("moment", [2, 13, 25])
def test_a_kill_while_it_upgrades_changes_nothing_in_the_end(
    earlier: str, expected: dict[tuple[str, str], list[Stored]], tmp_path: Path, moment: int
) -> None:
    shape = deployment(earlier, tmp_path, _NOWHERE)
    migrate_database(shape.settings)
    run = subprocess.run(
        [sys.executable, "-m", "tests.upgrade.killed_upgrade", str(moment)],
        env=shape.environment,
        check=False,
        capture_output=True,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    Distributed(shape.settings).upgrade()
    assert rows(Distributed(shape.settings)) == expected
