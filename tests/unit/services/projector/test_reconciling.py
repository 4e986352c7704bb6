"""When rosters are scanned, how many at a time, and how one driver is looked up."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from domain.account import Mode
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Target
from domain.matching import ObservedDriver, UnreadableRecords
from domain.outcomes import RosterScanFailed, RosterScanned
from domain.reconciliation import next_reconciliation
from services.projector.read_models import ScanProgress
from services.projector.scanning import MOST_SCANS, MOST_SCANS_IN_HAND
from services.projector.scans import RosterScan
from tests.support.hanging import HANGS
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment, TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.rosters import due, request, shown
from tests.unit.services.projector.sayings import reported

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")


def completed(fleet: SteppedServices, target: Target = DRIVERI) -> list[RosterScanned]:
    return [event for event in reported(fleet, target) if isinstance(event, RosterScanned)]


def following(fleet: SteppedServices, account: AccountId) -> datetime:
    return next_reconciliation(account, DRIVERI, "", fleet.now)


class TestDaily:
    """Scans that no person asks for."""

    def test_a_roster_is_scanned_again_when_its_daily_time_has_come_and_not_before(
        self, scanned: SteppedServices
    ) -> None:
        moments = {account: following(scanned, account) for account in (ACME, SECOND)}
        assert due(scanned) == []
        first, second = sorted(moments, key=moments.__getitem__)
        scanned.now = moments[first] - timedelta(seconds=1)
        assert due(scanned) == []
        scanned.now = moments[first]
        assert due(scanned) == [first]
        scanned.now = moments[second]
        assert due(scanned) == [first, second]
        scanned.scan(DRIVERI)
        assert due(scanned) == []

    def test_a_reconciliation_that_finds_everything_in_step_stores_one_event(self, scanned: SteppedServices) -> None:
        before = len(reported(scanned))
        scanned.wait(hours=25)
        scanned.scan(DRIVERI)
        assert [type(event) for event in reported(scanned)[before:]] == [RosterScanned] * 2

    def test_another_time_of_day_counts_at_once(self, scanned: SteppedServices) -> None:
        scanned.ask(lambda person, account: person.set_reconciliation_time(account, f"{scanned.now:%H}:59"))
        scanned.follow(DRIVERI)
        scanned.wait(hours=1, minutes=30)
        assert ACME in due(scanned)

    def test_a_daily_scan_that_was_missed_is_made_after_the_next_start(self, scanned: SteppedServices) -> None:
        scanned.wait(days=3)
        again = scanned.reopened()
        assert sorted(due(again)) == [ACME, SECOND]
        again.close()

    def test_a_clock_that_is_put_right_does_not_put_daily_scans_off(self, scanned: SteppedServices) -> None:
        scanned.wait(days=400)
        scanned.scan(DRIVERI)
        scanned.wait(days=-400)
        again = scanned.reopened()
        assert due(again) == []
        again.wait(days=1)
        assert sorted(due(again)) == [ACME, SECOND]
        again.close()

    def test_an_account_that_is_off_has_no_daily_scan(self, scanned: SteppedServices) -> None:
        scanned.set_mode(DRIVERI, Mode.OFF)
        scanned.turn_off(SECOND)
        scanned.follow(DRIVERI)
        scanned.wait(days=2)
        assert due(scanned) == []


class TestRequested:
    """Scans that a person waits for."""

    def test_a_requested_reconciliation_is_scanned_once_at_its_target(self, scanned: SteppedServices) -> None:
        request(scanned)
        assert due(scanned) == [ACME]
        scanned.scan(DRIVERI)
        assert completed(scanned)[-1].request == scanned.accounts.show(ACME).reconciliations[DRIVERI]
        assert due(scanned) == []
        scanned.follow(MOTIVE)
        assert due(scanned, MOTIVE) == []

    def test_a_request_during_a_scan_is_scanned_after_it(self, scanned: SteppedServices) -> None:
        request(scanned)
        scans = scanned.projectors[DRIVERI]._scans
        (scan,) = scans.due()
        request(scanned)
        scans.complete(scan, ())
        assert due(scanned) == [ACME]

    def test_requested_scans_come_before_daily_ones(self, scanned: SteppedServices) -> None:
        scanned.wait(hours=25)
        assert len(due(scanned)) == 2
        scanned.ask(lambda person, account: person.reconciliation(account, DRIVERI), SECOND)
        scanned.follow(DRIVERI)
        assert due(scanned) == [SECOND, ACME]


class TestWhatIsDue:
    """What is due is looked up only where something has happened."""

    def test_nothing_is_looked_up_while_nothing_happens(self, scanned: SteppedServices) -> None:
        reconciling = scanned.projectors[DRIVERI]._scanning
        reconciling.take()
        assert not reconciling._is_time()
        scanned.wait(seconds=6)
        assert reconciling._is_time()

    def test_it_is_time_when_an_account_has_changed_or_the_next_scan_is_due(self, scanned: SteppedServices) -> None:
        reconciling = scanned.projectors[DRIVERI]._scanning
        soonest = min(following(scanned, account) for account in (ACME, SECOND))
        scanned.now = soonest - timedelta(seconds=2)
        reconciling.take()
        assert not reconciling._is_time()
        scanned.now = soonest
        assert reconciling._is_time()
        reconciling.take()
        assert not reconciling._is_time()
        request(scanned)
        assert reconciling._is_time()

    def test_accounts_of_another_process_are_not_ours(self, scanned: SteppedServices) -> None:
        request(scanned)
        app = scanned.projectors[DRIVERI]
        app._assignment.hold(())
        assert due(scanned) == []
        app._scans.reload()
        assert due(scanned) == []
        app._assignment.hold((0,))
        app._scans.reload()
        assert due(scanned) == [ACME]


class TestFailed:
    """Scans that fail."""

    def test_it_is_made_again_after_longer_and_longer_waits_up_to_five_minutes(self, scanned: SteppedServices) -> None:
        twin, waits = scanned.twins[ACME, DRIVERI], list[float]()
        twin.breaks_off = 0, Unavailable(reason=Reason.LIMITED, detail="answered 429")
        request(scanned)
        for _ in range(8):
            begun = scanned.now
            assert scan_begun(scanned) == [ACME]
            while not scanned.projectors[DRIVERI]._scanning.take()[0]:
                scanned.wait(seconds=1)
            waits.append((scanned.now - begun).total_seconds())
        for waited, about in zip(waits, (5, 10, 20, 40, 80, 160, 300, 300), strict=True):
            assert about <= waited <= 1.1 * about + 1

    def test_a_success_ends_the_waits(self, scanned: SteppedServices) -> None:
        twin = scanned.twins[ACME, DRIVERI]
        twin.breaks_off = 0, DOWN
        request(scanned)
        scan_begun(scanned)
        scanned.wait(seconds=6)
        scan_begun(scanned)
        twin.breaks_off = None
        scanned.wait(seconds=11)
        assert scan_begun(scanned) == [ACME]
        twin.breaks_off = 0, DOWN
        request(scanned)
        scan_begun(scanned)
        scanned.wait(seconds=6)
        assert scan_begun(scanned) == [ACME]

    def test_another_request_does_not_wait(self, scanned: SteppedServices) -> None:
        scanned.twins[ACME, DRIVERI].breaks_off = 0, DOWN
        request(scanned)
        assert scan_begun(scanned) == [ACME]
        assert scan_begun(scanned) == []
        request(scanned)
        assert scan_begun(scanned) == [ACME]

    def test_a_breaker_that_has_opened_and_closed_ends_the_waits(self, scanned: SteppedServices) -> None:
        twin = scanned.twins[ACME, DRIVERI]
        twin.breaks_off = 0, Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
        request(scanned)
        assert scan_begun(scanned) == [ACME]
        assert scan_begun(scanned) == []
        twin.breaks_off = None
        scanned.wait(seconds=6)
        assert scanned.probe(DRIVERI) == 1
        scanned.now -= timedelta(seconds=4)
        assert scan_begun(scanned) == [ACME]


def scan_begun(fleet: SteppedServices) -> list[AccountId]:
    """What a running projector would begin now is scanned."""
    reconciling = fleet.projectors[DRIVERI]._scanning
    scans, *_ = reconciling.take()
    for scan in scans:
        asyncio.run(reconciling.scan(scan))
    return [scan.account for scan in scans]


class TestRunning:
    """The process of scans."""

    def test_a_place_that_comes_free_is_filled_at_once_though_others_take_long(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number}") for number in range(MOST_SCANS * 3)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            slow = twins[: MOST_SCANS - 1]
            asyncio.run(until(fleet, lambda: sum(twin.has_ended for twin in twins) == len(names) - len(slow), slow))
        assert {twin.most_at_once for twin in twins} == {1}
        assert SlowScan.most_under_way == MOST_SCANS

    def test_scans_that_wait_out_a_stop_hold_up_no_other_accounts(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number}") for number in range(MOST_SCANS * 2)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            stopped = twins[:MOST_SCANS]
            for twin in stopped:
                twin.places = 0

            def have_others_ended() -> bool:
                fleet.wait(seconds=1)
                fleet.projectors[DRIVERI].service.notify()
                return all(twin.has_ended for twin in twins[MOST_SCANS:])

            asyncio.run(until(fleet, have_others_ended, stopped))

    def test_scans_without_an_end_give_their_places_back(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number:02}") for number in range(MOST_SCANS * 3)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            endless = twins[: MOST_SCANS * 2]

            def have_others_ended() -> bool:
                fleet.wait(seconds=7)
                return all(twin.has_ended for twin in twins[len(endless) :])

            asyncio.run(until(fleet, have_others_ended, endless))

    def test_where_every_place_is_taken_by_endless_scans_one_of_them_gives_way(self, tmp_path: Path) -> None:
        names = [AccountId(f"fleet-{number:02}") for number in range(MOST_SCANS_IN_HAND + 3)]
        with running_fleet(tmp_path, names) as (fleet, twins):
            endless = twins[:MOST_SCANS_IN_HAND]

            def have_others_ended() -> bool:
                fleet.wait(seconds=7)
                return all(twin.has_ended for twin in twins[MOST_SCANS_IN_HAND:])

            asyncio.run(until(fleet, have_others_ended, endless))
            failed = [event for event in reported(fleet) if isinstance(event, RosterScanFailed)]
        assert failed
        assert {event.reason for event in failed} == {"down"}
        assert all(event.detail.endswith("and others had to wait") for event in failed)

    def test_no_account_is_scanned_twice_at_a_time(self, tmp_path: Path) -> None:
        with running_fleet(tmp_path, [ACME]) as (fleet, twins):
            (twin,) = twins
            begun = list[RosterScan]()

            def ask_again() -> None:
                request(fleet)
                assert due(fleet) == [ACME]
                begun.extend(fleet.projectors[DRIVERI]._scanning.take()[0])

            asyncio.run(until(fleet, lambda: twin.under_way == 1, twins, then=ask_again))
        assert begun == []


class SlowScan(TargetTwin):
    """A roster that is read to its end when it is let go."""

    now_under_way = 0
    most_under_way = 0

    def __init__(self) -> None:
        super().__init__(DRIVERI)
        self.may_end = True
        self.has_ended = False
        self.under_way = 0
        self.most_at_once = 0

    async def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:  # noqa: ARG002
        self._count(1)
        while not self.may_end:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        self._count(-1)
        self.has_ended = True
        yield []

    def _count(self, more: int) -> None:
        self.under_way += more
        SlowScan.now_under_way += more
        self.most_at_once = max(self.most_at_once, self.under_way)
        SlowScan.most_under_way = max(SlowScan.most_under_way, SlowScan.now_under_way)


class TestProgress:
    """What others can see of a scan under way."""

    def test_it_is_reported_once_a_second_and_is_gone_at_the_end(self, fleet: SteppedServices) -> None:
        progress = list[tuple[int, ...]]()
        twin = fleet.twins[ACME, DRIVERI]
        for number in range(550):
            twin.drivers.put(shown(number))

        def look(call: str, _moment: Moment) -> None:
            if call == "scan":
                progress.append(tuple(row.drivers for row in fleet.projector_stores[DRIVERI].select(ScanProgress)))
                fleet.wait(seconds=0.6)

        twin.touched = look
        fleet.follow(DRIVERI)
        fleet.scan(DRIVERI)
        assert progress == [(), (), (100,), (100,), (300,), (300,)]
        assert fleet.projector_stores[DRIVERI].select(ScanProgress) == []

    def test_what_a_kill_left_is_gone_after_the_next_start(self, scanned: SteppedServices) -> None:
        app = scanned.projectors[DRIVERI]
        request(scanned)
        app._scans.keep_progress(next(app._scans.due()), 100)
        assert len(scanned.projector_stores[DRIVERI].select(ScanProgress)) == 1
        app._scans.reload()
        assert scanned.projector_stores[DRIVERI].select(ScanProgress) == []


@contextmanager
def running_fleet(folder: Path, names: Sequence[AccountId]) -> Iterator[tuple[SteppedServices, list[SlowScan]]]:
    """Accounts that are on, none of them scanned yet."""
    SlowScan.now_under_way = SlowScan.most_under_way = 0
    twins = {(name, DRIVERI): SlowScan() for name in names}
    fleet = SteppedServices(folder, twins)
    for name in names:
        fleet.add(name)
    fleet.follow(DRIVERI)
    yield fleet, [*twins.values()]
    fleet.close()


async def until(
    fleet: SteppedServices,
    is_so: Callable[[], bool],
    slow: Sequence[SlowScan],
    then: Callable[[], None] = lambda: None,
) -> None:
    """Run the scans until that is so, and then until the slow ones have ended too."""
    for twin in slow:
        twin.may_end = False
    running = asyncio.create_task(fleet.projectors[DRIVERI]._scanning.run())
    async with asyncio.timeout(HANGS):
        while not is_so():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        await fleet.projectors[DRIVERI].service.call(then)
        for twin in slow:
            twin.may_end = True
        while not all(twin.has_ended for twin in slow):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
