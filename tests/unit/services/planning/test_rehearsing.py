"""A plan is what a reconciliation would do, found by doing it on a copy."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread, current_thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import Mode
from domain.failures import Reason, Unavailable
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.reconciliation import PlanStep
from domain.store import Store
from services.api.planner import NothingToPlan, RosterUnreadable, planned_targets
from services.wiring import registry
from tests.support.examples import examples
from tests.support.stepped_services import ACME, SteppedServices, person
from tests.unit.services.planning.planning_stand import (
    account_of,
    decided_behind,
    everything,
    planned,
    planner_of,
    services,
)


@pytest.fixture
def stepped() -> Iterator[SteppedServices]:
    with services() as stepped:
        yield stepped


def in_sync(stepped: SteppedServices, drivers: int = 3) -> None:
    """All drivers are linked on both targets."""
    stepped.add()
    for number in range(drivers):
        stepped.state(str(number), person(number))
    stepped.run()


def put(stepped: SteppedServices, number: int, *, active: bool = True, **changed: str) -> None:
    """A person has put this driver into Driveri by hand."""
    profile = person(number, ref_id="", driveri_driver_id="", **changed)
    stepped.twins[ACME, Target.DRIVERI].drivers.put(
        ObservedDriver(key=Key(f"D{number}"), active=active, profile=profile)
    )


def test_an_opt_in_is_planned_while_sync_is_off(stepped: SteppedServices) -> None:
    stepped.add(is_on=False)
    for number in range(5):
        stepped.state(str(number), person(number) if number else person(0, ref_id="", driveri_driver_id=""))
    stepped.decide()
    put(stepped, 1)
    put(stepped, 2, active=False)
    plan = planned(stepped)
    assert plan.shown == {"0": "park", "1": "link", "2": "reinstate", "3": "create", "4": "create"}
    assert plan.part.counts == {"create": 2, "link": 1, "reinstate": 1, "park": 1}
    assert set(planned(stepped, Target.MOTIVE).shown.values()) == {"create"}


def test_changes_that_the_decider_has_not_consumed_are_planned_too(stepped: SteppedServices) -> None:
    stepped.add(is_on=False)
    stepped.state("1", person(1))
    assert planned(stepped).shown == {"1": "create"}
    stepped.decide()
    stepped.state("2", person(2))
    stepped.delete("1")
    assert planned(stepped).shown == {"2": "create"}


def test_a_fleet_in_step_has_nothing_to_do(stepped: SteppedServices) -> None:
    in_sync(stepped)
    assert planned(stepped).steps == []
    assert planned(stepped).part == planned(stepped).part


def test_what_people_did_by_hand_is_planned_to_be_overridden(stepped: SteppedServices) -> None:
    in_sync(stepped)
    drivers = stepped.twins[ACME, Target.DRIVERI].drivers
    put(stepped, 0, first_name="Eve")
    drivers.drop(Key("D1"))
    put(stepped, 9)
    plan = planned(stepped)
    assert plan.shown == {"0": "update", "1": "create"}
    (update,) = (step for step in plan.steps if step.driver == "0")
    assert (update.fields, update.overridden) == (["first_name"], {"first_name": "Eve"})


def test_a_plan_writes_nothing(stepped: SteppedServices) -> None:
    in_sync(stepped)
    put(stepped, 0, first_name="Eve")
    stepped.state("7", person(7))
    before = everything(stepped)
    assert planned(stepped).steps
    assert everything(stepped) == before
    assert stepped.twins[ACME, Target.DRIVERI].effects == ["create D0", "create D1", "create D2"]


def test_a_plan_says_how_far_it_is(stepped: SteppedServices) -> None:
    in_sync(stepped)
    progress = planned(stepped).progress
    assert [*dict.fromkeys(each.doing for each in progress)] == ["copying", "reading", "deciding"]
    assert (progress[-1].done, progress[-1].total) == (3, 3)


def test_a_roster_that_cannot_be_read_gives_no_plan(stepped: SteppedServices) -> None:
    in_sync(stepped)
    failure = Unavailable(reason=Reason.DOWN, detail="it answers 503")
    stepped.twins[ACME, Target.DRIVERI].breaks_off = (0, failure)
    with pytest.raises(RosterUnreadable, match=r"^the roster of acme on driveri cannot be read: it answers 503$"):
        planned(stepped)


def test_a_dry_run_is_closed_in_the_thread_that_may_still_be_working_on_it(stepped: SteppedServices) -> None:
    in_sync(stepped)
    threads: list[Thread] = []

    @contextmanager
    def noted() -> Iterator[Store]:
        threads.append(current_thread())
        with registry.open_dry_run() as scratch:
            yield scratch
        threads.append(current_thread())

    async def leave() -> None:
        run = planner_of(stepped, noted).run_dry(account_of(stepped), Target.DRIVERI)
        await anext(run)
        await run.aclose()

    asyncio.run(leave())
    opened_in, closed_in = threads
    assert opened_in is closed_in is not current_thread()


def test_a_target_whose_mode_is_off_is_left_out(stepped: SteppedServices) -> None:
    stepped.add()
    stepped.set_mode(Target.MOTIVE, Mode.OFF)
    account = account_of(stepped)
    assert planned_targets(account, None) == [Target.DRIVERI]
    with pytest.raises(NothingToPlan, match=r"^the mode of acme for motive is off"):
        planned_targets(account, Target.MOTIVE)


STATES = st.lists(
    st.tuples(
        st.sampled_from(["nothing", "edit", "drop", "retire", "add"]),
        st.sampled_from(["nothing", "edit", "rename", "swap", "blank", "delete", "add"]),
    ),
    min_size=1,
    max_size=6,
)
"""For each driver what was done on the target by hand, and in the Portal."""


def change_target(stepped: SteppedServices, number: int, what: str) -> None:
    drivers = stepped.twins[ACME, Target.DRIVERI].drivers
    match what:
        case "edit":
            put(stepped, number, first_name="Eve")
        case "drop":
            drivers.drop(Key(f"D{number}"))
        case "retire":
            put(stepped, number, active=False)
        case "add":
            put(stepped, number + 50)


def change_portal(stepped: SteppedServices, number: int, what: str) -> None:
    changed = {
        "edit": {"last_name": "Doe"},
        "rename": {"driveri_driver_id": f"N{number}"},
        "swap": {"driveri_driver_id": f"D{number + 1}"},
        "blank": {"driveri_driver_id": "", "ref_id": ""},
    }
    if what in changed:
        stepped.state(str(number), person(number, **changed[what]))
    elif what == "delete":
        stepped.delete(str(number))
    elif what == "add":
        stepped.state(str(number + 50), person(number + 50))


def reconciliation(stepped: SteppedServices, *, is_on: bool) -> list[PlanStep]:
    """What a reconciliation that is requested, or follows from an opt-in, decides."""
    if is_on:
        stepped.ask(lambda jane, known: jane.reconciliation(known, Target.DRIVERI))
    else:
        stepped.turn_on()
    stepped.decide()
    begin = stepped.decider_store.log.end()
    stepped.follow(Target.DRIVERI)
    stepped.scan(Target.DRIVERI)
    stepped.decide()
    return decided_behind(stepped.decider_store, begin, Target.DRIVERI)


@examples(10, many=100)
@given(states=STATES, is_on=st.booleans())
def test_a_plan_equals_what_the_reconciliation_then_decides(states: list[tuple[str, str]], *, is_on: bool) -> None:
    with services() as stepped:
        in_sync(stepped, len(states))
        if not is_on:
            stepped.turn_off()
        for number, (on_target, in_portal) in enumerate(states):
            change_target(stepped, number, on_target)
            change_portal(stepped, number, in_portal)
        plan = planned(stepped)
        assert sorted(plan.steps, key=lambda step: step.driver) == reconciliation(stepped, is_on=is_on)
