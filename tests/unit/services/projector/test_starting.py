"""Calls that start with the commit that takes their decision over, and never without it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.driver_link import CreateDecided, Parked, RenameDecided, UpdateDecided
from domain.failures import MOST_TRIES, Reason, Unavailable
from domain.identity import AccountId, Target
from domain.store import FILLED, Store, StoreConflict, Unit
from services.accounts.handlers import AccountRow
from services.projector.calls import Attempt
from services.projector.deliveries import MOST_CALLS, RESERVED_SLOTS
from services.projector.read_models import BreakerRow, DeliveryRow, RosterRow
from services.wiring.registry import SERVICES
from tests.support.stepped_services import ACME, SteppedServices, both_targets
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.sayings import JANE, answered, effects, end, say, set_aside, waiting

DRIVERI = Target.DRIVERI
NO_ANSWER = Unavailable(reason=Reason.NO_ANSWER, detail="no answer in time")
OWN_ROWS = (AccountRow, BreakerRow, DeliveryRow, RosterRow)


class Watched:
    """A store that counts what is asked of it about deliveries, and refuses commits when it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queries: list[str] = []
        self.commits = 0
        self.has_lost_its_partitions = False
        self.before_commit: Callable[[Unit], None] = lambda _: None

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if name not in ("select", "among", "first", "least", "count"):
            return found

        def counted(kind: type, *args: object, **kwargs: object) -> object:
            if kind in OWN_ROWS:
                self.queries.append(f"{name} {kind.__name__}")
            return found(kind, *args, **kwargs)

        return counted

    def commit(self, unit: Unit) -> bool:
        self.before_commit(unit)
        if self.has_lost_its_partitions:
            raise StoreConflict("another process owns the partitions 0")
        self.commits += 1
        return self._store.commit(unit)


class Calling:
    """A projector whose calls are begun as they are started, and made when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.begun: list[Attempt] = []
        self.stores: dict[str, Watched] = {}
        self.fleet = SteppedServices(folder, both_targets(ACME, SECOND), wrapping=self._watched)  # type: ignore[arg-type]
        for account in (ACME, SECOND):
            self.fleet.add(account)
        self.fleet.follow(DRIVERI)
        self.store = self.stores[f"projector-{DRIVERI}"]
        self.deliveries = self.fleet.projectors[DRIVERI]._deliveries
        self.woken = 0
        self.deliveries.resume()
        self.deliveries.begin_by(lambda calls: self.begun.extend(attempt for attempt, _ in calls), self._wake)

    def decided(self, number: int, account: AccountId = ACME) -> None:
        """Drivers of an account are to be created."""
        for each in range(number):
            say(self.fleet, CreateDecided, f"p{each}", account=account, desired_key=f"D{each}", is_followed=False)
        self.fleet.follow(DRIVERI)

    def answer(self) -> None:
        """The calls under way are answered, and the outcomes are stored."""
        begun, self.begun = self.begun, []
        self.deliveries.turn(self.fleet.made(DRIVERI, begun))

    def _watched(self, name: str, store: Store) -> Watched:
        self.stores[name] = Watched(store)
        return self.stores[name]

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def calling(tmp_path: Path) -> Iterator[Calling]:
    calling = Calling(tmp_path)
    yield calling
    calling.fleet.close()


def drivers(calling: Calling) -> list[str]:
    return [attempt.driver[1] for attempt in calling.begun]


def test_a_change_costs_two_commits_and_no_query_once_its_account_and_link_are_known(calling: Calling) -> None:
    say(calling.fleet, CreateDecided)
    calling.answer()
    calling.store.commits, calling.store.queries = 0, []
    say(calling.fleet, UpdateDecided, key="D1", profile={**JANE, "last_name": "Roe"}, fields=("last_name",), answers=1)
    calling.answer()
    assert answered(calling.fleet) == [("p1", 1, "confirmed"), ("p1", 2, "confirmed")]
    assert (calling.store.commits, calling.store.queries) == (2, [])


def test_that_a_call_starts_is_stored_with_its_decision(calling: Calling) -> None:
    say(calling.fleet, CreateDecided)
    assert drivers(calling) == ["p1"]
    assert waiting(calling.fleet) == {"started": 1, "due": 0, "open": 1}


def test_no_call_begins_when_the_commit_fails_and_it_begins_once_when_that_works(calling: Calling) -> None:
    calling.store.has_lost_its_partitions = True
    say(calling.fleet, CreateDecided, is_followed=False)
    calling.fleet.projectors[DRIVERI].service.step()
    assert calling.begun == []
    calling.store.has_lost_its_partitions = False
    calling.fleet.follow(DRIVERI)
    assert drivers(calling) == ["p1"]


def test_no_call_begins_before_its_start_is_stored(calling: Calling) -> None:
    begun: list[int] = []
    calling.store.before_commit = lambda _: begun.append(len(calling.begun))
    calling.decided(3)
    assert set(begun) == {0}
    assert drivers(calling) == ["p0", "p1", "p2"]


def test_of_two_decisions_of_a_batch_only_the_newer_one_starts(calling: Calling) -> None:
    say(calling.fleet, CreateDecided, desired_key="D1", is_followed=False)
    say(calling.fleet, CreateDecided, desired_key="D2", is_followed=False)
    calling.fleet.follow(DRIVERI)
    calling.answer()
    assert effects(calling.fleet) == ["create D2"]
    assert answered(calling.fleet) == [("p1", 2, "confirmed")]


def test_what_is_decided_and_set_aside_in_a_batch_does_not_start(calling: Calling) -> None:
    calling.deliveries.begin_by(None)
    say(calling.fleet, CreateDecided, is_followed=False)
    calling.deliveries.begin_by(lambda calls: calling.begun.extend(attempt for attempt, _ in calls))
    set_aside(calling.fleet, Parked)
    assert calling.begun == []
    assert waiting(calling.fleet) == {"started": 0, "due": 0, "open": 0}


def test_a_decision_that_comes_during_a_call_waits_for_its_answer_and_is_void_by_it(calling: Calling) -> None:
    say(calling.fleet, CreateDecided)
    say(calling.fleet, CreateDecided, desired_key="D2")
    assert len(calling.begun) == 1
    calling.answer()
    assert (calling.begun, effects(calling.fleet)) == ([], ["create D1"])
    say(calling.fleet, RenameDecided, key="D1", desired_key="D2", answers=1)
    calling.answer()
    assert effects(calling.fleet) == ["create D1", "rename D1"]


def test_a_decision_that_comes_during_a_call_without_effect_is_carried_out_after_it(calling: Calling) -> None:
    fleet, twin = calling.fleet, calling.fleet.twins[ACME, DRIVERI]
    say(fleet, CreateDecided)
    twin.fail_writes(NO_ANSWER, 1)
    say(fleet, CreateDecided, desired_key="D2")
    calling.answer()
    calling.deliveries.turn([])
    calling.answer()
    assert effects(fleet) == ["create D2"]
    assert answered(fleet) == [("p1", 2, "confirmed")]


def test_a_call_that_was_started_with_its_decision_and_never_made_is_made_once_after_a_kill(calling: Calling) -> None:
    say(calling.fleet, CreateDecided)
    again = calling.fleet.reopened()
    again.call(DRIVERI)
    assert again.twins[ACME, DRIVERI].called == ["find D1", "create D1"]
    assert answered(again) == [("p1", 1, "confirmed")]
    again.close()


def test_an_account_for_which_something_waits_is_not_overtaken_by_its_own_newer_decisions(calling: Calling) -> None:
    calling.fleet.twins[ACME, DRIVERI].places = 1
    calling.decided(2)
    assert drivers(calling) == ["p0"]
    calling.fleet.twins[ACME, DRIVERI].places = 9
    say(calling.fleet, CreateDecided, "p7", desired_key="D7")
    assert drivers(calling) == ["p0"]
    calling.deliveries.turn([])
    assert drivers(calling) == ["p0", "p1", "p7"]


def test_what_finds_no_slot_wakes_who_gives_them_out(calling: Calling) -> None:
    calling.decided(2)
    assert calling.woken == 0
    calling.fleet.twins[SECOND, DRIVERI].places = 1
    calling.decided(2, SECOND)
    assert calling.woken == 1


def test_the_reserved_slots_are_left_to_accounts_without_a_call_under_way(calling: Calling) -> None:
    calling.deliveries.most_calls = 4 + RESERVED_SLOTS
    calling.decided(20)
    assert len(calling.begun) == 4
    calling.decided(1, SECOND)
    assert calling.begun[-1].driver == (SECOND, "p0")
    assert calling.deliveries.most_calls < MOST_CALLS


def test_an_outcome_and_the_next_start_share_a_commit(calling: Calling) -> None:
    calling.fleet.twins[ACME, DRIVERI].places = 1
    calling.decided(2)
    calling.store.commits = 0
    calling.answer()
    assert (calling.store.commits, drivers(calling)) == (1, ["p1"])


def test_a_call_is_not_repeated_by_a_process_that_has_lost_its_partitions(calling: Calling) -> None:
    twin = calling.fleet.twins[ACME, DRIVERI]
    say(calling.fleet, CreateDecided)
    twin.fail_writes(NO_ANSWER, 1)

    def lose(call: str, _moment: str) -> None:
        calling.store.has_lost_its_partitions = call.startswith("find")

    twin.touched = lose
    with pytest.raises(StoreConflict):
        calling.answer()
    assert twin.called == ["create D1", "find D1"]
    assert effects(calling.fleet) == []


def test_what_was_taken_out_of_turn_by_a_commit_that_failed_is_still_due(calling: Calling) -> None:
    calling.fleet.twins[ACME, DRIVERI].places = 1
    calling.decided(2)
    calling.store.has_lost_its_partitions = True
    with pytest.raises(StoreConflict):
        calling.answer()
    calling.store.has_lost_its_partitions = False
    calling.deliveries.abandon({(ACME, "p0")})  # type: ignore[arg-type]
    calling.deliveries.turn([])
    assert drivers(calling) == ["p0"]
    assert calling.begun[0].was_started


def test_what_was_decided_before_the_process_had_its_partitions_is_left_to_its_start(calling: Calling) -> None:
    app = calling.fleet.projectors[DRIVERI]
    app._assignment.hold(())
    say(calling.fleet, CreateDecided)
    assert calling.begun == []
    app._assignment.hold((0,))
    say(calling.fleet, CreateDecided, "p2", desired_key="D2")
    assert calling.begun == []
    calling.deliveries.turn([])
    assert drivers(calling) == ["p1", "p2"]


def left(calling: Calling) -> int:
    store = calling.fleet.projector_stores[DRIVERI]
    return sum(store.count(row, where)[()] for row, where in SERVICES[f"projector-{DRIVERI}"].to_do)


def test_a_call_under_way_is_left_to_do_and_one_that_was_given_up_is_not(calling: Calling) -> None:
    twin = calling.fleet.twins[ACME, DRIVERI]
    twin.down = "before", NO_ANSWER
    say(calling.fleet, CreateDecided)
    for _ in range(MOST_TRIES):
        assert left(calling) == 1
        calling.answer()
        calling.fleet.wait(hours=27)
        calling.deliveries.turn([])
    assert answered(calling.fleet)[-1] == ("p1", 1, "refused")
    assert (left(calling), waiting(calling.fleet)["started"]) == (0, 1)


def test_a_link_that_ended_has_nothing_in_hand(calling: Calling) -> None:
    calling.deliveries.begin_by(None)
    say(calling.fleet, CreateDecided)
    end(calling.fleet)
    found = [calling.fleet.projector_stores[DRIVERI].count(DeliveryRow, {each: FILLED}) for each in ("due", "started")]
    assert found == [{(): 0}, {(): 0}]
