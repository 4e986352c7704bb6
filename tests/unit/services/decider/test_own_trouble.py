"""An account whose work fails does not hold up the others; it is tried again later, and later each time."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from domain.identity import Target
from domain.store import Unit
from services.accounts.handlers import AccountRow
from services.decider.handlers import Decider
from services.decider.read_models import Look, RetryRow, RosterScanRow, RunningReconciliation
from services.runtime.context import DECISIONS, Assignment
from services.wiring import registry
from tests.unit.services.decider.test_many_reconciliations import ACCOUNT, NOW, RECONCILIATION, RETRY, CountingStore

BAD, ACCOUNTS = "fleet-1", [f"fleet-{number}" for number in range(4)]
Kind = type[Look] | type[RunningReconciliation] | type[RetryRow]
CHORES: dict[Kind, Callable[[Decider], int]] = {
    Look: Decider.look_again,
    RunningReconciliation: Decider.reconcile,
    RetryRow: Decider.retry,
}


class FailingStore(CountingStore):
    """Stores nothing of one account; `tries` counts how often it was to."""

    is_mended = False
    tries = 0

    def commit(self, unit: Unit) -> bool:
        accounts = {where.get("account") for _, where in unit.removed}
        if BAD in accounts and not self.is_mended:
            self.tries += 1
            raise ZeroDivisionError
        return super().commit(unit)


class Fleet:
    """Work of every kind is in hand for each account on each target."""

    def __init__(self, store: FailingStore) -> None:
        self.store = store
        self.now: datetime = NOW
        self.decider = Decider(store, lambda: self.now, Assignment())
        unit = Unit()
        for name in ACCOUNTS:
            unit.keep([replace(ACCOUNT, account=name)])
            for target in map(str, Target):
                unit.keep(
                    [RosterScanRow(account=name, target=target, policy_generation=2, drivers=0, at=NOW.isoformat())]
                )
                unit.keep(
                    [replace(RECONCILIATION, account=name, target=target), replace(RETRY, account=name, target=target)]
                )
                unit.keep([Look(account=name, target=target, driver="1")])
        store.commit(unit)
        assert store.count(AccountRow)[()] == len(ACCOUNTS)

    def work(self, kind: Kind) -> None:
        """Do the chore until nothing is left that may be done now."""
        for _ in range(100):
            if not CHORES[kind](self.decider):
                return
        raise AssertionError("comes to no end")

    def left(self, kind: Kind) -> set[str]:
        return {str(account) for (account,) in self.store.count(kind, by=["account"])}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with closing(FailingStore(tmp_path / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS)) as store:
        yield Fleet(store)


@pytest.mark.parametrize("kind", list(CHORES))
def test_work_that_fails_is_left_alone_and_that_of_other_accounts_is_done(fleet: Fleet, kind: Kind) -> None:
    fleet.work(kind)
    assert fleet.left(kind) == {BAD}
    tries = fleet.store.tries
    fleet.work(kind)
    assert fleet.store.tries == tries


@pytest.mark.parametrize("kind", list(CHORES))
def test_work_that_failed_is_tried_again_later_each_time(fleet: Fleet, kind: Kind) -> None:
    waits = []
    for _ in range(4):
        fleet.work(kind)
        before, waited = fleet.store.tries, 0
        while fleet.store.tries == before:
            fleet.now += timedelta(seconds=1)
            waited += 1
            fleet.work(kind)
        waits.append(waited)
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0] > 0
    fleet.store.is_mended = True
    fleet.now += timedelta(minutes=10)
    fleet.work(kind)
    assert fleet.left(kind) == set()


@pytest.mark.parametrize("kind", list(CHORES))
def test_a_clock_that_was_ahead_does_not_hold_up_work(fleet: Fleet, kind: Kind) -> None:
    fleet.now += timedelta(days=400)
    fleet.work(kind)
    fleet.now -= timedelta(days=400)
    fleet.store.is_mended = True
    fleet.work(kind)
    assert fleet.left(kind) == set()
