"""Each effect happens once: a start is stored before its call, its answer after it, and a lost answer is looked up."""

from dataclasses import replace

import pytest

from domain.driver_link import (
    CreateDecided,
    Decision,
    DeleteDecided,
    LinkDecided,
    ReinstateDecided,
    RenameDecided,
    UpdateDecided,
)
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key, Target
from domain.roster import TargetDriver
from services.projector.read_models import StartedCall, Task
from tests.support.stepped_services import ACME, SteppedServices
from tests.unit.services.projector.sayings import JANE, answered, effects, reported, say, waiting

DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")
NO_ANSWER = Unavailable(reason=Reason.NO_ANSWER, detail="no answer in time")
D1 = TargetDriver(key=Key("D1"), active=True, profile={"first_name": "Jan", "last_name": "Doe"})
NOTHING = {"started": 0, "tasks": 0, "open": 1}


def shows(fleet: SteppedServices, driver: TargetDriver) -> None:
    fleet.twins[ACME, Target.DRIVERI].drivers.put(driver)


def test_that_a_call_starts_is_stored_before_it_is_made(fleet: SteppedServices) -> None:
    stored: list[list[str]] = []
    fleet.twins[ACME, Target.DRIVERI].touched = lambda _call, _moment: stored.append(
        [row.driver for row in fleet.projector_stores[Target.DRIVERI].select(StartedCall)]
    )
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    assert stored == [["p1"], ["p1"]]
    assert waiting(fleet) == NOTHING


def test_a_call_that_was_started_and_never_made_is_made_once(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided)
    fleet.start(Target.DRIVERI)
    again = fleet.reopened()
    again.call(Target.DRIVERI)
    assert again.twins[ACME, Target.DRIVERI].called == ["find D1", "create D1"]
    assert answered(again) == [("p1", 1, "confirmed")]
    again.close()


@pytest.mark.parametrize(
    ("fact", "key", "wished_key"),
    [
        (CreateDecided, None, "D2"),
        (RenameDecided, "D1", "D2"),
        (DeleteDecided, "D1", None),
        (UpdateDecided, "D1", "D1"),
        (LinkDecided, None, "D1"),
    ],
)
def test_a_call_whose_answer_a_kill_took_is_not_made_again(
    fleet: SteppedServices, fact: type[Decision], key: str | None, wished_key: str | None
) -> None:
    shows(fleet, D1)
    profile = {} if fact is DeleteDecided else JANE
    say(fleet, fact, key=key, wished_key=wished_key, profile=profile, fields=("first_name",))
    fleet.made(Target.DRIVERI, fleet.start(Target.DRIVERI))
    done = list(fleet.twins[ACME, Target.DRIVERI].called)
    again = fleet.reopened()
    again.call(Target.DRIVERI)
    assert len(done) == 1
    assert again.twins[ACME, Target.DRIVERI].called == [*done, f"find {wished_key or key}"]
    assert answered(again) == [("p1", 1, "confirmed")]
    assert waiting(again) == NOTHING
    again.close()


def test_a_write_of_what_cannot_be_read_back_is_said_again(fleet: SteppedServices) -> None:
    shows(fleet, replace(D1, active=False))
    say(fleet, ReinstateDecided, profile={**JANE, "phone": "+1 555 010 0100"}, fields=("phone",))
    fleet.made(Target.DRIVERI, fleet.start(Target.DRIVERI))
    again = fleet.reopened()
    again.call(Target.DRIVERI)
    assert again.twins[ACME, Target.DRIVERI].effects == ["reinstate D1"]
    assert answered(again) == [("p1", 1, "confirmed")]
    again.close()


def test_a_lost_answer_is_looked_up_before_any_second_try(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_next(NO_ANSWER, "after")
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    fleet.wait(seconds=10)
    fleet.call(Target.DRIVERI)
    assert fleet.twins[ACME, Target.DRIVERI].called == ["create D1", "find D1"]
    assert answered(fleet) == [("p1", 1, "deferred"), ("p1", 1, "confirmed")]


def test_a_look_up_that_fails_is_tried_again_and_the_call_is_not_made(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    twin.fail_next(NO_ANSWER, "after")
    twin.fail_next(DOWN)
    say(fleet, CreateDecided)
    for _ in range(3):
        fleet.call(Target.DRIVERI)
        fleet.wait(seconds=10)
    assert twin.called == ["create D1", "find D1", "find D1"]
    assert effects(fleet) == ["create D1"]
    assert waiting(fleet) == NOTHING


def test_a_created_driver_that_differs_is_reported_as_there(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_next(NO_ANSWER)
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    shows(fleet, D1)
    fleet.wait(seconds=10)
    fleet.call(Target.DRIVERI)
    assert answered(fleet)[-1] == ("p1", 1, "exists")
    assert effects(fleet) == []


def test_a_started_call_that_nobody_wants_any_more_is_only_looked_up(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided)
    fleet.start(Target.DRIVERI)
    fleet.turn_off()
    again = fleet.reopened()
    again.follow(Target.DRIVERI)
    again.call(Target.DRIVERI)
    again.call(Target.DRIVERI)
    assert again.twins[ACME, Target.DRIVERI].called == ["find D1"]
    assert answered(again) == []
    assert waiting(again) == NOTHING
    again.close()


def test_the_outcome_of_a_started_call_is_reported_even_when_sync_is_off(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided)
    fleet.made(Target.DRIVERI, fleet.start(Target.DRIVERI))
    fleet.turn_off()
    again = fleet.reopened()
    again.follow(Target.DRIVERI)
    again.call(Target.DRIVERI)
    assert answered(again) == [("p1", 1, "confirmed")]
    again.close()


def test_a_put_off_call_is_tried_again_later_and_later_and_reported_once(fleet: SteppedServices) -> None:
    for _ in range(4):
        fleet.twins[ACME, Target.DRIVERI].fail_next(DOWN)
    say(fleet, CreateDecided)
    delays = []
    for _ in range(4):
        before = fleet.now
        assert fleet.call(Target.DRIVERI) == 1
        (task,) = fleet.projector_stores[Target.DRIVERI].select(Task)
        delays.append(task.not_before)
        assert fleet.call(Target.DRIVERI) == 0
        while fleet.now.isoformat() < task.not_before:
            fleet.wait(seconds=1)
        assert fleet.now > before
    assert delays == sorted(set(delays))
    assert fleet.call(Target.DRIVERI) == 1
    assert answered(fleet) == [("p1", 1, "deferred"), ("p1", 1, "confirmed")]


def test_the_target_says_itself_when_to_come_back(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_next(replace(DOWN, reason=Reason.LIMITED, retry_after=600.0))
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    fleet.wait(seconds=590)
    assert fleet.call(Target.DRIVERI) == 0
    fleet.wait(seconds=20)
    assert fleet.call(Target.DRIVERI) == 1


@pytest.mark.parametrize("asked_for", [1e12, float("inf")])
def test_a_target_that_asks_for_endless_patience_is_left_alone_for_a_day(
    fleet: SteppedServices, asked_for: float
) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_next(replace(DOWN, reason=Reason.LIMITED, retry_after=asked_for))
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    fleet.wait(seconds=86_390)
    assert fleet.call(Target.DRIVERI) == 0
    fleet.wait(seconds=20)
    assert fleet.call(Target.DRIVERI) == 1


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [(Reason.INVALID, "refused"), (Reason.CREDENTIALS, "deferred"), (Reason.NOT_CONFIGURED, "deferred")],
)
def test_what_is_about_the_account_is_put_off_and_what_is_about_the_driver_refused(
    fleet: SteppedServices, reason: Reason, outcome: str
) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_next(Rejected(reason=reason, detail="no"))
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    assert answered(fleet) == [("p1", 1, outcome)]


def test_nothing_is_called_to_delete_what_was_never_made(fleet: SteppedServices) -> None:
    say(fleet, DeleteDecided, key=None, wished_key=None, profile={})
    fleet.call(Target.DRIVERI)
    assert fleet.twins[ACME, Target.DRIVERI].called == []
    assert answered(fleet) == [("p1", 1, "confirmed")]


def test_an_unexpected_failure_of_one_call_is_its_own(fleet: SteppedServices) -> None:
    def fail(call: str, _moment: str) -> None:
        if call == "create D1":
            raise ZeroDivisionError

    fleet.twins[ACME, Target.DRIVERI].touched = fail
    say(fleet, CreateDecided)
    say(fleet, CreateDecided, "p2", wished_key="D2")
    fleet.call(Target.DRIVERI)
    assert answered(fleet) == [("p1", 1, "deferred"), ("p2", 1, "confirmed")]
    assert [getattr(event, "detail", "") for event in reported(fleet)] == ["unexpected ZeroDivisionError", ""]
