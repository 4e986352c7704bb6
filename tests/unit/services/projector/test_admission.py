"""Who may begin calls now, and how many."""

from hypothesis import given
from hypothesis import strategies as st

from domain.failures import Reason, Rejected
from domain.identity import AccountId, Target
from domain.ports import TargetDrivers
from services.projector.calls import Connected
from services.projector.deliveries import RESERVED_SLOTS, fill_slots
from tests.support.target_twin import TargetTwin

LARGE, SMALL, OTHER = AccountId("large"), AccountId("small"), AccountId("other")

queues = st.dictionaries(
    st.sampled_from([LARGE, SMALL, OTHER]), st.integers(min_value=0, max_value=40), min_size=1
).map(lambda sizes: {account: [f"{account} {each}" for each in range(size)] for account, size in sizes.items()})
accounts = st.frozensets(st.sampled_from([LARGE, SMALL, OTHER]))


def queue(account: AccountId, size: int) -> dict[AccountId, list[str]]:
    return {account: [f"{account} {each}" for each in range(size)]}


def test_the_first_of_every_account_comes_before_any_second() -> None:
    waiting = queue(LARGE, 9) | queue(SMALL, 1) | queue(OTHER, 2)
    expected = ["large 0", "small 0", "other 0", "large 1", "other 1", "large 2", "large 3"]
    assert fill_slots(waiting, 7 + RESERVED_SLOTS, ()) == expected


def test_the_last_places_go_to_accounts_without_a_call_under_way() -> None:
    waiting = queue(LARGE, 9) | queue(SMALL, 9)
    assert fill_slots(waiting, RESERVED_SLOTS, {LARGE}) == ["small 0"]
    assert fill_slots(waiting, RESERVED_SLOTS + 1, {LARGE}) == ["small 0"]
    assert fill_slots(waiting, RESERVED_SLOTS + 2, {LARGE}) == ["small 0", "large 0"]
    assert fill_slots(waiting, RESERVED_SLOTS, {LARGE, SMALL}) == []


def test_a_single_place_is_enough_for_a_newcomer() -> None:
    assert fill_slots(queue(LARGE, 9) | queue(SMALL, 1), 1, {LARGE}) == ["small 0"]


def test_an_account_alone_gets_all_but_the_places_that_are_kept() -> None:
    assert len(fill_slots(queue(LARGE, 99), 32, {LARGE})) == 32 - RESERVED_SLOTS


def test_an_account_with_nothing_to_do_takes_no_place() -> None:
    assert fill_slots(queue(LARGE, 0) | queue(SMALL, 2), 2 + RESERVED_SLOTS, ()) == ["small 0", "small 1"]


@given(waiting=queues, places=st.integers(min_value=0, max_value=32), busy=accounts)
def test_no_delivery_is_admitted_twice_or_out_of_turn(
    waiting: dict[AccountId, list[str]], places: int, busy: frozenset[AccountId]
) -> None:
    found = fill_slots(waiting, places, busy)
    assert len(found) <= places
    for own in waiting.values():
        taken = [each for each in found if each in own]
        assert taken == own[: len(taken)]


@given(waiting=queues, places=st.integers(min_value=1, max_value=32), busy=accounts)
def test_no_account_gets_two_more_slots_than_another_that_still_waits(
    waiting: dict[AccountId, list[str]], places: int, busy: frozenset[AccountId]
) -> None:
    found = fill_slots(waiting, places, busy)
    got = {account: sum(each in own for each in found) for account, own in waiting.items()}
    waits = [got[account] for account, own in waiting.items() if got[account] < len(own)]
    assert max(got.values()) - min(waits, default=max(got.values())) <= 2


def test_the_room_is_what_the_target_says_when_it_is_reached() -> None:
    twin = TargetTwin(Target.DRIVERI)
    twin.places = 5
    connected = Connected(lambda _: twin)
    assert connected.slots(LARGE) == 5
    twin.places = 0
    assert connected.slots(LARGE) == 0


def test_one_call_is_made_to_learn_that_a_target_cannot_be_reached() -> None:
    connected = Connected(lambda _: Rejected(reason=Reason.NOT_CONFIGURED, detail="no credentials"))
    assert connected.slots(LARGE) == 1


def test_credentials_are_looked_up_for_calls_and_not_for_each_look_at_the_room() -> None:
    asked: list[AccountId] = []
    twins = {LARGE: TargetTwin(Target.DRIVERI), SMALL: TargetTwin(Target.DRIVERI)}

    def connect(account: AccountId) -> TargetDrivers | Rejected:
        asked.append(account)
        return twins[account]

    connected = Connected(connect)
    for account in (LARGE, LARGE, SMALL, LARGE):
        connected.slots(account)
    assert asked == [LARGE, SMALL]
    twins[LARGE] = TargetTwin(Target.DRIVERI)
    twins[LARGE].places = 3
    assert connected.to(LARGE) is twins[LARGE]
    assert connected.slots(LARGE) == 3
