"""An account that cannot get through is left alone until a probe is answered; nothing is lost, and others go on."""

import pytest

from domain.driver_link import CreateDecided
from domain.failures import CallFailure, Reason, Rejected, Unavailable
from domain.identity import Target
from domain.outcomes import BreakerClosed, BreakerOpened, CallAnswered
from domain.store import FILLED
from services.projector.breaker import FAILURES_TO_OPEN
from services.projector.read_models import BreakerRow, DeliveryRow
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.sayings import answered, reported, say

DRIVERI = Target.DRIVERI
DOWN = Unavailable(reason=Reason.DOWN, detail="answered 503")
LIMITED = Unavailable(reason=Reason.LIMITED, detail="answered 429")
REFUSED = Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
INVALID = Rejected(reason=Reason.INVALID, detail="answered 400")
FORBIDDEN = Rejected(reason=Reason.CREDENTIALS, detail="answered 403")
TEST_MODE = Rejected(reason=Reason.NOT_EFFECTIVE, detail="answered 200: the key seems to be in test mode")


@pytest.fixture
def twin(fleet: SteppedServices) -> TargetTwin:
    """What the first account has in Driveri; its roster is scanned already."""
    fleet.follow(DRIVERI)
    fleet.scan(DRIVERI)
    twin = fleet.twins[ACME, DRIVERI]
    twin.called.clear()
    return twin


def say_some(fleet: SteppedServices, most: int, *, first: int = 1) -> None:
    for number in range(first, first + most):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")


def turns(fleet: SteppedServices) -> list[tuple[str, str]]:
    """How the breakers were reported to open and close, and why."""
    return [
        (event.account, event.reason if isinstance(event, BreakerOpened) else "closed")
        for event in reported(fleet)
        if isinstance(event, BreakerOpened | BreakerClosed)
    ]


def tasks(fleet: SteppedServices) -> list[DeliveryRow]:
    """The deliveries that are due, now or later."""
    return fleet.projector_stores[DRIVERI].select(DeliveryRow, {"due": FILLED})


def refused(fleet: SteppedServices) -> dict[str, bool]:
    """The drivers whose calls were refused as if for the whole account, and whether each is alone in that."""
    (row,) = fleet.projector_stores[DRIVERI].select(BreakerRow)
    return row.refused


def is_open(fleet: SteppedServices) -> bool:
    (row,) = fleet.projector_stores[DRIVERI].select(BreakerRow, {"account": str(ACME)})
    return row.is_open


def until_probed(fleet: SteppedServices, twin: TargetTwin) -> float:
    """Let time pass until the next probe; after how many seconds it came."""
    before, began = twin.called.count("probe"), fleet.now
    for _ in range(400):
        fleet.wait(seconds=1)
        fleet.probe(DRIVERI)
        if twin.called.count("probe") > before:
            return (fleet.now - began).total_seconds()
    raise AssertionError("no probe came")


def opened(fleet: SteppedServices, twin: TargetTwin, failure: CallFailure = DOWN) -> None:
    """Enough calls have failed that the breaker is open."""
    say_some(fleet, FAILURES_TO_OPEN)
    twin.fail_writes(failure, FAILURES_TO_OPEN)
    fleet.call(DRIVERI)
    assert is_open(fleet)


@pytest.mark.parametrize("reason", [Reason.CREDENTIALS, Reason.NOT_CONFIGURED])
def test_a_refusal_that_speaks_of_the_account_opens_at_once(
    fleet: SteppedServices, twin: TargetTwin, reason: Reason
) -> None:
    say_some(fleet, 1)
    twin.fail_writes(Rejected(reason=reason, detail="no"), 1)
    fleet.call(DRIVERI)
    assert turns(fleet) == [(ACME, str(reason))]


@pytest.mark.parametrize("reason", [Reason.DOWN, Reason.NO_ANSWER])
def test_a_run_of_silence_opens(fleet: SteppedServices, twin: TargetTwin, reason: Reason) -> None:
    failure = Unavailable(reason=reason, detail="silence")
    for number in range(1, FAILURES_TO_OPEN + 1):
        assert turns(fleet) == []
        say_some(fleet, 1, first=number)
        twin.fail_writes(failure, 1)
        twin.blind = failure
        fleet.call(DRIVERI)
    assert turns(fleet) == [(ACME, str(reason))]


@pytest.mark.parametrize("failure", [None, INVALID])
def test_an_answer_between_them_ends_a_run(
    fleet: SteppedServices, twin: TargetTwin, failure: CallFailure | None
) -> None:
    say_some(fleet, 2 * FAILURES_TO_OPEN - 1)
    twin.fail_writes(DOWN, FAILURES_TO_OPEN - 1)
    if failure:
        twin.fail_writes(failure, 1)
    for _ in range(2 * FAILURES_TO_OPEN - 1):
        fleet.answer(DRIVERI, fleet.made(DRIVERI, fleet.start(DRIVERI, 1 + 4)[:1]))
    assert turns(fleet) == []


def test_limits_neither_open_a_breaker_nor_end_a_run(fleet: SteppedServices, twin: TargetTwin) -> None:
    say_some(fleet, FAILURES_TO_OPEN - 1)
    twin.fail_writes(DOWN, FAILURES_TO_OPEN - 1)
    fleet.call(DRIVERI)
    say_some(fleet, FAILURES_TO_OPEN, first=FAILURES_TO_OPEN)
    twin.fail_writes(LIMITED, FAILURES_TO_OPEN)
    fleet.call(DRIVERI)
    assert turns(fleet) == []
    say_some(fleet, 1, first=3 * FAILURES_TO_OPEN)
    twin.fail_writes(DOWN, 1)
    fleet.call(DRIVERI)
    assert turns(fleet) == [(ACME, "down")]


def test_one_poison_driver_does_not_open_the_breaker(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.fail_writes(DOWN, 6)
    say_some(fleet, 1)
    for _ in range(6):
        assert fleet.call(DRIVERI) == 1
        fleet.wait(hours=27)
    assert [outcome for _, _, outcome in answered(fleet)] == ["deferred", "refused"]
    assert turns(fleet) == []


def test_scans_that_fail_in_a_row_open_it_and_none_starts_while_it_is_open(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, DRIVERI]
    twin.breaks_off = 0, DOWN
    fleet.follow(DRIVERI)
    for _ in range(FAILURES_TO_OPEN + 3):
        fleet.scan(DRIVERI)
    assert turns(fleet) == [(ACME, "down")]
    assert twin.scans == FAILURES_TO_OPEN
    twin.breaks_off = None
    until_probed(fleet, twin)
    fleet.scan(DRIVERI)
    assert twin.scans == FAILURES_TO_OPEN + 1


def test_nothing_is_called_while_it_is_open_but_probes(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    say_some(fleet, 3, first=10)
    twin.called.clear()
    twin.fail_next(DOWN)
    twin.fail_next(DOWN)
    for _ in range(14):
        fleet.call(DRIVERI)
        fleet.scan(DRIVERI)
        fleet.probe(DRIVERI)
    assert set(twin.called) == {"probe"}


def test_everything_that_waited_goes_out_once_it_has_closed(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    say_some(fleet, 3, first=10)
    until_probed(fleet, twin)
    fleet.call(DRIVERI)
    assert sorted(twin.effects) == sorted(f"create D{number}" for number in (1, 2, 3, 4, 5, 10, 11, 12))
    assert turns(fleet) == [(ACME, "down"), (ACME, "closed")]
    assert tasks(fleet) == []


def test_the_backoff_starts_again_after_an_outage(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.fail_writes(DOWN, 3)
    say_some(fleet, 1)
    for _ in range(3):
        fleet.call(DRIVERI)
        fleet.wait(hours=27)
    say_some(fleet, 1, first=2)
    twin.fail_writes(REFUSED, 2)
    fleet.call(DRIVERI)
    until_probed(fleet, twin)
    assert [task.tries for task in tasks(fleet)] == [0, 0]


def test_other_accounts_go_on(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    say(fleet, CreateDecided, account=SECOND)
    fleet.call(DRIVERI)
    assert fleet.twins[SECOND, DRIVERI].effects == ["create D1"]


def test_probes_come_after_five_seconds_then_later_and_later(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    for _ in range(9):
        twin.fail_next(DOWN)
    waits = [until_probed(fleet, twin) for _ in range(9)]
    expected = [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert all(least - 1 <= wait <= 1.1 * least + 1 for wait, least in zip(waits, expected, strict=True))
    assert turns(fleet) == [(ACME, "down")]


def test_other_credentials_are_tried_at_once(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin, REFUSED)
    twin.fail_next(REFUSED)
    until_probed(fleet, twin)
    assert fleet.probe(DRIVERI) == 0
    assert isinstance(fleet.twins, dict)
    fleet.twins[ACME, DRIVERI] = TargetTwin(DRIVERI)
    assert fleet.probe(DRIVERI) == 1
    assert turns(fleet) == [(ACME, "credentials"), (ACME, "closed")]


def test_an_account_without_credentials_is_called_as_soon_as_it_has_some(fleet: SteppedServices) -> None:
    assert isinstance(fleet.twins, dict)
    twin = fleet.twins.pop((ACME, DRIVERI))
    fleet.follow(DRIVERI)
    fleet.scan(DRIVERI)
    assert turns(fleet) == [(ACME, "not_configured")]
    fleet.wait(seconds=10)
    assert fleet.probe(DRIVERI) == 0
    fleet.twins[ACME, DRIVERI] = twin
    assert fleet.probe(DRIVERI) == 1


def test_an_outage_in_which_access_turns_out_refused_says_so(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    twin.fail_next(REFUSED)
    until_probed(fleet, twin)
    assert turns(fleet) == [(ACME, "down"), (ACME, "closed"), (ACME, "credentials")]
    assert is_open(fleet)


def test_it_stays_open_over_a_restart_and_closes_after_it(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    again = fleet.reopened()
    twin.called.clear()
    assert again.call(DRIVERI) == 0
    until_probed(again, twin)
    assert again.call(DRIVERI) == FAILURES_TO_OPEN
    again.close()


def test_an_account_that_is_off_is_not_probed(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    fleet.turn_off()
    fleet.follow(DRIVERI)
    fleet.wait(hours=1)
    assert fleet.probe(DRIVERI) == 0
    fleet.turn_on()
    fleet.follow(DRIVERI)
    assert fleet.probe(DRIVERI) == 1


def test_a_probe_that_is_answered_while_no_call_is_proves_little(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    twin.fail_writes(DOWN, 2 * FAILURES_TO_OPEN)
    until_probed(fleet, twin)
    assert fleet.call(DRIVERI) == FAILURES_TO_OPEN
    assert until_probed(fleet, twin) > 9
    assert fleet.call(DRIVERI) == 0
    assert [turn for _, turn in turns(fleet)] == ["down", "closed", "down", "closed"]
    fleet.wait(minutes=6)
    assert fleet.call(DRIVERI) == FAILURES_TO_OPEN
    assert {task.tries for task in tasks(fleet)} == {2}


def test_a_success_makes_the_next_outage_the_first_again(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin)
    until_probed(fleet, twin)
    fleet.call(DRIVERI)
    say_some(fleet, FAILURES_TO_OPEN, first=20)
    twin.fail_writes(DOWN, FAILURES_TO_OPEN)
    fleet.call(DRIVERI)
    assert until_probed(fleet, twin) <= 7
    assert fleet.call(DRIVERI) == FAILURES_TO_OPEN


def test_only_the_first_refusal_of_an_account_is_reported_for_each_link(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    opened(fleet, twin, REFUSED)
    reports = [event for event in reported(fleet) if isinstance(event, CallAnswered)]
    assert [(each.driver, each.outcome) for each in reports] == [
        (f"p{n}", "deferred") for n in range(1, FAILURES_TO_OPEN + 1)
    ]


def test_a_started_call_of_an_account_that_lost_its_credentials_is_settled_when_it_has_some_again(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    say_some(fleet, 1)
    fleet.made(DRIVERI, fleet.start(DRIVERI))
    assert isinstance(fleet.twins, dict)
    del fleet.twins[ACME, DRIVERI]
    again = fleet.reopened()
    again.call(DRIVERI)
    assert turns(again) == [(ACME, "not_configured")]
    assert isinstance(again.twins, dict)
    again.twins[ACME, DRIVERI] = twin
    until_probed(again, twin)
    twin.called.clear()
    again.call(DRIVERI)
    assert twin.called == ["find D1"]
    assert answered(again)[-1] == ("p1", 1, "confirmed")
    again.close()


def until_at_rest(fleet: SteppedServices, twin: TargetTwin) -> None:
    """Whatever is due is called, and open breakers are probed until they are closed."""
    while fleet.call(DRIVERI) or is_open(fleet):
        if is_open(fleet):
            until_probed(fleet, twin)


def test_access_that_is_refused_to_one_driver_only_is_this_drivers_trouble(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    twin.failing["create D1"] = FORBIDDEN
    say_some(fleet, 3)
    until_at_rest(fleet, twin)
    assert sorted(twin.effects) == ["create D2", "create D3"]
    assert turns(fleet) == [(ACME, "credentials"), (ACME, "closed")]
    for _ in range(5):
        fleet.wait(hours=27)
        fleet.call(DRIVERI)
    assert turns(fleet) == [(ACME, "credentials"), (ACME, "closed")]
    last = [event for event in reported(fleet) if isinstance(event, CallAnswered)][-1]
    assert (last.driver, last.outcome, last.reason) == ("p1", "refused", "credentials")
    why = "refused for this driver only, while other calls are answered: answered 403"
    assert last.detail == f"given up after 6 tries: {why}"


def test_several_drivers_who_are_refused_at_once_open_it_once(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.failing |= {"create D1": FORBIDDEN, "create D2": FORBIDDEN}
    say_some(fleet, 3)
    until_at_rest(fleet, twin)
    assert twin.effects == ["create D3"]
    assert turns(fleet) == [(ACME, "credentials"), (ACME, "closed")]
    assert refused(fleet).keys() == {"p1", "p2"}


def test_a_driver_who_alone_is_refused_keeps_its_step_over_restarts_and_outages(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    twin.failing["create D1"] = FORBIDDEN
    say_some(fleet, 1)
    until_at_rest(fleet, twin)
    fleet.wait(hours=1)
    fleet.call(DRIVERI)
    again = fleet.reopened()
    say_some(again, FAILURES_TO_OPEN, first=2)
    twin.fail_writes(DOWN, FAILURES_TO_OPEN)
    again.call(DRIVERI)
    until_probed(again, twin)
    steps = {task.driver: task.tries for task in tasks(again)}
    assert steps["p1"] == 2
    again.call(DRIVERI)
    again.wait(hours=1)
    again.call(DRIVERI)
    assert not is_open(again)
    (task,) = tasks(again)
    assert (task.driver, task.tries) == ("p1", 3)
    again.close()


def test_a_driver_who_is_answered_again_is_suspected_of_nothing(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.fail_writes(FORBIDDEN, 2)
    say_some(fleet, 1)
    until_at_rest(fleet, twin)
    fleet.wait(minutes=6)
    fleet.call(DRIVERI)
    assert twin.effects == ["create D1"]
    assert refused(fleet) == {}


def test_a_run_of_drivers_who_are_refused_each_alone_opens_it(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin, FORBIDDEN)
    twin.fail_writes(FORBIDDEN, FAILURES_TO_OPEN)
    until_probed(fleet, twin)
    fleet.call(DRIVERI)
    assert [turn for _, turn in turns(fleet)] == ["credentials", "closed", "credentials"]


def test_calls_that_take_no_effect_open_it_with_the_reason(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin, TEST_MODE)
    (row,) = fleet.projector_stores[DRIVERI].select(BreakerRow, {"account": str(ACME)})
    assert (row.reason, row.detail) == ("not_effective", TEST_MODE.detail)
    assert twin.called.count("create D1") == 1


def test_a_test_mode_in_which_probes_are_answered_is_asked_about_ever_more_seldom(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    opened(fleet, twin, TEST_MODE)
    pauses = []
    twin.fail_writes(TEST_MODE, 50)
    for round_number in range(1, 5):
        opened_at = fleet.now
        while not fleet.probe(DRIVERI):
            fleet.wait(minutes=1)
        pauses.append((fleet.now - opened_at).total_seconds())
        say_some(fleet, FAILURES_TO_OPEN, first=10 * round_number)
        fleet.call(DRIVERI)
        assert is_open(fleet)
    for pause, least in zip(pauses, (300, 1800, 7200, 21_600), strict=True):
        assert least - 60 <= pause <= 1.1 * least + 60


@pytest.mark.parametrize("failure", [TEST_MODE, FORBIDDEN])
def test_other_credentials_release_everybody_however_often_it_had_opened_before(
    fleet: SteppedServices, twin: TargetTwin, failure: CallFailure
) -> None:
    opened(fleet, twin, failure)
    while not fleet.probe(DRIVERI):
        fleet.wait(minutes=1)
    twin.fail_writes(failure, FAILURES_TO_OPEN)
    fleet.call(DRIVERI)
    assert is_open(fleet)
    assert isinstance(fleet.twins, dict)
    other = fleet.twins[ACME, DRIVERI] = TargetTwin(DRIVERI)
    assert fleet.probe(DRIVERI) == 1
    assert fleet.call(DRIVERI) == FAILURES_TO_OPEN
    assert len(other.effects) == FAILURES_TO_OPEN
    assert refused(fleet) == {}


@pytest.mark.parametrize("failure", [TEST_MODE, FORBIDDEN, DOWN])
def test_credentials_given_while_nothing_ran_are_tried_at_once(
    fleet: SteppedServices, twin: TargetTwin, failure: CallFailure
) -> None:
    opened(fleet, twin, failure)
    assert fleet.probe(DRIVERI) == 0
    assert isinstance(fleet.twins, dict)
    other = fleet.twins[ACME, DRIVERI] = TargetTwin(DRIVERI)
    again = fleet.reopened()
    assert again.probe(DRIVERI) == 1
    assert again.call(DRIVERI) == FAILURES_TO_OPEN
    assert len(other.effects) == FAILURES_TO_OPEN
    again.close()


def test_a_start_asks_at_once_only_once(fleet: SteppedServices, twin: TargetTwin) -> None:
    opened(fleet, twin, REFUSED)
    again = fleet.reopened()
    twin.fail_next(REFUSED)
    twin.called.clear()
    again.probe(DRIVERI)
    again.probe(DRIVERI)
    assert twin.called == ["probe"]
    again.close()
