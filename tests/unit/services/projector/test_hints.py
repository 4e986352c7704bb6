"""A target hints that a driver has changed: it is read once, and what differs is decided at once."""

from domain.account import Mode
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Key, Target
from domain.outcomes import HintedDriverGone, HintedDriverSeen
from services.projector.read_models import Hint
from services.projector.reads import MOST_HINTS, Found
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment
from tests.unit.services.projector.rosters import request, shown
from tests.unit.services.projector.sayings import reported

MOTIVE = Target.MOTIVE
DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")
REFUSED = Rejected(reason=Reason.INVALID, detail="no")


def hint(fleet: SteppedServices, *keys: str, account: AccountId = ACME) -> int:
    """Motive hints that these users have changed; how many hints there was no room for."""
    return fleet.projectors[MOTIVE]._reads.keep(account, [Key(key) for key in keys])


def left(fleet: SteppedServices) -> list[str]:
    return [row.key for row in fleet.projector_stores[MOTIVE].select(Hint, order_by="mark")]


def finds(fleet: SteppedServices) -> int:
    return sum(call.startswith("find") for call in fleet.twins[ACME, MOTIVE].called)


def test_what_differs_is_reported_as_hinted_after_one_read(scanned: SteppedServices) -> None:
    twin, before = scanned.twins[ACME, MOTIVE], len(reported(scanned, MOTIVE))
    twin.drivers.put(shown(1, "Roe"))
    hint(scanned, "1", "1")
    hint(scanned, "1")
    scanned.scan(MOTIVE)
    (seen,) = reported(scanned, MOTIVE)[before:]
    assert isinstance(seen, HintedDriverSeen)
    assert (seen.key, seen.profile["last_name"]) == ("1", "Roe")
    assert (finds(scanned), left(scanned), twin.scans) == (1, [], 1)


def test_a_driver_that_a_person_waits_for_is_read_before_what_a_hint_is_about(scanned: SteppedServices) -> None:
    hint(scanned, "1")
    request(scanned, MOTIVE, "p2", "2")
    reads = scanned.projectors[MOTIVE]._reads
    assert [row.keys for row in reads.due((), 4)] == [["2"]]
    scanned.scan(MOTIVE)
    assert [row.keys for row in reads.due((), 4)] == [["1"]]


def test_what_is_known_already_adds_nothing(scanned: SteppedServices) -> None:
    twin = scanned.twins[ACME, MOTIVE]
    twin.drivers.put(shown(1))
    hint(scanned, "1")
    scanned.scan(MOTIVE)
    before = len(reported(scanned, MOTIVE))
    hint(scanned, "1", "404")
    scanned.scan(MOTIVE)
    scanned.scan(MOTIVE)
    assert len(reported(scanned, MOTIVE)) == before
    assert (finds(scanned), left(scanned)) == (3, [])


def test_one_who_is_not_there_any_more_is_reported_as_gone(scanned: SteppedServices) -> None:
    twin = scanned.twins[ACME, MOTIVE]
    twin.drivers.put(shown(1))
    hint(scanned, "1")
    scanned.scan(MOTIVE)
    twin.drivers.drop(Key("1"))
    hint(scanned, "1")
    scanned.scan(MOTIVE)
    gone = reported(scanned, MOTIVE)[-1]
    assert isinstance(gone, HintedDriverGone)
    assert gone.key == "1"


def test_a_hint_that_comes_while_the_driver_is_read_is_followed_too(scanned: SteppedServices) -> None:
    twin = scanned.twins[ACME, MOTIVE]
    twin.drivers.put(shown(1))
    hint(scanned, "1")
    hints = scanned.projectors[MOTIVE]._reads
    (first,) = hints.due((), 1)
    newer = hints.begin(first)
    assert newer is not None
    hint(scanned, "1")
    hints.report(first, Found(drivers=[shown(1)], missing=[]), newer)
    assert left(scanned) == ["1"]
    twin.drivers.put(shown(1, "Roe"))
    scanned.scan(MOTIVE)
    seen = reported(scanned, MOTIVE)[-1]
    assert isinstance(seen, HintedDriverSeen)
    assert (seen.profile["last_name"], left(scanned)) == ("Roe", [])


def test_nothing_is_read_where_nothing_is_synchronised(scanned: SteppedServices) -> None:
    scanned.ask(lambda person, account: person.set_mode(account, MOTIVE, Mode.OFF))
    scanned.follow(MOTIVE)
    hint(scanned, "1")
    hint(scanned, "1", account=AccountId("nobody"))
    scanned.scan(MOTIVE)
    assert (finds(scanned), left(scanned)) == (0, [])


def test_a_read_that_fails_is_tried_again_later_and_given_up_in_the_end(scanned: SteppedServices) -> None:
    scanned.twins[ACME, MOTIVE].blind = DOWN
    hint(scanned, "1")
    scanned.scan(MOTIVE)
    assert left(scanned) == ["1"]
    for _ in range(10):
        scanned.wait(seconds=3600)
        scanned.scan(MOTIVE)
    assert left(scanned) == [] or scanned.projectors[MOTIVE]._breakers.open_accounts() == {ACME}


def test_a_refused_read_is_not_tried_again(scanned: SteppedServices) -> None:
    scanned.twins[ACME, MOTIVE].blind = REFUSED
    hint(scanned, "1")
    scanned.scan(MOTIVE)
    assert left(scanned) == []


def test_what_fails_unexpectedly_stops_no_other_account(scanned: SteppedServices) -> None:
    def fail(_call: str, _moment: Moment) -> None:
        raise ZeroDivisionError

    scanned.twins[ACME, MOTIVE].touched = fail
    hint(scanned, "1")
    scanned.scan(MOTIVE)
    assert left(scanned) == ["1"]


def test_a_flood_is_bounded(scanned: SteppedServices) -> None:
    assert hint(scanned, *map(str, range(MOST_HINTS + 5))) == 5
    assert hint(scanned, "x", "y") == 2
    assert len(left(scanned)) == MOST_HINTS
