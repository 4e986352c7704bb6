"""Any history is decided the same when its capsules are replayed, masked, in another place."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.store.sqlite import SqliteStore
from domain.identity import AccountId, PortalDriverId, Target, portal_driver_stream
from domain.profile import erased_profile, is_erased
from domain.store import DeadLetter, Event, Unit
from services.capsules.calling import ReplayedCall
from services.capsules.capsule import encoded, read
from services.capsules.deciding import ERASED
from services.capsules.gathering import gather
from services.capsules.masking import masked
from services.capsules.replay import replay_whole, to_row
from services.decider.order import BatchRow
from services.runtime.context import CHANGES, log_of
from services.wiring.registry import SERVICES
from tests.golden.made_capsules import FOLDER
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person
from tests.unit.services.decider.test_backtest import Story

OTHER = AccountId("other")
Fetch = Callable[[str, Sequence[Any]], list[Any]]
SEEDS = [7, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, 30))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_driver_of_a_random_history_is_decided_as_it_was(tmp_path: Path, seed: int) -> None:
    decided = called = 0
    with closing(SteppedServices(tmp_path, both_targets(ACME, OTHER))) as fleet:
        Story(fleet, seed).tell(110)
        stores = [fleet.decider_store, fleet.accounts_store, fleet.intake_store, *fleet.projector_stores.values()]
        logs = {log_of(store.log.name): store for store in stores}
        for number in range(1, 9):
            raw = gather(logs, ACME, PortalDriverId(f"p{number}"), made_by="test", now=fleet.now)
            capsule = read(b"".join(encoded(masked(raw, random.Random(seed)))))  # noqa: S311 - the same each time
            assert capsule.unordered == 0
            steps = asyncio.run(replay_whole(capsule))
            assert [each for each in steps if not each.is_equal] == []
            decided += sum(not isinstance(each, ReplayedCall) for each in steps)
            called += sum(isinstance(each, ReplayedCall) for each in steps)
    assert decided > 20
    assert called > 8


def test_other_drivers_of_a_large_account_are_not_in_it(fleet: SteppedServices) -> None:
    fleet.add()
    for number in range(1, 40):
        profile = {"first_name": "A", "last_name": "B", "driveri_driver_id": f"D{number}", "ref_id": f"R{number}"}
        fleet.state(f"p{number}", profile)
    fleet.run()
    stores = [fleet.decider_store, fleet.accounts_store, fleet.intake_store, *fleet.projector_stores.values()]
    logs = {log_of(store.log.name): store for store in stores}
    capsule = gather(logs, ACME, PortalDriverId("p7"), made_by="test", now=fleet.now)
    assert capsule.others() == 0
    assert sum(map(len, capsule.facts.values())) < 20
    handled = [at for each in capsule.batches for at in each.handled]
    assert len(handled) < 20 < sum(len(each.handled) for each in fleet.decider_store.select(BatchRow))
    answered = [each for target in Target for _, each in capsule.facts[f"targets.outcomes.v1.{target}"]]
    assert {getattr(each, "driver", "p7") for each in answered} == {"p7"}


def tombstone(event: Any) -> Event:  # noqa: ANN401 - an event of any fields
    """A fact as it is read once its profile is erased."""
    found: Event = replace(event, profile=erased_profile()) if hasattr(event, "profile") else event
    return found


def test_a_capsule_of_an_erased_driver_holds_tombstones_and_says_so() -> None:
    whole = read((FOLDER / "drift.json").read_bytes())
    erased = {log: [(at, tombstone(each)) for at, each in facts] for log, facts in whole.facts.items()}
    raw = replace(whole, facts=erased, is_erased=True)
    capsule = read(b"".join(encoded(masked(raw))))
    assert capsule.is_erased
    assert {is_erased(getattr(each, "profile", erased_profile())) for _, each in capsule.facts[CHANGES]} == {True}
    steps = [to_row(each) for each in asyncio.run(replay_whole(capsule))]
    assert [each["untried"] for each in steps] == [ERASED] * len(steps)
    assert len(steps) > 5
    assert all(each["is_equal"] for each in steps)


def rows_read_for_a_capsule(folder: Path, drivers: int) -> int:
    """How many rows are read for the capsule of one driver in a fleet of this size."""
    read_rows = 0
    with closing(SteppedServices(folder, both_targets())) as fleet:
        fleet.add()
        for number in range(1, drivers + 1):
            fleet.state(f"p{number}", person(number))
        fleet.run()
        fleet.state("p7", person(7, last_name="Roe"))
        fleet.run()
        opened = {
            name: SqliteStore(folder / f"{name}.sqlite", log_name=spec.log, rows=spec.rows)
            for name, spec in SERVICES.items()
        }
        for store in opened.values():
            fetch = store._fetch

            def counted(sql: str, parameters: Sequence[Any], fetch: Fetch = fetch) -> list[Any]:
                nonlocal read_rows
                found = fetch(sql, parameters)
                read_rows += len(found)
                return found

            store._fetch = store.log._fetch = counted  # type: ignore[method-assign]
        logs = {log_of(store.log.name): store for store in opened.values()}
        capsule = gather(logs, ACME, PortalDriverId("p7"), made_by="test", now=fleet.now)
        assert len(capsule.facts[CHANGES]) == 2
        for store in opened.values():
            store.close()
    return read_rows


def test_a_capsule_reads_no_more_rows_in_a_large_fleet(tmp_path: Path) -> None:
    few, many = (tmp_path / name for name in ("few", "many"))
    few.mkdir()
    many.mkdir()
    assert 20 < rows_read_for_a_capsule(many, 300) < rows_read_for_a_capsule(few, 30) * 1.25


def test_a_record_that_a_service_could_not_handle_is_in_it_without_its_bytes(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.state("p2", person(2))
    fleet.run()
    history = portal_driver_stream(ACME, PortalDriverId("p1"))
    letter = DeadLetter(
        stream="portal.driver-changes.v1/0",
        position=1,
        log_position=1,
        id=f"{history}/1",
        topic="PortalDriver.DriverCreated",
        headers=[],
        body="c2VjcmV0",
        reason="Jane Doe cannot be read",
        at=fleet.now.isoformat(),
    )
    unit = Unit()
    unit.keep([letter, replace(letter, position=2, id=f"{portal_driver_stream(ACME, PortalDriverId('p2'))}/1")])
    fleet.decider_store.commit(unit)
    stores = [fleet.decider_store, fleet.accounts_store, fleet.intake_store, *fleet.projector_stores.values()]
    logs = {log_of(store.log.name): store for store in stores}
    capsule = masked(gather(logs, ACME, PortalDriverId("p1"), made_by="test", now=fleet.now))
    (kept,) = capsule.dead_letters
    assert (kept.service, kept.type, kept.version) == (
        "driver-links.decisions.v1",
        "PortalDriver.DriverCreated",
        1,
    )
    assert kept.reason.endswith("cannot be read")
    assert "Jane" not in kept.reason
    assert b"c2VjcmV0" not in b"".join(encoded(capsule))
