"""One account's trouble is its own, also where the trouble is in storing what it leads to."""

import pytest

from domain.driver_link import CreateDecided
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from domain.outcomes import BreakerOpened, CallAnswered, DriverLookedUp, RosterScanFailed
from domain.ports import TargetDrivers
from domain.store import FILLED, StoreFailed
from services.projector.breaker import FAILURES_TO_OPEN
from services.projector.calls import Connected
from services.projector.read_models import BreakerRow, DeliveryRow
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import TargetTwin
from tests.support.unstorable import UNSTORABLE, uncleaned
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.rosters import request
from tests.unit.services.projector.sayings import answered, reported, say, waiting

DRIVERI = Target.DRIVERI


@pytest.fixture
def twin(fleet: SteppedServices) -> TargetTwin:
    return fleet.twins[ACME, DRIVERI]


def test_an_answer_that_cannot_be_stored_sets_only_its_driver_aside(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.failing["create D1"] = uncleaned(Rejected(reason=Reason.INVALID, detail=UNSTORABLE))
    say(fleet, CreateDecided)
    say(fleet, CreateDecided, "p2", desired_key="D2")
    say(fleet, CreateDecided, account=SECOND)
    fleet.call(DRIVERI)
    assert sorted(answered(fleet)) == [("p1", 1, "confirmed"), ("p1", 1, "refused"), ("p2", 1, "confirmed")]
    details = [event.detail for event in reported(fleet) if isinstance(event, CallAnswered) and event.detail]
    assert details == ["the answer of driveri cannot be stored (UnicodeEncodeError)"]
    assert waiting(fleet)["started"] == 0


def test_a_driver_shown_with_what_cannot_be_stored_is_set_aside_alone(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.drivers.put(ObservedDriver(key=Key("D1"), active=True, profile={"first_name": UNSTORABLE}))
    say(fleet, CreateDecided)
    say(fleet, CreateDecided, "p2", desired_key="D2")
    fleet.call(DRIVERI)
    assert ("p2", 1, "confirmed") in answered(fleet)
    assert not fleet.projector_stores[DRIVERI].select(DeliveryRow, {"started": FILLED})


def test_a_scan_that_fails_with_words_that_cannot_be_stored_is_reported_in_others(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    twin.breaks_off = 0, uncleaned(Unavailable(reason=Reason.DOWN, detail=UNSTORABLE))
    fleet.follow(DRIVERI)
    fleet.scan(DRIVERI)
    failed = [event for event in reported(fleet) if isinstance(event, RosterScanFailed)]
    assert [(each.reason, each.detail) for each in failed] == [("down", "unexpected UnicodeEncodeError")]


def test_a_look_up_that_fails_with_words_that_cannot_be_stored_is_reported_in_others(scanned: SteppedServices) -> None:
    scanned.twins[ACME, DRIVERI].blind = uncleaned(Unavailable(reason=Reason.DOWN, detail=UNSTORABLE))
    request(scanned, DRIVERI, "p1", "1")
    scanned.scan(DRIVERI)
    done = reported(scanned)[-1]
    assert isinstance(done, DriverLookedUp)
    assert (done.reason, done.detail) == ("down", "unexpected UnicodeEncodeError")


def test_a_probe_that_fails_with_words_that_cannot_be_stored_is_put_off(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    twin.down = "before", Unavailable(reason=Reason.DOWN, detail="the target is down")
    open_breaker(fleet)
    twin.down = "before", uncleaned(Rejected(reason=Reason.CREDENTIALS, detail=UNSTORABLE))
    fleet.wait(seconds=600)
    assert fleet.probe(DRIVERI) == 0
    (row,) = fleet.projector_stores[DRIVERI].select(BreakerRow, {"is_open": True})
    assert row.probe_at > fleet.now.isoformat()
    assert row.account == ACME


@pytest.mark.parametrize("asked_for", [1e300, float("inf"), float("nan"), -1e300, 1767268860000.0])
def test_a_target_waits_for_no_more_than_a_day_whatever_it_asks_for(
    fleet: SteppedServices, twin: TargetTwin, asked_for: float
) -> None:
    twin.down = "before", Unavailable(reason=Reason.DOWN, detail="the target is down", retry_after=asked_for)
    open_breaker(fleet)
    fleet.wait(seconds=600)
    assert fleet.probe(DRIVERI) == 0
    assert [event.account for event in reported(fleet) if isinstance(event, BreakerOpened)] == [ACME]
    twin.mend()
    fleet.wait(days=1)
    assert fleet.probe(DRIVERI) == 1


def open_breaker(fleet: SteppedServices) -> None:
    for number in range(1, FAILURES_TO_OPEN + 1):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    fleet.call(DRIVERI)


class TestConnecting:
    """An account that cannot be connected, for whatever reason."""

    def test_what_fails_unexpectedly_is_that_accounts_own_trouble(self) -> None:
        def connect(_: AccountId) -> TargetDrivers | Rejected:
            raise ZeroDivisionError

        connected = Connected(connect)
        detail = "the account cannot be connected: unexpected ZeroDivisionError; see the log"
        assert connected.to(ACME) == Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)
        assert connected.slots(ACME) == 1

    def test_a_store_that_fails_is_everybodys_trouble(self) -> None:
        def connect(_: AccountId) -> TargetDrivers | Rejected:
            raise StoreFailed("the database has gone")

        with pytest.raises(StoreFailed):
            Connected(connect).to(ACME)
