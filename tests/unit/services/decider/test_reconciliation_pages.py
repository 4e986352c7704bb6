"""After a scan all of an account's desired states are looked at, page by page."""

from collections import Counter
from pathlib import Path

import pytest

from domain.account import Mode
from domain.identity import AccountId, PortalDriverId, Target
from domain.ports import PortalLine
from domain.store import Store, Unit
from services.decider.handlers import Decider
from services.decider.read_models import RunningReconciliation
from services.runtime.context import Assignment
from tests.support.stated import whole
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person

MANY = 1_050
"""More than two pages."""


class Killed(BaseException):
    """Stands for a process that ends at once."""


class KilledAtCommit:
    """A store whose process is killed when it is about to commit."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, unit: Unit) -> bool:
        raise Killed(len(unit.events))


def scanned(folder: Path) -> SteppedServices:
    """The Portal has many drivers, Driveri has none of them, and its roster was just read."""
    services = SteppedServices(folder, both_targets())
    services.add(is_on=False)
    services.set_mode(Target.MOTIVE, Mode.OFF)
    drivers = [
        PortalLine(line=number, driver=PortalDriverId(f"p{number}"), profile=whole(person(number)))
        for number in range(MANY)
    ]
    services.intake.take_list(ACME, drivers, source="export")
    services.decide()
    services.turn_on()
    services.follow(Target.DRIVERI)
    services.scan(Target.DRIVERI)
    return services


def created(services: SteppedServices) -> list[str]:
    assert {type(event).__name__ for event in services.decided()} <= {"CreateDecided"}
    return [event.driver for event in services.decided()]


def test_a_reconciliation_goes_on_where_a_kill_left_it(tmp_path: Path) -> None:
    services = scanned(tmp_path)
    services.decider.step()
    first_page = created(services)
    services.close()
    again = SteppedServices(tmp_path, both_targets())
    decider = Decider(again.decider_store, again.clock, Assignment())
    with pytest.raises(Killed):
        Decider(KilledAtCommit(again.decider_store), again.clock, Assignment()).reconcile()  # type: ignore[arg-type]
    assert 0 < len(first_page) == len(created(again)) < MANY
    assert decider.reconcile() == len(first_page)
    again.decide()
    assert created(again) == [f"p{number}" for number in range(MANY)]
    assert again.decider_store.count(RunningReconciliation) == {(): 0}
    again.close()


def test_a_change_between_two_pages_is_decided_once(tmp_path: Path) -> None:
    services = scanned(tmp_path)
    services.decider.step()
    services.state("p1049", person(1049, driveri_driver_id="D5000"))
    services.decide()
    assert set(Counter(created(services)).values()) == {1}
    assert services.link("p1049").pending is not None
    assert services.link("p1049").version == 1
    services.close()


def test_a_second_scan_starts_the_reconciliation_again(tmp_path: Path) -> None:
    services = scanned(tmp_path)
    services.decider.step()
    services.set_mode(Target.DRIVERI, Mode.UPSERT)
    services.follow(Target.DRIVERI)
    services.scan(Target.DRIVERI)
    services.decide()
    versions = {event.driver: event.originator_version for event in services.decided()}
    policy_generation = {event.driver: getattr(event, "policy_generation", 0) for event in services.decided()}
    assert len(versions) == MANY
    assert len(set(policy_generation.values())) == 1
    services.close()


def test_a_small_fleet_does_not_wait_for_the_reconciliation_of_a_large_one(tmp_path: Path) -> None:
    small = AccountId("small")
    services = SteppedServices(tmp_path, both_targets(ACME, small))
    for account, drivers in ((ACME, MANY), (small, 1)):
        services.add(account, is_on=False)
        services.set_mode(Target.MOTIVE, Mode.OFF, account)
        stated = [
            PortalLine(line=number, driver=PortalDriverId(f"p{number}"), profile=whole(person(number)))
            for number in range(drivers)
        ]
        services.intake.take_list(account, stated, source="export")
    services.decide()
    for account in (ACME, small):
        services.turn_on(account)
    services.follow(Target.DRIVERI)
    services.scan(Target.DRIVERI)
    services.decider.step()
    decider = Decider(services.decider_store, services.clock, Assignment())
    while any(work.account == small for work in services.decider_store.select(RunningReconciliation)):
        decider.reconcile()
    assert [work.account for work in services.decider_store.select(RunningReconciliation)] == [ACME]
