"""Changes are decided one by one and in order, wherever a batch ends."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import Mode
from domain.driver_link import LinkEvent
from domain.identity import AccountId, PortalDriverId, Target
from domain.ports import PortalLine
from domain.store import DeadLetter, Position, Store, Stream, Unit
from services.decider.handlers import Decider
from services.decider.read_models import ClaimRow, DeleteRow, DesiredRow, LinkRow, project_desired_drivers
from services.intake.handlers import UnknownDriver
from services.runtime.context import Assignment
from services.runtime.read_models import Rows, to_unit
from tests.support.examples import examples
from tests.support.stated import whole
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person

FLEET = range(1, 7)
OTHER = AccountId("other")

actions: st.SearchStrategy[tuple[str, int, dict[str, str]]] = st.one_of(
    st.tuples(st.just("delete"), st.sampled_from(FLEET), st.just({})),
    st.tuples(
        st.just("state"),
        st.sampled_from(FLEET),
        st.fixed_dictionaries(
            {
                "driveri_driver_id": st.sampled_from(["D1", "D2", "d2", "D3", "D9", ""]),
                "email": st.sampled_from(["p1@fleet.test", "p2@fleet.test", "new@fleet.test"]),
            }
        ),
    ),
)


@pytest.fixture(scope="module")
def in_sync(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a fleet that is in sync."""
    folder = tmp_path_factory.mktemp("in-step")
    services = SteppedServices(folder, both_targets())
    services.add()
    for number in FLEET:
        services.state(f"p{number}", person(number))
    services.run()
    services.close()
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new path after the other."""
    root = tmp_path_factory.mktemp("copies")
    return (root / str(number) for number in count())


def state_all(services: SteppedServices, stated: Sequence[tuple[str, int, dict[str, str]]]) -> None:
    for action, number, changed in stated:
        if action == "state":
            services.state(f"p{number}", person(number, **changed))
        else:
            with suppress(UnknownDriver):
                services.delete(f"p{number}")


def take_over(decider: Decider, store: Store, stream: Stream, sizes: Sequence[int]) -> None:
    """Follow a stream to its end in batches of these sizes, then in one; then look again wherever that is due."""
    for size in (*sizes, 1_000_000):
        records = stream.read(store.position(stream.name), size)
        if records:
            unit = decider.on_changes([(each.position, each.event) for each in records if each.event])
            unit.positions = [Position(name=stream.name, at=records[-1].position)]
            assert store.commit(unit)
    while decider.look_again():
        pass


def decided_in(services: SteppedServices, sizes: Sequence[int]) -> dict[Target, list[LinkEvent]]:
    decider = Decider(services.decider_store, services.clock, Assignment())
    take_over(decider, services.decider_store, services.intake_store.log, sizes)
    return {target: services.decided(target) for target in Target}


def tables(store: Store) -> list[object]:
    return [sorted(map(repr, store.select(row))) for row in (DesiredRow, LinkRow, ClaimRow, DeleteRow)]


@examples(10, many=100)
@given(stated=st.lists(actions, max_size=14), sizes=st.lists(st.integers(1, 4), max_size=8))
def test_any_split_of_the_same_changes_gives_the_same_decisions(
    in_sync: Path,
    folders: Iterator[Path],
    stated: Sequence[tuple[str, int, dict[str, str]]],
    sizes: Sequence[int],
) -> None:
    whole, split = next(folders), next(folders)
    shutil.copytree(in_sync, whole)
    services = SteppedServices(whole, {})
    state_all(services, stated)
    services.close()
    shutil.copytree(whole, split)
    first, second = SteppedServices(whole, {}), SteppedServices(split, {})
    assert decided_in(first, ()) == decided_in(second, sizes)
    assert tables(first.decider_store) == tables(second.decider_store)
    first.close()
    second.close()


def test_every_change_of_one_driver_is_decided_in_one_batch(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.run()
    fleet.state("p1", person(1))
    fleet.state("p1", person(1, last_name="Roe"))
    fleet.delete("p1")
    fleet.decide()
    assert fleet.facts("p1") == ["CreateDecided", "CreateDecided", "DeleteDecided"]
    assert [getattr(event, "sequence", 0) for event in fleet.decided(Target.DRIVERI)] == [1, 2, 3]


def test_a_batch_of_two_accounts_is_decided_for_each(tmp_path: Path) -> None:
    services = SteppedServices(tmp_path, both_targets(ACME, OTHER))
    services.add(ACME)
    services.add(OTHER)
    services.run()
    services.state("p1", person(1), ACME)
    services.state("p1", person(1), OTHER)
    services.state("p2", person(2), ACME)
    services.run()
    for target in Target:
        assert services.link("p1", target, ACME).is_live
        assert services.link("p1", target, OTHER).is_live
    assert services.twins[ACME, Target.DRIVERI].effects == ["create D1", "create D2"]
    assert services.twins[OTHER, Target.DRIVERI].effects == ["create D1"]
    services.close()


def test_the_same_batch_handled_twice_adds_nothing(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.run()
    fleet.state("p1", person(1))
    store, stream = fleet.decider_store, fleet.intake_store.log
    decider = Decider(store, fleet.clock, Assignment())
    events = [(record.position, record.event) for record in stream.read(0, 10) if record.event]
    units = [decider.on_changes(events), decider.on_changes(events)]
    for unit in units:
        unit.positions = [Position(name=stream.name, at=events[-1][0])]
    assert [store.commit(unit) for unit in units] == [True, False]
    assert len(fleet.decided()) == len(Target)


def test_a_change_that_comes_again_or_late_adds_nothing(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.run()
    for last_name in ("Doe", "Roe", "Poe"):
        fleet.state("p1", person(1, last_name=last_name))
    store, decider = fleet.decider_store, Decider(fleet.decider_store, fleet.clock, Assignment())
    stated = [(record.position, record.event) for record in fleet.intake_store.log.read(0, 10) if record.event]
    store.commit(decider.on_changes([stated[0], stated[0], stated[2], stated[1]]))
    before = tables(store), fleet.decided()
    unit = decider.on_changes(stated)
    assert (unit.events, unit.rows, unit.removed) == ([], {}, [])
    assert (tables(store), fleet.decided()) == before
    (desired,) = store.select(DesiredRow)
    assert (desired.sequence, desired.profile["last_name"], desired.position) == (3, "Poe", stated[2][0])
    assert [getattr(event, "sequence", 0) for event in fleet.decided(Target.DRIVERI)] == [1, 3]
    rebuilt = Rows(lambda *_: ())
    project_desired_drivers([stated[0], stated[0], stated[2], stated[1]], rebuilt)
    assert [*to_unit(rebuilt.changes()).rows.values()] == [desired], "a rebuild makes the same of them"


def test_a_report_that_cannot_be_handled_stops_no_other(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.decide()
    fleet.project(Target.DRIVERI)
    fleet.decide()
    fleet.project(Target.DRIVERI)
    forget(fleet.decider_store, "p1")
    fleet.state("p2", person(2))
    fleet.run()
    letters = fleet.decider_store.select(DeadLetter)
    assert [(each.topic, "First" in each.reason) for each in letters] == [("Report.CallAnswered", False)]
    assert fleet.states()["p2"] == "in_sync"


def forget(store: Store, driver: str) -> None:
    """Lose a desired state, so that an answer about it cannot be handled."""
    unit = Unit()
    unit.remove(DesiredRow, {"driver": driver})
    store.commit(unit)


def test_the_limit_of_the_guard_counts_who_comes_back_in_the_same_batch(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    stated = [
        PortalLine(line=number, driver=PortalDriverId(f"p{number}"), profile=whole(person(number)))
        for number in range(79)
    ]
    fleet.intake.take_list(ACME, stated, source="export")
    fleet.run()
    fleet.delete("p1")
    fleet.decide()
    fleet.state("p1", person(1))
    fleet.delete("p2", "p3", "p4", "p5")
    fleet.decide()
    assert [fleet.facts(driver)[-1] for driver in ("p2", "p3", "p4", "p5")] == [*["DeleteDecided"] * 3, "DeleteHeld"]
