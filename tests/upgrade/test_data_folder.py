"""The data folder of an earlier version opens, is upgraded at start, and ends where that version would have."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.store import Store, Stored
from services.wiring.rebuild import stale_models
from services.wiring.registry import SERVICES
from tests.contract.stands import broken_in
from tests.support import exactly_once
from tests.support.processes import Up, outliving_client, sandboxes
from tests.unit.services.wiring.rebuilt import checked, opened_stores
from tests.upgrade.fixtures import ACCOUNT, TARGETS, unpack
from tests.upgrade.resting import ACCOUNTS, at_rest, held, links_of, to_hold, unlike


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    unpack(tmp_path / "data")
    return tmp_path / "data"


def rows(stores: Mapping[str, Store]) -> dict[tuple[str, str], list[Stored]]:
    """Every row of every table."""
    return {(name, row.TABLE): list(stores[name].scan(row)) for name, spec in SERVICES.items() for row in spec.rows}


async def come_to_rest(folder: Path) -> tuple[dict[str, Any], list[Any]]:
    """What the installation comes to, and the effects that a target had twice."""
    async with sandboxes() as targets:
        await to_hold(targets, TARGETS)
        up = Up(folder, targets)
        await up.start()
        try:
            async with outliving_client(up.socket) as client:
                await at_rest(client)
                links = {account: await links_of(client, account) for account in ACCOUNTS}
        finally:
            status = await up.stop()
        assert status == 0
        journals = [await exactly_once.journal_of(each) for each in (targets.driveri, targets.motive)]
        twice = [effect for journal in journals for effect in exactly_once.repeated_effects(journal)]
        return {"links": links, **await held(targets)}, twice


def test_it_ends_where_the_earlier_version_would_have(folder: Path) -> None:
    come_to, twice = asyncio.run(come_to_rest(folder))
    assert unlike(ACCOUNT, come_to) == []
    assert twice == []
    assert checked(folder) == []


def test_a_second_start_makes_nothing_again(folder: Path) -> None:
    with opened_stores(folder) as stores:
        first = rows(stores)
        assert first["decider", "links"]
        assert stale_models(stores) == {}
    with opened_stores(folder) as stores:
        assert stale_models(stores) == {}
        assert rows(stores) == first
        for store in stores.values():
            assert broken_in(store, limit=1000) == (store.log.end(), None)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[Stored]]:
    """Every row after an upgrade without a kill."""
    other = tmp_path_factory.mktemp("other") / "data"
    unpack(other)
    with opened_stores(other) as stores:
        return rows(stores)


@pytest.mark.parametrize("moment", [1, 4, 9, 17, 24, 26])
def test_a_kill_while_it_upgrades_changes_nothing_in_the_end(
    folder: Path, expected: dict[tuple[str, str], list[Stored]], moment: int
) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.upgrade.killed_upgrade", str(moment), folder], check=False, capture_output=True
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    with opened_stores(folder) as stores:
        assert rows(stores) == expected
    assert checked(folder) == []
