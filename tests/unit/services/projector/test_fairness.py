"""How the slots for calls are shared between accounts."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from domain.driver_link import CreateDecided
from domain.identity import AccountId, Target
from domain.store import FILLED, Unit
from services.projector.deliveries import MOST_ACCOUNTS, RESERVED_SLOTS
from services.projector.read_models import DeliveryRow, Driver
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.sayings import say

PLACES = 32
"""For all accounts together."""


def desired(fleet: SteppedServices, number: int, account: AccountId = ACME) -> None:
    """`number` drivers of an account are to be created in Driveri."""
    for each in range(number):
        say(fleet, CreateDecided, f"p{each}", account=account, desired_key=f"D{each}", is_followed=False)
    fleet.follow(Target.DRIVERI)


def limit(fleet: SteppedServices, places: int, account: AccountId = ACME) -> None:
    """Driveri has so much room for an account."""
    fleet.twins[account, Target.DRIVERI].places = places


def started(fleet: SteppedServices, *busy: Driver, places: int = PLACES) -> list[Driver]:
    """Whose calls are started now."""
    return [attempt.driver for attempt in fleet.start(Target.DRIVERI, places - len(busy), *busy)]


def by_account(drivers: list[Driver]) -> dict[AccountId, int]:
    return dict(Counter(account for account, _ in drivers))


def is_held_up(fleet: SteppedServices) -> bool:
    return fleet.projectors[Target.DRIVERI]._deliveries.is_held_up


def test_no_more_calls_of_an_account_are_started_than_its_target_has_room_for(fleet: SteppedServices) -> None:
    desired(fleet, 9)
    limit(fleet, 4)
    first = started(fleet)
    assert len(first) == 4
    assert started(fleet, *first) == []
    assert len(started(fleet, *first[1:])) == 1


def test_a_stopped_account_leaves_its_places_to_the_others(fleet: SteppedServices) -> None:
    desired(fleet, 40)
    desired(fleet, 40, SECOND)
    limit(fleet, 0)
    assert by_account(started(fleet)) == {SECOND: PLACES - RESERVED_SLOTS}
    limit(fleet, 1000)
    assert ACME in by_account(started(fleet))


def test_an_account_whose_tasks_are_for_later_takes_no_place(fleet: SteppedServices) -> None:
    desired(fleet, 2)
    desired(fleet, 6, SECOND)
    store = fleet.projector_stores[Target.DRIVERI]
    later = (fleet.now + timedelta(hours=1)).isoformat()
    unit = Unit()
    unit.keep(replace(row, due=later) for row in store.select(DeliveryRow, {"account": str(ACME), "due": FILLED}))
    store.commit(unit)
    assert by_account(started(fleet, places=6 + RESERVED_SLOTS)) == {SECOND: 6}
    assert not is_held_up(fleet)
    fleet.wait(hours=1)
    assert ACME in by_account(started(fleet))


def test_one_change_amid_a_first_load_is_started_at_once(fleet: SteppedServices) -> None:
    desired(fleet, 100)
    busy = started(fleet)
    busy += started(fleet, *busy)
    desired(fleet, 1, SECOND)
    assert started(fleet, *busy)[0] == (SECOND, "p0")


def test_two_first_loads_share_the_places_evenly(fleet: SteppedServices) -> None:
    desired(fleet, 100)
    desired(fleet, 100, SECOND)
    shared = by_account(started(fleet))
    assert abs(shared[ACME] - shared[SECOND]) <= 1


def test_every_account_has_its_turn_however_many_there_are(fleet: SteppedServices) -> None:
    accounts = [AccountId(f"a{number:02}") for number in range(MOST_ACCOUNTS + 5)]
    assert isinstance(fleet.twins, dict)
    for account in accounts:
        fleet.twins[account, Target.DRIVERI] = TargetTwin(Target.DRIVERI)
        fleet.add(account)
        desired(fleet, 5, account)
    served = [drivers[0][0] for drivers in (started(fleet, places=1) for _ in accounts)]
    assert sorted(served) == sorted(accounts)


def test_what_is_left_for_want_of_room_is_known(fleet: SteppedServices) -> None:
    desired(fleet, 2)
    limit(fleet, 1)
    first = started(fleet)
    assert started(fleet, *first) == []
    assert is_held_up(fleet)
    limit(fleet, 2)
    assert len(started(fleet, *first)) == 1
    assert not is_held_up(fleet)
