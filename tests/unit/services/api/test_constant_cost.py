"""However many accounts there are, asking how they stand takes the same number of queries, and bounded memory."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.store.relational import Values
from adapters.store.sqlite import SqliteStore
from domain.account import Account, Mode, Tier
from domain.driver_link import unlinked
from domain.identity import AccountId, PortalDriverId, Target
from domain.store import Unit
from services.accounts.handlers import to_row
from services.api import status as module
from services.api.status import status
from services.decider.read_models import DesiredRow, ObservedRow, to_link_row
from services.runtime.context import DECISIONS
from services.wiring import registry


class CountingStore(SqliteStore):
    """A store that counts its queries, and the rows of the longest answer."""

    queries = 0
    longest = 0

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Values]:
        self.queries += 1
        found = super()._fetch(sql, parameters)
        self.longest = max(self.longest, len(found))
        return found


ACCOUNT = to_row(
    Account(
        account=AccountId(""),
        version=1,
        tier=Tier.PRO,
        master_user="jane",
        is_on=True,
        modes=dict.fromkeys(Target, Mode.FULL),
    )
)
DESIRED = DesiredRow(account="", driver="", sequence=1, is_wanted=True, position=1, profile={})
_UNLINKED = unlinked(AccountId(""), Target.DRIVERI, PortalDriverId(""))
LINK = replace(to_link_row(_UNLINKED), version=1, state="in_sync", is_live=True)
SHOWN = ObservedRow(account="", target="driveri", identifier="", key="", active=True, profile={}, seen_at="")


def add(store: SqliteStore, *accounts: str) -> None:
    """Accounts of three drivers each, of which two are linked, and an unmanaged driver on Driveri."""
    unit = Unit()
    for name in accounts:
        unit.keep([replace(ACCOUNT, account=name)])
        unit.keep(replace(DESIRED, account=name, driver=driver, position=int(driver)) for driver in ("1", "2", "3"))
        unit.keep(replace(LINK, account=name, driver=driver, key=f"D{driver}") for driver in ("1", "2"))
        unit.keep(replace(SHOWN, account=name, identifier=f"key:{key}", key=key) for key in ("d1", "unmanaged"))
    store.commit(unit)


@pytest.mark.parametrize("accounts", [2, 40, 1500])
def test_the_number_of_queries_does_not_grow_with_the_accounts(tmp_path: Path, accounts: int) -> None:
    with closing(CountingStore(tmp_path / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS)) as store:
        add(store, "acme")
        store.queries = 0
        alone = status(store)
        needed = store.queries
        add(store, *(f"fleet-{number}" for number in range(1, accounts)))
        store.queries = 0
        assert status(store)[0] == alone[0]
        assert store.queries <= needed <= 15


def test_no_more_drivers_are_held_at_a_time_than_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [f"fleet-{number}" for number in range(100)]
    with closing(CountingStore(tmp_path / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS)) as store:
        add(store, *accounts)
        at_once = status(store)
        assert store.longest == 3 * len(accounts)
        store.longest = 0
        monkeypatch.setattr(module, "_TOGETHER", 30)
        assert status(store) == at_once
        assert store.longest == len(accounts)


@pytest.mark.parametrize("together", [1, 2, 3, 4])
def test_the_figures_are_the_same_however_many_drivers_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    with closing(CountingStore(tmp_path / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS)) as store:
        add(store, "acme", "bolt", "cargo")
        at_once = status(store)
        monkeypatch.setattr(module, "_TOGETHER", together)
        assert status(store) == at_once
        assert [(each.undecided, each.unmanaged) for each in at_once[0].targets] == [(1, 1), (3, 0)]


def test_the_figures_are_each_accounts_own(tmp_path: Path) -> None:
    with closing(CountingStore(tmp_path / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS)) as store:
        add(store, "acme", "bolt")
        unit = Unit()
        unit.keep([replace(LINK, account="bolt", driver="3", state="parked", reason="unkeyed")])
        store.commit(unit)
        acme, bolt = ({each.target: each for each in found.targets} for found in status(store))
        assert (acme[Target.DRIVERI].undecided, bolt[Target.DRIVERI].undecided) == (1, 0)
        assert (acme[Target.MOTIVE].undecided, bolt[Target.MOTIVE].undecided) == (3, 3)
        assert (acme[Target.DRIVERI].parked, bolt[Target.DRIVERI].parked) == ({}, {"unkeyed": 1})
        assert [found.account for found in status(store, ["bolt"])] == ["bolt"]
