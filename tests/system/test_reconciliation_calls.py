"""A reconciliation of a fleet in sync costs one request for each page.

And one stored event at each of its two services.
"""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.identity import Target
from services.runtime.context import DECISIONS, outcomes_of
from services.wiring import registry
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.reconciling import Deciding, Scanning
from tests.benchmarks.rosters import ACCOUNT, showing
from tests.benchmarks.scan import pages

DRIVERS = 490
"""The last page is not full: behind a full one there may be another, whatever the target says."""

PAGES = {Target.DRIVERI: 3, Target.MOTIVE: 5}
"""Driveri shows 200 drivers on a page, of which all but the first begin with 5 of the one before; Motive shows 100."""


@pytest.mark.parametrize("target", Target)
def test_a_scan_makes_as_many_requests_as_there_are_pages_and_stores_one_event(tmp_path: Path, target: Target) -> None:
    store = SqliteStore(tmp_path / "projector.sqlite", log_name=outcomes_of(target), rows=registry.PROJECTOR_ROWS)
    fleet = Fleet(account=ACCOUNT, drivers=DRIVERS)
    with closing(store), showing(target, DRIVERS) as url:
        reconciled = asyncio.run(Scanning(store, target, url, fleet).reconciliation())
    assert (reconciled.requests, reconciled.events) == (PAGES[target], 1)
    assert pages(target, DRIVERS) == PAGES[target]


@pytest.mark.parametrize("target", Target)
def test_the_decider_stores_one_event_of_a_fleet_that_is_in_step(tmp_path: Path, target: Target) -> None:
    store = SqliteStore(tmp_path / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS)
    with closing(store):
        assert Deciding(store, target, Fleet(account=ACCOUNT, drivers=DRIVERS)).reconciliation().events == 1
