"""Work of many accounts: the targets go on side by side, and a step costs the same however much is in hand."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.store.relational import Values
from adapters.store.sqlite import SqliteStore
from domain.account import Account, Mode, Tier
from domain.identity import AccountId, Target
from domain.store import Unit
from services.accounts.handlers import to_row
from services.decider.handlers import Decider
from services.decider.read_models import Look, RetryRow, RosterScanRow, RunningReconciliation
from services.runtime.context import DECISIONS, Assignment
from services.wiring import registry

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
ACCOUNT = to_row(
    Account(
        account=AccountId(""),
        version=2,
        tier=Tier.PRO,
        master_user="jane",
        is_on=True,
        modes=dict.fromkeys(Target, Mode.FULL),
        policy_generation={Target.DRIVERI: 2, Target.MOTIVE: 2},
    )
)
RECONCILIATION = RunningReconciliation(
    account="",
    target="",
    reconciliation=1,
    after=0,
    scan=1,
    policy_generation=2,
    request=0,
    plan="",
    drivers=0,
    found={},
    drifted={},
    at_odds={},
)
RETRY = RetryRow(account="", target="", trigger="retry", ref="1", driver="", reasons=[], after="")


class CountingStore(SqliteStore):
    """A store that counts its queries, and the rows that they read."""

    queries = rows = 0

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Values]:
        found = super()._fetch(sql, parameters)
        self.queries += 1
        self.rows += len(found)
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingStore]:
    with closing(CountingStore(tmp_path / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS)) as opened:
        yield opened


def begin(store: CountingStore, accounts: int) -> Decider:
    """A reconciliation is in hand on both targets for each of this many accounts without drivers."""
    unit = Unit()
    for number in range(accounts):
        name = f"fleet-{number:05}"
        unit.keep([replace(ACCOUNT, account=name)])
        for target in map(str, Target):
            unit.keep([replace(RECONCILIATION, account=name, target=target)])
            unit.keep([RosterScanRow(account=name, target=target, policy_generation=2, drivers=0, at=NOW.isoformat())])
    store.commit(unit)
    return Decider(store, lambda: NOW, Assignment())


def left(store: CountingStore) -> dict[str, int]:
    return {str(target): count for (target,), count in store.count(RunningReconciliation, by=["target"]).items()}


def test_targets_progress_side_by_side(store: CountingStore) -> None:
    decider = begin(store, 20)
    for _ in range(20):
        assert decider.reconcile()
    assert left(store) == {"driveri": 10, "motive": 10}


def test_every_reconciliation_comes_to_its_end(store: CountingStore) -> None:
    decider = begin(store, 25)
    while decider.reconcile():
        pass
    assert left(store) == {}


@pytest.mark.parametrize("accounts", [20, 1500])
def test_a_step_costs_the_same_however_many_reconciliations_are_in_hand(store: CountingStore, accounts: int) -> None:
    decider = begin(store, accounts)
    decider.reconcile()
    decider.planned_accounts()
    store.queries = store.rows = 0
    decider.reconcile()
    decider.planned_accounts()
    assert (store.queries <= 12, store.rows <= 40) == (True, True), (store.queries, store.rows)


def test_reconciliations_that_know_more_of_their_accounts_than_we_do_do_not_hold_up_others(
    store: CountingStore,
) -> None:
    decider = begin(store, 60)
    unit = Unit()
    for number in range(50):
        unit.keep(
            replace(RECONCILIATION, account=f"fleet-{number:05}", target=str(target), policy_generation=9)
            for target in Target
        )
    store.commit(unit)
    while decider.reconcile():
        pass
    assert left(store) == {"driveri": 50, "motive": 50}


def begin_again(store: CountingStore, accounts: int) -> Decider:
    """On both targets a link is to be looked at again, and a retry is in hand, for each of this many accounts."""
    decider = begin(store, accounts)
    unit = Unit()
    for number in range(accounts):
        name = f"fleet-{number:05}"
        for target in map(str, Target):
            unit.remove(RunningReconciliation, {"account": name, "target": target})
            unit.keep(Look(account=name, target=target, driver=str(driver)) for driver in range(5))
            unit.keep([replace(RETRY, account=name, target=target)])
    store.commit(unit)
    return decider


@pytest.mark.parametrize("accounts", [20, 2000])
def test_a_step_of_what_is_looked_at_again_costs_the_same_however_much_is_in_hand(
    store: CountingStore, accounts: int
) -> None:
    decider = begin_again(store, accounts)
    store.queries = store.rows = 0
    for _ in range(4):
        assert decider.retry()
    assert (store.queries <= 20, store.rows <= 60) == (True, True), (store.queries, store.rows)


@pytest.mark.parametrize("accounts", [200, 2000])
def test_looking_again_costs_so_much_for_each_account(store: CountingStore, accounts: int) -> None:
    decider = begin_again(store, accounts)
    store.queries = store.rows = 0
    while decider.look_again():
        pass
    assert store.count(Look)[()] == 0
    assert (store.queries <= accounts / 5, store.rows <= 14 * accounts) == (True, True), (store.queries, store.rows)


@pytest.mark.parametrize("accounts", [200, 2000])
def test_retries_cost_so_much_for_each_account(store: CountingStore, accounts: int) -> None:
    decider = begin_again(store, accounts)
    store.queries = store.rows = 0
    while decider.retry():
        pass
    assert store.count(RetryRow)[()] == 0
    assert (store.queries <= 10 * accounts, store.rows <= 30 * accounts) == (True, True), (store.queries, store.rows)


@pytest.mark.parametrize("work", [Look, RetryRow])
def test_what_is_in_hand_for_others_is_left_to_them(store: CountingStore, work: type[Look] | type[RetryRow]) -> None:
    begin_again(store, 60)
    ours = Decider(store, lambda: NOW, Assignment(lambda account: int(account == "fleet-00055"), held=[1]))
    while ours.look_again() + ours.retry():
        pass
    left = {account for (account,) in store.count(work, by=["account"])}
    assert left == {f"fleet-{number:05}" for number in range(60) if number != 55}


def test_of_many_links_of_one_account_each_is_looked_at_again(store: CountingStore) -> None:
    decider = begin(store, 3)
    unit = Unit()
    for number in range(3):
        unit.keep(
            Look(account=f"fleet-{number:05}", target="motive", driver=str(driver)) for driver in range(700 + number)
        )
    store.commit(unit)
    steps = 0
    while decider.look_again():
        steps += 1
    assert (store.count(Look)[()], steps <= 8) == (0, True)
