"""When rosters are walked, how many at a time, and how one driver is looked up."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from domain.account import Mode
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Target
from domain.matching import TargetDriver, UnreadableRecords
from domain.outcomes import WalkCompleted, WalkFailed
from domain.reconciliation import next_sweep
from services.projector.read_models import Reading
from services.projector.scans import MOST_WALKS, MOST_WALKS_IN_HAND, Walk
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment, TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.rosters import due, request, shown
from tests.unit.services.projector.sayings import reported

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")


def completed(fleet: SteppedServices, target: Target = DRIVERI) -> list[WalkCompleted]:
    return [event for event in reported(fleet, target) if isinstance(event, WalkCompleted)]


def following(fleet: SteppedServices, account: AccountId) -> datetime:
    return next_sweep(account, DRIVERI, "", fleet.now)


class TestDaily:
    """Walks that nobody asks for."""

    def test_a_roster_is_walked_again_when_its_daily_time_has_come_and_not_before(
        self, walked: SteppedServices
    ) -> None:
        moments = {account: following(walked, account) for account in (ACME, SECOND)}
        assert due(walked) == []
        first, second = sorted(moments, key=moments.__getitem__)
        walked.now = moments[first] - timedelta(seconds=1)
        assert due(walked) == []
        walked.now = moments[first]
        assert due(walked) == [first]
        walked.now = moments[second]
        assert due(walked) == [first, second]
        walked.walk(DRIVERI)
        assert due(walked) == []

    def test_a_sweep_that_finds_everything_in_step_stores_one_event(self, walked: SteppedServices) -> None:
        before = len(reported(walked))
        walked.wait(hours=25)
        walked.walk(DRIVERI)
        assert [type(event) for event in reported(walked)[before:]] == [WalkCompleted] * 2

    def test_another_time_of_day_counts_at_once(self, walked: SteppedServices) -> None:
        walked.ask(lambda person, account: person.set_sweep_time(account, f"{walked.now:%H}:59"))
        walked.follow(DRIVERI)
        walked.wait(hours=1, minutes=30)
        assert ACME in due(walked)

    def test_a_daily_walk_that_was_missed_is_made_after_the_next_start(self, walked: SteppedServices) -> None:
        walked.wait(days=3)
        again = walked.reopened()
        assert sorted(due(again)) == [ACME, SECOND]
        again.close()

    def test_a_clock_that_is_put_right_does_not_put_daily_walks_off(self, walked: SteppedServices) -> None:
        walked.wait(days=400)
        walked.walk(DRIVERI)
        walked.wait(days=-400)
        again = walked.reopened()
        assert due(again) == []
        again.wait(days=1)
        assert sorted(due(again)) == [ACME, SECOND]
        again.close()

    def test_an_account_that_is_off_has_no_daily_walk(self, walked: SteppedServices) -> None:
        walked.set_mode(DRIVERI, Mode.OFF)
        walked.turn_off(SECOND)
        walked.follow(DRIVERI)
        walked.wait(days=2)
        assert due(walked) == []


class TestRequested:
    """Walks that somebody waits for."""

    def test_a_requested_sweep_is_walked_once_at_its_target(self, walked: SteppedServices) -> None:
        request(walked)
        assert due(walked) == [ACME]
        walked.walk(DRIVERI)
        assert completed(walked)[-1].request == walked.accounts.show(ACME).sweeps[DRIVERI]
        assert due(walked) == []
        walked.follow(MOTIVE)
        assert due(walked, MOTIVE) == []

    def test_a_request_during_a_walk_is_walked_after_it(self, walked: SteppedServices) -> None:
        request(walked)
        walks = walked.projectors[DRIVERI]._walks
        (walk,) = walks.due()
        request(walked)
        walks.complete(walk, ())
        assert due(walked) == [ACME]

    def test_whoever_waits_comes_before_daily_walks(self, walked: SteppedServices) -> None:
        walked.wait(hours=25)
        assert len(due(walked)) == 2
        walked.ask(lambda person, account: person.sweep(account, DRIVERI), SECOND)
        walked.follow(DRIVERI)
        assert due(walked) == [SECOND, ACME]


class TestWhatIsDue:
    """What is due is looked up only where something has happened."""

    def test_nothing_is_looked_up_while_nothing_happens(self, walked: SteppedServices) -> None:
        sweeping = walked.projectors[DRIVERI]._sweeping
        sweeping.take()
        assert not sweeping._is_time()
        walked.wait(seconds=6)
        assert sweeping._is_time()

    def test_it_is_time_when_an_account_has_changed_or_the_next_walk_is_due(self, walked: SteppedServices) -> None:
        sweeping = walked.projectors[DRIVERI]._sweeping
        soonest = min(following(walked, account) for account in (ACME, SECOND))
        walked.now = soonest - timedelta(seconds=2)
        sweeping.take()
        assert not sweeping._is_time()
        walked.now = soonest
        assert sweeping._is_time()
        sweeping.take()
        assert not sweeping._is_time()
        request(walked)
        assert sweeping._is_time()

    def test_accounts_of_another_process_are_not_ours(self, walked: SteppedServices) -> None:
        request(walked)
        app = walked.projectors[DRIVERI]
        app._share.hold(())
        assert due(walked) == []
        app._walks.look_anew()
        assert due(walked) == []
        app._share.hold((0,))
        app._walks.look_anew()
        assert due(walked) == [ACME]


class TestFailed:
    """Walks that fail."""

    def test_it_is_made_again_after_longer_and_longer_waits_up_to_five_minutes(self, walked: SteppedServices) -> None:
        twin, waits = walked.twins[ACME, DRIVERI], list[float]()
        twin.breaks_off = 0, Unavailable(reason=Reason.LIMITED, detail="answered 429")
        request(walked)
        for _ in range(8):
            begun = walked.now
            assert walk_begun(walked) == [ACME]
            while not walked.projectors[DRIVERI]._sweeping.take()[0]:
                walked.wait(seconds=1)
            waits.append((walked.now - begun).total_seconds())
        for waited, about in zip(waits, (5, 10, 20, 40, 80, 160, 300, 300), strict=True):
            assert about <= waited <= 1.1 * about + 1

    def test_a_success_ends_the_waits(self, walked: SteppedServices) -> None:
        twin = walked.twins[ACME, DRIVERI]
        twin.breaks_off = 0, DOWN
        request(walked)
        walk_begun(walked)
        walked.wait(seconds=6)
        walk_begun(walked)
        twin.breaks_off = None
        walked.wait(seconds=11)
        assert walk_begun(walked) == [ACME]
        twin.breaks_off = 0, DOWN
        request(walked)
        walk_begun(walked)
        walked.wait(seconds=6)
        assert walk_begun(walked) == [ACME]

    def test_another_request_does_not_wait(self, walked: SteppedServices) -> None:
        walked.twins[ACME, DRIVERI].breaks_off = 0, DOWN
        request(walked)
        assert walk_begun(walked) == [ACME]
        assert walk_begun(walked) == []
        request(walked)
        assert walk_begun(walked) == [ACME]

    def test_a_breaker_that_has_opened_and_closed_ends_the_waits(self, walked: SteppedServices) -> None:
        twin = walked.twins[ACME, DRIVERI]
        twin.breaks_off = 0, Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
        request(walked)
        assert walk_begun(walked) == [ACME]
        assert walk_begun(walked) == []
        twin.breaks_off = None
        walked.wait(seconds=6)
        assert walked.probe(DRIVERI) == 1
        walked.now -= timedelta(seconds=4)
        assert walk_begun(walked) == [ACME]


def walk_begun(fleet: SteppedServices) -> list[AccountId]:
    """What a running projector would begin now is walked."""
    sweeping = fleet.projectors[DRIVERI]._sweeping
    walks, _ = sweeping.take()
    for walk in walks:
        asyncio.run(sweeping.walk(walk))
    return [walk.account for walk in walks]


class TestRunning:
    """The process of walks."""

    def test_a_place_that_comes_free_is_filled_at_once_though_others_take_long(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number}") for number in range(MOST_WALKS * 3)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            slow = twins[: MOST_WALKS - 1]
            asyncio.run(until(fleet, lambda: sum(twin.has_ended for twin in twins) == len(names) - len(slow), slow))
        assert {twin.most_at_once for twin in twins} == {1}
        assert SlowWalk.most_under_way == MOST_WALKS

    def test_walks_that_outwait_a_stop_hold_up_no_other_accounts(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number}") for number in range(MOST_WALKS * 2)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            stopped = twins[:MOST_WALKS]
            for twin in stopped:
                twin.places = 0

            def have_others_ended() -> bool:
                fleet.wait(seconds=1)
                fleet.projectors[DRIVERI].service.ring()
                return all(twin.has_ended for twin in twins[MOST_WALKS:])

            asyncio.run(until(fleet, have_others_ended, stopped))

    def test_walks_without_an_end_give_their_places_back(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number:02}") for number in range(MOST_WALKS * 3)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            endless = twins[: MOST_WALKS * 2]

            def have_others_ended() -> bool:
                fleet.wait(seconds=7)
                return all(twin.has_ended for twin in twins[len(endless) :])

            asyncio.run(until(fleet, have_others_ended, endless))

    def test_where_every_place_is_taken_by_endless_walks_one_of_them_gives_way(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number:02}") for number in range(MOST_WALKS_IN_HAND + 3)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            endless = twins[:MOST_WALKS_IN_HAND]

            def have_others_ended() -> bool:
                fleet.wait(seconds=7)
                return all(twin.has_ended for twin in twins[MOST_WALKS_IN_HAND:])

            asyncio.run(until(fleet, have_others_ended, endless))
            failed = [event for event in reported(fleet) if isinstance(event, WalkFailed)]
        assert failed
        assert {event.reason for event in failed} == {"down"}
        assert all(event.detail.endswith("and others had to wait") for event in failed)

    def test_no_account_is_walked_twice_at_a_time(self, tmp_path: Path) -> None:
        with running_fleet(tmp_path, [ACME]) as (fleet, twins):
            (twin,) = twins
            begun = list[Walk]()

            def ask_again() -> None:
                request(fleet)
                assert due(fleet) == [ACME]
                begun.extend(fleet.projectors[DRIVERI]._sweeping.take()[0])

            asyncio.run(until(fleet, lambda: twin.under_way == 1, twins, then=ask_again))
        assert begun == []


class SlowWalk(TargetTwin):
    """A roster that is read to its end when it is let go."""

    now_under_way = 0
    most_under_way = 0

    def __init__(self) -> None:
        super().__init__(DRIVERI)
        self.may_end = True
        self.has_ended = False
        self.under_way = 0
        self.most_at_once = 0

    async def walk(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[TargetDriver], None]:  # noqa: ARG002
        self._count(1)
        while not self.may_end:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        self._count(-1)
        self.has_ended = True
        yield []

    def _count(self, more: int) -> None:
        self.under_way += more
        SlowWalk.now_under_way += more
        self.most_at_once = max(self.most_at_once, self.under_way)
        SlowWalk.most_under_way = max(SlowWalk.most_under_way, SlowWalk.now_under_way)


class TestProgress:
    """What others can see of a walk under way."""

    def test_it_is_told_once_a_second_and_is_gone_at_the_end(self, fleet: SteppedServices) -> None:
        told = list[tuple[int, ...]]()
        twin = fleet.twins[ACME, DRIVERI]
        for number in range(550):
            twin.drivers.put(shown(number))

        def look(call: str, _moment: Moment) -> None:
            if call == "walk":
                told.append(tuple(row.drivers for row in fleet.projector_stores[DRIVERI].select(Reading)))
                fleet.wait(seconds=0.6)

        twin.touched = look
        fleet.follow(DRIVERI)
        fleet.walk(DRIVERI)
        assert told == [(), (), (100,), (100,), (300,), (300,)]
        assert fleet.projector_stores[DRIVERI].select(Reading) == []

    def test_what_a_kill_left_is_gone_after_the_next_start(self, walked: SteppedServices) -> None:
        app = walked.projectors[DRIVERI]
        request(walked)
        app._walks.tell_progress(app._walks.due()[0], 100)
        assert len(walked.projector_stores[DRIVERI].select(Reading)) == 1
        app._walks.look_anew()
        assert walked.projector_stores[DRIVERI].select(Reading) == []


@contextmanager
def running_fleet(folder: Path, names: Sequence[AccountId]) -> Iterator[tuple[SteppedServices, list[SlowWalk]]]:
    """Accounts that are on, none of them walked yet."""
    SlowWalk.now_under_way = SlowWalk.most_under_way = 0
    twins = {(name, DRIVERI): SlowWalk() for name in names}
    fleet = SteppedServices(folder, twins)
    for name in names:
        fleet.add(name)
    fleet.follow(DRIVERI)
    yield fleet, [*twins.values()]
    fleet.close()


async def until(
    fleet: SteppedServices,
    is_so: Callable[[], bool],
    slow: Sequence[SlowWalk],
    then: Callable[[], None] = lambda: None,
) -> None:
    """Run the walks until that is so, and then until the slow ones have ended too."""
    for twin in slow:
        twin.may_end = False
    running = asyncio.create_task(fleet.projectors[DRIVERI]._sweeping.run())
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        await fleet.projectors[DRIVERI].service.call(then)
        for twin in slow:
            twin.may_end = True
        while not all(twin.has_ended for twin in slow):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
