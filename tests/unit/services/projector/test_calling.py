"""Each effect happens once: a start is stored before its call, its answer after it, and a lost answer is looked up."""

from dataclasses import replace
from datetime import datetime, timedelta

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
from domain.failures import BACKOFF_SCHEDULE, LOOK_FOR, Reason, Rejected, Unavailable
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.outcomes import CallAnswered
from domain.store import FILLED
from services.projector.deliveries import RESERVED_SLOTS
from services.projector.read_models import DeliveryRow
from tests.support.stepped_services import ACME, SteppedServices
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.sayings import JANE, answered, effects, reported, say, waiting

DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")
NO_ANSWER = Unavailable(reason=Reason.NO_ANSWER, detail="no answer in time")
NOT_EFFECTIVE = Rejected(reason=Reason.NOT_EFFECTIVE, detail="answered 201, but the driver is not there")
LIMITED = Unavailable(reason=Reason.LIMITED, detail="answered 429")
D1 = ObservedDriver(key=Key("D1"), active=True, profile={"first_name": "Jan", "last_name": "Doe"})
NOTHING = {"started": 0, "due": 0, "open": 1}


def tasks(fleet: SteppedServices) -> list[DeliveryRow]:
    """The deliveries that are due, now or later."""
    return fleet.projector_stores[Target.DRIVERI].select(DeliveryRow, {"due": FILLED})


def shows(fleet: SteppedServices, driver: ObservedDriver) -> None:
    fleet.twins[ACME, Target.DRIVERI].drivers.put(driver)


def test_that_a_call_starts_is_stored_before_it_is_made(fleet: SteppedServices) -> None:
    stored: list[list[str]] = []
    fleet.twins[ACME, Target.DRIVERI].touched = lambda _call, _moment: stored.append(
        [row.driver for row in fleet.projector_stores[Target.DRIVERI].select(DeliveryRow, {"started": FILLED})]
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
    ("fact", "key", "desired_key"),
    [
        (CreateDecided, None, "D2"),
        (RenameDecided, "D1", "D2"),
        (DeleteDecided, "D1", None),
        (UpdateDecided, "D1", "D1"),
        (LinkDecided, None, "D1"),
    ],
)
def test_a_call_whose_answer_a_kill_took_is_not_made_again(
    fleet: SteppedServices, fact: type[Decision], key: str | None, desired_key: str | None
) -> None:
    shows(fleet, D1)
    profile = {} if fact is DeleteDecided else JANE
    say(fleet, fact, key=key, desired_key=desired_key, profile=profile, fields=("first_name",))
    fleet.made(Target.DRIVERI, fleet.start(Target.DRIVERI))
    done = list(fleet.twins[ACME, Target.DRIVERI].called)
    again = fleet.reopened()
    again.call(Target.DRIVERI)
    assert len(done) == 1
    assert again.twins[ACME, Target.DRIVERI].called == [*done, f"find {desired_key or key}"]
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


def test_a_lost_answer_is_looked_up_at_once_and_settles_the_call(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_next(NO_ANSWER, "after")
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    assert fleet.twins[ACME, Target.DRIVERI].called == ["create D1", "find D1"]
    assert answered(fleet) == [("p1", 1, "confirmed")]


def test_what_is_answered_well_and_does_not_happen_is_looked_for_a_while_and_not_repeated_at_once(
    fleet: SteppedServices,
) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    say(fleet, CreateDecided)
    twin.fail_writes(NOT_EFFECTIVE, 1)
    fleet.call(Target.DRIVERI)
    looks = ["find D1"] * len(LOOK_FOR)
    assert twin.called == ["create D1", *looks]
    assert 10 <= sum(LOOK_FOR) <= 30
    assert answered(fleet) == [("p1", 1, "deferred")]
    fleet.wait(minutes=6)
    fleet.call(Target.DRIVERI)
    assert twin.called[1 + len(looks) :] == ["find D1", "create D1"]
    assert waiting(fleet) == NOTHING


def test_what_is_answered_well_and_shows_only_later_is_settled_by_the_look_up(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    say(fleet, CreateDecided)
    twin.fail_next(NOT_EFFECTIVE, "after")
    fleet.call(Target.DRIVERI)
    assert twin.called == ["create D1", "find D1"]
    assert answered(fleet) == [("p1", 1, "confirmed")]


def test_what_had_no_effect_is_tried_twice_again_at_once_never_without_a_look_up(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    say(fleet, CreateDecided)
    twin.fail_writes(NO_ANSWER, 3)
    began = fleet.now
    fleet.call(Target.DRIVERI)
    assert twin.called == ["create D1", "find D1", "create D1", "find D1", "create D1"]
    assert timedelta(seconds=2.5) < fleet.now - began < timedelta(seconds=5)
    assert answered(fleet) == [("p1", 1, "deferred")]
    fleet.wait(minutes=6)
    fleet.call(Target.DRIVERI)
    assert twin.called[5:] == ["find D1", "create D1"]
    assert twin.effects == ["create D1"]
    assert waiting(fleet) == NOTHING


def test_a_call_without_an_answer_keeps_its_step_of_the_backoff_over_a_restart(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    say(fleet, CreateDecided)
    twin.fail_writes(NO_ANSWER, 6)
    fleet.call(Target.DRIVERI)
    fleet.wait(minutes=6)
    fleet.call(Target.DRIVERI)
    before = tasks(fleet)
    again = fleet.reopened()
    assert tasks(again) == before
    assert again.call(Target.DRIVERI) == 0
    again.wait(minutes=34)
    twin.called.clear()
    assert again.call(Target.DRIVERI) == 1
    assert twin.called == ["find D1", "create D1"]
    again.close()


def test_a_targets_desired_for_patience_counts_for_the_whole_account_over_a_restart(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    for number in (1, 2, 3):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    twin.fail_writes(Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=45.0), 1)
    fleet.answer(Target.DRIVERI, fleet.made(Target.DRIVERI, fleet.start(Target.DRIVERI, 1 + RESERVED_SLOTS)[:1]))
    again = fleet.reopened()
    say(again, CreateDecided, account=SECOND)
    again.call(Target.DRIVERI)
    assert (twin.effects, again.twins[SECOND, Target.DRIVERI].effects) == ([], ["create D1"])
    again.wait(seconds=45)
    again.call(Target.DRIVERI)
    assert sorted(twin.effects) == ["create D1", "create D2", "create D3"]
    again.close()


def test_a_second_try_is_not_made_once_sync_is_off(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    twin.fail_writes(NO_ANSWER, 1)
    say(fleet, CreateDecided)

    def turn_off(call: str, _moment: str) -> None:
        if call == "create D1":
            fleet.turn_off()
            fleet.follow(Target.DRIVERI)

    twin.touched = turn_off
    fleet.call(Target.DRIVERI)
    assert twin.called == ["create D1", "find D1"]
    assert answered(fleet) == []
    fleet.call(Target.DRIVERI)
    assert waiting(fleet) == NOTHING


def test_a_look_up_that_fails_is_tried_again_and_the_call_is_not_made(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    twin.fail_next(NO_ANSWER, "after")
    twin.fail_next(DOWN)
    say(fleet, CreateDecided)
    for _ in range(2):
        fleet.call(Target.DRIVERI)
        fleet.wait(minutes=6)
    assert twin.called == ["create D1", "find D1", "find D1"]
    assert effects(fleet) == ["create D1"]
    assert waiting(fleet) == NOTHING


@pytest.mark.parametrize("failure", [DOWN, Rejected(reason=Reason.CREDENTIALS, detail="401")])
def test_a_second_try_that_fails_leaves_open_what_became_of_the_first(
    fleet: SteppedServices, failure: Unavailable | Rejected
) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    say(fleet, CreateDecided)
    twin.fail_writes(NO_ANSWER, 1)
    twin.fail_writes(failure, 1)
    fleet.call(Target.DRIVERI)
    assert waiting(fleet)["started"] == 1
    shows(fleet, replace(D1, profile=JANE))
    fleet.wait(minutes=6)
    fleet.probe(Target.DRIVERI)
    fleet.call(Target.DRIVERI)
    assert effects(fleet) == []
    assert answered(fleet)[-1] == ("p1", 1, "confirmed")


INVALID = Rejected(reason=Reason.INVALID, detail="answered 404")


def test_a_rename_that_took_effect_is_confirmed_whatever_its_repeat_is_answered(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    shows(fleet, D1)
    say(fleet, RenameDecided, key="D1", desired_key="D2")
    twin.fail_writes(NO_ANSWER, 1)
    twin.fail_writes(INVALID, 1, "after")
    fleet.call(Target.DRIVERI)
    assert effects(fleet) == ["rename D1"]
    assert answered(fleet) == [("p1", 1, "confirmed")]


def test_a_repeat_that_is_refused_stays_open_until_it_could_be_looked_up(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    shows(fleet, D1)
    say(fleet, RenameDecided, key="D1", desired_key="D2")
    twin.fail_writes(NO_ANSWER, 1)
    twin.fail_writes(INVALID, 1, "after")

    def go_blind(call: str, moment: str) -> None:
        if (call, moment) == ("rename D1", "after"):
            twin.blind = DOWN

    twin.touched = go_blind
    fleet.call(Target.DRIVERI)
    assert (answered(fleet), waiting(fleet)["started"]) == ([("p1", 1, "deferred")], 1)
    twin.blind = None
    fleet.wait(minutes=6)
    fleet.call(Target.DRIVERI)
    assert answered(fleet)[-1] == ("p1", 1, "confirmed")
    assert effects(fleet) == ["rename D1"]


def test_a_repeat_that_is_refused_and_had_no_effect_is_refused(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    say(fleet, CreateDecided)
    twin.fail_writes(NO_ANSWER, 1)
    twin.fail_writes(INVALID, 1)
    fleet.call(Target.DRIVERI)
    assert answered(fleet) == [("p1", 1, "refused")]
    assert waiting(fleet)["started"] == 0


def test_a_created_driver_that_differs_is_reported_as_there(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    twin.fail_writes(NO_ANSWER, 1)
    say(fleet, CreateDecided)
    shows(fleet, D1)
    fleet.call(Target.DRIVERI)
    assert answered(fleet) == [("p1", 1, "exists")]
    assert effects(fleet) == []


def test_a_rename_that_was_superseded_still_gives_the_link_its_key(fleet: SteppedServices) -> None:
    shows(fleet, D1)
    say(fleet, RenameDecided, key="D1", desired_key="D2")
    fleet.made(Target.DRIVERI, fleet.start(Target.DRIVERI))
    shows(fleet, ObservedDriver(key=Key("D2"), active=True, profile={"first_name": "JANE", "last_name": "DOE"}))
    say(fleet, RenameDecided, key="D1", desired_key="D3")
    again = fleet.reopened()
    again.call(Target.DRIVERI)
    (report,) = reported(again)
    assert isinstance(report, CallAnswered)
    assert (report.decision, report.outcome, report.key, report.left) == (1, "confirmed", "D2", "D1")
    assert again.call(Target.DRIVERI) == 0
    again.close()


def test_a_superseded_rename_that_had_no_effect_is_forgotten(fleet: SteppedServices) -> None:
    shows(fleet, D1)
    shows(fleet, replace(D1, key=Key("D2")))
    say(fleet, RenameDecided, key="D1", desired_key="D2")
    fleet.start(Target.DRIVERI)
    say(fleet, RenameDecided, key="D1", desired_key="D3")
    again = fleet.reopened()
    again.call(Target.DRIVERI)
    assert answered(again) == []
    again.call(Target.DRIVERI)
    assert effects(again) == ["rename D1"]
    assert answered(again) == [("p1", 2, "confirmed")]
    again.close()


def test_a_started_call_that_is_not_due_any_more_is_only_looked_up(fleet: SteppedServices) -> None:
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


def test_a_call_that_fails_goes_through_the_backoff_over_restarts_and_is_given_up(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_writes(DOWN, 6)
    say(fleet, CreateDecided)
    again, waits = fleet, []
    for _ in BACKOFF_SCHEDULE:
        assert again.call(Target.DRIVERI) == 1
        (task,) = tasks(again)
        waits.append((datetime.fromisoformat(task.due) - again.now).total_seconds())
        again.wait(seconds=waits[-1] - 10)
        again = again.reopened()
        assert again.call(Target.DRIVERI) == 0
        again.wait(seconds=10)
    assert answered(again) == [("p1", 1, "deferred")]
    assert all(least <= wait + 5 and wait <= 1.1 * least for wait, least in zip(waits, BACKOFF_SCHEDULE, strict=True))
    assert again.call(Target.DRIVERI) == 1
    *_, given_up = reported(again)
    assert isinstance(given_up, CallAnswered)
    assert (given_up.outcome, given_up.reason) == ("refused", "down")
    assert given_up.detail == "given up after 6 tries: the target is down"
    assert waiting(again) == NOTHING
    again.close()


def test_what_was_given_up_with_an_open_end_is_looked_up_before_it_is_tried_again(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    twin.fail_writes(NO_ANSWER, 3 * (len(BACKOFF_SCHEDULE) + 1))
    say(fleet, CreateDecided)
    for _ in range(len(BACKOFF_SCHEDULE) + 1):
        fleet.call(Target.DRIVERI)
        fleet.wait(hours=27)
    assert [outcome for _, _, outcome in answered(fleet)] == ["deferred", "refused"]
    shows(fleet, replace(D1, profile=JANE))
    say(fleet, CreateDecided, answers=1)
    twin.called.clear()
    fleet.call(Target.DRIVERI)
    assert twin.called == ["find D1"]
    assert answered(fleet)[-1] == ("p1", 1, "confirmed")


def test_a_later_decision_starts_the_backoff_again(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_writes(DOWN, 1)
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    say(fleet, CreateDecided, profile={**JANE, "last_name": "Roe"})
    assert fleet.call(Target.DRIVERI) == 1
    assert answered(fleet) == [("p1", 1, "deferred"), ("p1", 2, "confirmed")]


def test_a_limit_is_not_reported_and_no_step_of_the_backoff(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].fail_writes(LIMITED, 1)
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    assert answered(fleet) == []
    assert [task.tries for task in tasks(fleet)] == [0]
    fleet.wait(seconds=1)
    fleet.call(Target.DRIVERI)
    assert answered(fleet) == [("p1", 1, "confirmed")]


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
    say(fleet, DeleteDecided, key=None, desired_key=None, profile={})
    fleet.call(Target.DRIVERI)
    assert fleet.twins[ACME, Target.DRIVERI].called == []
    assert answered(fleet) == [("p1", 1, "confirmed")]


def test_an_unexpected_failure_of_one_call_is_its_own(fleet: SteppedServices) -> None:
    def fail(call: str, _moment: str) -> None:
        if call == "create D1":
            raise ZeroDivisionError

    fleet.twins[ACME, Target.DRIVERI].touched = fail
    say(fleet, CreateDecided)
    say(fleet, CreateDecided, "p2", desired_key="D2")
    fleet.call(Target.DRIVERI)
    assert answered(fleet) == [("p1", 1, "deferred"), ("p2", 1, "confirmed")]
    assert [getattr(event, "detail", "") for event in reported(fleet)] == ["unexpected ZeroDivisionError", ""]


def test_a_started_attempt_is_read_back_after_a_restart_though_its_delivery_is_not_due_any_more(
    fleet: SteppedServices,
) -> None:
    say(fleet, CreateDecided)
    fleet.made(Target.DRIVERI, fleet.start(Target.DRIVERI))
    assert tasks(fleet) == []
    again = fleet.reopened()
    again.call(Target.DRIVERI)
    assert answered(again) == [("p1", 1, "confirmed")]
    assert effects(again) == ["create D1"]
    again.close()
