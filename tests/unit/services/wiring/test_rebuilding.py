"""Rebuilt read models equal the stored ones: a replay equals what happened."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import pytest

from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.store import DeadLetter, Row, Stored, Unit, Where
from services.accounts.handlers import AccountRow
from services.decider import read_models as decider
from services.decider.order import BatchRow
from services.intake.erasing import BegunErasure
from services.intake.read_models import (
    KnownDriver,
    PushRow,
    ReadingRow,
    RefusedPushRow,
    ReKeyingRow,
    ShownDriver,
    SnapshotDriver,
)
from services.projector import read_models as projector
from services.runtime.forgetting import Forgotten
from services.webhooks import read_models as webhooks
from services.wiring import registry
from services.wiring.rebuild import Step
from tests.support.stepped_services import ACME, SteppedServices, both_targets, logged, person
from tests.unit.services.wiring.rebuilt import checked, opened, opened_stores, put_in_place, run

R = TypeVar("R", bound=Row)

OF_PROJECTOR: tuple[type[Row], ...] = (
    projector.ScanProgress,
    projector.LookUp,
    projector.Hint,
    Forgotten,
    DeadLetter,
)
WORK: dict[str, tuple[type[Row], ...]] = {
    "intake": (SnapshotDriver, ShownDriver, ReadingRow, ReKeyingRow, PushRow, RefusedPushRow, BegunErasure, DeadLetter),
    "decider": (decider.Look, decider.RunningReconciliation, decider.RetryRow, BatchRow, Forgotten, DeadLetter),
    "projector-driveri": OF_PROJECTOR,
    "projector-motive": OF_PROJECTOR,
    "webhooks": (*webhooks.WORK, DeadLetter),
}


def tables(folder: Path) -> dict[tuple[str, str], list[Stored]]:
    """Every row of every service."""
    with opened(folder) as embedded:
        stores = {service.name: service.store for service in embedded.services}
        models = {(name, row) for name, spec in registry.SERVICES.items() for row in spec.tables}
        models |= {(service, row) for service, rows in WORK.items() for row in rows}
        return {(service, row.TABLE): list(stores[service].scan(row)) for service, row in models}


def tampered(folder: Path, service: str, *, rows: tuple[Row, ...] = (), removed: type[Row] | None = None) -> None:
    """Store rows beside the log, which is wrong."""
    with opened(folder) as embedded:
        unit = Unit()
        unit.keep(rows)
        if removed:
            unit.remove(removed, {})
        next(each.store for each in embedded.services if each.name == service).commit(unit)


def first(folder: Path, service: str, row: type[R], where: Where | None = None) -> R:
    with opened(folder) as embedded:
        store = next(each.store for each in embedded.services if each.name == service)
        return min(store.select(row, where), key=attrgetter(*row.KEY))


def test_a_check_of_an_untouched_folder_finds_nothing(folder: Path) -> None:
    before = tables(folder)
    assert checked(folder) == []
    assert tables(folder) == before


def test_read_models_put_in_place_are_as_they_were(folder: Path) -> None:
    before = tables(folder)
    put_in_place(folder)
    assert tables(folder) == before


def test_every_table_is_a_read_model_or_work() -> None:
    for name, spec in registry.SERVICES.items():
        assert {*spec.tables, *WORK.get(name, (DeadLetter,))} == {*spec.rows, DeadLetter}


def test_lost_read_models_come_back(folder: Path) -> None:
    before = tables(folder)
    assert before["decider", "outages"]
    assert before["decider", "reconciliations"]
    with opened(folder) as embedded:
        for service in embedded.services:
            lost = Unit()
            for row in registry.SERVICES[service.name].tables:
                lost.remove(row, {})
                lost.keep(_without_what_logs_say(each) for each in service.store.select(row) if row.WORK)
            service.store.commit(lost)
    put_in_place(folder)
    assert tables(folder) == before


def _without_what_logs_say(row: Row) -> Row:
    """Only the work in hand is left of a row, because no log has it."""
    return type(row)(**{column: getattr(row, column) for column in (*row.KEY, *row.WORK)})


def test_work_in_hand_is_left_alone(folder: Path) -> None:
    before = tables(folder)
    assert [started for *_, started, _body in before["projector-motive", "deliveries"] if started]
    put_in_place(folder)
    after = tables(folder)
    assert after["projector-motive", "deliveries"] == before["projector-motive", "deliveries"]
    for service, rows in WORK.items():
        for row in rows:
            assert after[service, row.TABLE] == before[service, row.TABLE]


def test_nothing_happens_because_of_a_rebuild(folder: Path) -> None:
    put_in_place(folder)
    twins = both_targets(ACME)
    services = SteppedServices(folder, twins)
    services.decide()
    before = len(logged(services.decider_store))
    for _ in range(3):
        services.decide()
    assert len(logged(services.decider_store)) == before
    services.close()


@pytest.mark.parametrize(
    ("service", "row", "driver", "change", "expected"),
    [
        ("accounts", AccountRow, "", {"is_on": False}, "accounts acme, column is_on: kept 0, rebuilt 1"),
        ("intake", KnownDriver, "p1", {"missed": True}, "known_drivers acme/p1, column missed: kept 1, rebuilt 0"),
        (
            "decider",
            decider.DesiredRow,
            "p1",
            {"sequence": 99},
            "desired_drivers acme/p1, column sequence: kept 99, rebuilt 2",
        ),
        (
            "decider",
            decider.ClaimRow,
            "p4",
            {"driver": "p7"},
            "claims acme/driveri/key:d4, column driver: kept 'p7', rebuilt 'p4'",
        ),
        (
            "projector-motive",
            projector.DeliveryRow,
            "p4",
            {"answers": 7},
            "deliveries acme/p4, column answers: kept 7, rebuilt 1",
        ),
    ],
)
def test_a_row_that_the_log_does_not_explain_is_named(
    folder: Path, service: str, row: type[Row], driver: str, change: dict[str, Any], expected: str
) -> None:
    where = {"driver": driver} if driver else None
    tampered(folder, service, rows=(replace(first(folder, service, row, where), **change),))
    assert [str(each) for each in checked(folder)] == [f"{service}, {expected}"]
    put_in_place(folder)
    assert checked(folder) == []


def test_personal_data_is_never_named(folder: Path) -> None:
    seen = replace(
        first(folder, "decider", decider.ObservedRow, {"identifier": "key:d4"}), profile={"last_name": "Secret"}
    )
    desired = replace(
        first(folder, "projector-motive", projector.DeliveryRow, {"driver": "p4"}), body={"last_name": "Secret"}
    )
    tampered(folder, "decider", rows=(seen,))
    tampered(folder, "projector-motive", rows=(desired,))
    assert [str(each) for each in checked(folder)] == [
        "decider, roster acme/driveri/key:d4, column profile: kept (personal data), rebuilt (personal data)",
        "projector-motive, deliveries acme/p4, column body: kept (personal data), rebuilt (personal data)",
    ]


def test_a_row_too_many_and_a_row_too_few_are_named(folder: Path) -> None:
    surplus = replace(first(folder, "decider", decider.DeleteRow), driver="p0")
    tampered(folder, "decider", rows=(surplus,))
    tampered(folder, "projector-driveri", removed=projector.ScanRow)
    assert [str(each) for each in checked(folder)] == [
        "decider, deletes acme/driveri/p0, the whole row: kept a row, rebuilt nothing",
        "projector-driveri, scans acme, the whole row: kept nothing, rebuilt a row",
    ]


def test_a_service_that_lags_is_rebuilt_as_far_as_it_has_read(folder: Path) -> None:
    services = SteppedServices(folder, both_targets(ACME))
    services.state("p1", person(1, last_name="Later"))
    services.delete("p9")
    services.state("p11", person(11))
    services.close()
    assert checked(folder) == []
    before = tables(folder)
    put_in_place(folder)
    assert tables(folder) == before


def test_dead_letters_have_no_part_in_read_models(folder: Path) -> None:
    services = SteppedServices(folder, both_targets(ACME))
    lost = Unit()
    lost.remove(decider.DesiredRow, {"driver": "p10"})
    services.decider_store.commit(lost)
    services.decide()
    assert services.decider_store.count(DeadLetter) == {(): 1}
    services.state("p10", person(10, last_name="Back"))
    services.decide()
    services.close()
    assert checked(folder) == []


def test_the_tables_beside_are_gone_afterwards_and_so_are_leftovers(folder: Path) -> None:
    with opened_stores(folder) as stores:
        store = stores["decider"]
        store.begin_beside([decider.LinkRow])
        row = min(store.select(decider.LinkRow), key=attrgetter(*decider.LinkRow.KEY))
        store.put_beside(decider.LinkRow, {(row.account, row.target, row.driver): row}, is_first=True)
    assert checked(folder) == []
    put_in_place(folder)
    for path in folder.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%beside%'").fetchall() == []


def test_the_steps_of_every_log_lead_to_its_end(folder: Path) -> None:
    steps: list[Step] = []
    run(folder, is_check=True, steps=steps)
    with opened(folder) as embedded:
        ends = {service.name: service.store.log.end() for service in embedded.services}
    by_service = {name: [step for step in steps if step.service == name] for name in ends}
    for name, end in ends.items():
        assert [step.done for step in by_service[name]] == sorted(step.done for step in by_service[name])
        assert {step.total for step in by_service[name]} == {end}
        assert by_service[name][-1].done == end


def test_a_mark_that_two_have_claimed_is_whose_it_was_last(tmp_path: Path) -> None:
    services = SteppedServices(tmp_path, both_targets())
    services.add()
    services.run()
    services.state("p1", person(1))
    services.decide()
    services.follow(Target.MOTIVE)
    late = services.made(Target.MOTIVE, services.start(Target.MOTIVE))
    services.state("p1", person(1, email="other@fleet.test"))
    services.decide()
    services.state("p2", person(2, email="p1@fleet.test"))
    services.decide()
    (email,) = (
        identifier for identifier in services.link("p1", Target.MOTIVE).claims if identifier.startswith("email:")
    )
    assert [row.driver for row in services.decider_store.select(decider.ClaimRow, {"identifier": email})] == ["p1"]
    services.answer(Target.MOTIVE, late)
    services.run()
    assert [row.driver for row in services.decider_store.select(decider.ClaimRow, {"identifier": email})] == ["p2"]
    services.close()
    assert checked(tmp_path) == []


def test_an_id_that_changed_in_letter_case_alone_is_still_there(tmp_path: Path) -> None:
    services = SteppedServices(tmp_path, both_targets())
    services.add()
    services.state("p1", person(1))
    services.run()
    services.state("p1", person(1, driveri_driver_id="d1"))
    services.run()
    assert [row.key for row in services.decider_store.select(decider.ObservedRow, {"target": "driveri"})] == ["d1"]
    services.close()
    assert checked(tmp_path) == []


def test_what_scans_and_answers_tell_of_the_same_drivers_is_settled_by_order(tmp_path: Path) -> None:
    services = SteppedServices(tmp_path, both_targets())
    for number in range(8):
        seen = ObservedDriver(key=Key(f"D{number}"), active=True, profile={"first_name": "Old", "last_name": "Name"})
        services.twins[ACME, Target.DRIVERI].drivers.put(seen)
    services.add()
    for number in range(8):
        services.state(f"p{number}", person(number))
    services.run()
    assert {row.version for row in services.projector_stores[Target.DRIVERI].select(projector.RosterRow)} == {1}
    services.close()
    assert checked(tmp_path) == []
