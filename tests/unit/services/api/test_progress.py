"""What is left to do is counted in the stores, and costs the same however many accounts there are."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.identity import Target
from services.api.backlog import LeftToDo, left_to_do
from services.wiring.registry import SERVICES
from tests.support.stepped_services import SteppedServices, both_targets, person


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SteppedServices]:
    services = SteppedServices(tmp_path, both_targets())
    yield services
    services.close()


def told(fleet: SteppedServices, *, in_place: bool = True) -> LeftToDo:
    with closing(open_store(fleet.folder, "webhooks")) as unused:
        stores = (
            fleet.accounts_store,
            fleet.intake_store,
            fleet.decider_store,
            *fleet.projector_stores.values(),
            unused,
        )
        found = dict(zip(SERVICES, stores, strict=True))
        return left_to_do(SERVICES.values(), found, in_place=in_place, clock=fleet.clock)


def open_store(folder: Path, name: str) -> SqliteStore:
    """The store of a service that does not run."""
    return SqliteStore(folder / f"{name}.sqlite", log_name=SERVICES[name].log, rows=SERVICES[name].rows)


def test_what_is_not_consumed_yet_is_left(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    left = told(fleet)
    assert left.to_decide == fleet.accounts_store.log.end() + fleet.intake_store.log.end()
    assert left.to_deliver == 2 * fleet.accounts_store.log.end()
    assert left.left == left.to_decide + left.to_deliver
    assert told(fleet, in_place=False).to_decide == 0


def test_a_roster_that_has_to_be_read_is_left(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.decide()
    for target in Target:
        fleet.follow(target)
    assert (told(fleet).to_decide, told(fleet).to_deliver) == (0, 2)


def test_a_call_that_has_to_be_made_is_left(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.decide()
    fleet.follow(Target.DRIVERI)
    fleet.scan(Target.DRIVERI)
    fleet.state("p1", person(1))
    fleet.decide()
    before = told(fleet, in_place=False).to_deliver
    fleet.follow(Target.DRIVERI)
    assert told(fleet, in_place=False).to_deliver == before + 1


def test_nothing_is_left_when_everything_is_done(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.run()
    left = told(fleet)
    assert (left.left, left.in_sync) == (0, {"driveri": 1, "motive": 1})
    assert left.recorded == sum(
        store.log.end()
        for store in (
            fleet.accounts_store,
            fleet.intake_store,
            fleet.decider_store,
            *fleet.projector_stores.values(),
        )
    )
