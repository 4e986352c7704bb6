"""When accounts are read by the Portal's API, and what becomes of trouble."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.identity import AccountId, PortalDriverId
from domain.ports import CredentialsUnreadable, PortalLine
from domain.store import StoreFailed
from services.intake import polling
from services.intake.polling import (
    LONGEST_READING,
    MOST_READINGS,
    SLOW_READING,
    ListReader,
    Polling,
)
from services.intake.read_models import ReadingRow
from services.runtime.service import Notifier, Service
from services.wiring.registry import INTAKE_ROWS
from tests.support import travelling_time
from tests.support.stated import said
from tests.support.unstorable import uncleaned

ACME, OTHER = AccountId("acme"), AccountId("other")
EVERY = 300.0
BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class Listed:
    """A list of two."""

    def __len__(self) -> int:
        return 2

    def pages(self) -> Iterator[Sequence[PortalLine]]:
        profile = said(first_name="Jane", last_name="Doe")
        yield [PortalLine(driver=PortalDriverId(number), profile=profile) for number in ("1", "2")]


@dataclass(slots=True, kw_only=True)
class Portal:
    """The Portal as one account reaches it: `PortalDrivers`, which answers as the test says."""

    login: str = "maria"
    has_attributes: bool = False
    trouble: Rejected | Unavailable | Exception | None = None
    asked_at: list[float] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def list_all(self) -> Listed:
        self.asked_at.append(asyncio.get_running_loop().time())
        if self.gate:
            await self.gate.wait()
        match self.trouble:
            case None:
                return Listed()
            case Exception() as failure:
                raise failure
            case failure:
                raise TargetFailed(failure)

    async def with_attributes(self, lines: Sequence[PortalLine]) -> Sequence[PortalLine]:
        return lines

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True, kw_only=True)
class Portals:
    """Who is connected, and how."""

    found: dict[AccountId, Portal | Rejected] = field(default_factory=dict)
    changed: set[AccountId] = field(default_factory=set)
    unreadable: str = ""
    is_closed: bool = False

    def accounts(self) -> Sequence[AccountId]:
        if self.unreadable:
            raise CredentialsUnreadable(self.unreadable)
        return sorted(self.found)

    def has_changed(self, account: AccountId) -> bool:
        return account in self.changed

    def to(self, account: AccountId) -> Portal | Rejected:
        self.changed.discard(account)
        return self.found[account]

    async def close(self) -> None:
        self.is_closed = True


class Lock:
    """A leader lock that another process can have."""

    def __init__(self) -> None:
        self.is_ours = True
        self.is_lost = False

    def take(self) -> bool:
        return self.is_ours

    def wait(self, seconds: float) -> None:  # noqa: ARG002 - the signature of a leader lock
        if self.is_lost:
            raise StoreFailed("the database has gone")

    def close(self) -> None:
        """Leave it to another process."""


class Stand:
    """Polling, in a time that passes at once."""

    def __init__(self, folder: Path) -> None:
        self.portals, self.lock = Portals(), Lock()
        self.ahead = timedelta()
        self.store = SqliteStore(folder / "intake.sqlite", log_name="portal.driver-changes.v1", rows=INTAKE_ROWS)
        notifier, self._loop_time = Notifier(), asyncio.get_running_loop().time
        self.service = Service("intake", store=self.store, clock=self.now, notifier=notifier)
        self.polling = Polling(
            ListReader(self.service, self.now, every=EVERY, most_asked=1000),
            portals=self.portals,
            lock=self.lock,
            notifier=notifier,
            time=self._loop_time,
        )

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._loop_time()) + self.ahead

    def row(self, account: AccountId = ACME) -> ReadingRow:
        (row,) = self.store.select(ReadingRow, {"account": account})
        return row


@asynccontextmanager
async def polled(folder: Path) -> AsyncIterator[Stand]:
    stand = Stand(folder)
    with closing(stand.service):
        running = asyncio.create_task(stand.polling.run())
        yield stand
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert stand.portals.is_closed


def test_each_account_is_read_at_once_and_then_at_its_interval_and_up_to_a_tenth_more(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            portals = {account: Portal() for account in (ACME, OTHER)}
            stand.portals.found.update(portals)
            await asyncio.sleep(3600)
            gaps = [
                later - earlier
                for portal in portals.values()
                for earlier, later in zip(portal.asked_at, portal.asked_at[1:], strict=False)
            ]
            assert len(gaps) >= 18
            assert all(EVERY <= gap <= EVERY * 1.1 + 10 for gap in gaps)
            assert portals[ACME].asked_at[-1] != portals[OTHER].asked_at[-1]
            assert (stand.row().drivers, stand.row().failure) == (2, "")

    travelling_time.run(scene())


def test_a_process_that_starts_again_keeps_to_the_interval(tmp_path: Path) -> None:
    async def scene() -> None:
        portal = Portal()
        for _ in range(2):
            async with polled(tmp_path) as stand:
                stand.portals.found[ACME] = portal
                await asyncio.sleep(60)
        assert len(portal.asked_at) == 1

    travelling_time.run(scene())


def test_other_credentials_are_tried_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            stand.portals.found[ACME] = Portal(trouble=Rejected(reason=Reason.CREDENTIALS, detail="answered 403"))
            await asyncio.sleep(20)
            assert stand.row().failure == "credentials: answered 403"
            stand.portals.found[ACME], stand.portals.changed = Portal(login="bob"), {ACME}
            await asyncio.sleep(20)
            assert (stand.row().failure, stand.row().drivers) == ("", 2)

    travelling_time.run(scene())


@pytest.mark.parametrize(
    ("trouble", "failure"),
    [
        (Unavailable(reason=Reason.DOWN, detail="answered 500"), "down: answered 500"),
        (RuntimeError("jane@fleet.test"), "down: unexpected RuntimeError"),
    ],
)
def test_a_failure_of_one_account_is_stored_and_does_not_hold_up_the_others(
    tmp_path: Path, trouble: Unavailable | Exception, failure: str
) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            stand.portals.found.update({ACME: Portal(trouble=trouble), OTHER: Portal()})
            await asyncio.sleep(20)
            assert (stand.row().failure, stand.row().at) == (failure, "")
            assert stand.row(OTHER).failure == ""
            since = stand.row().failing_since
            await asyncio.sleep(600)
            assert stand.row().failing_since == since

    travelling_time.run(scene())


@pytest.mark.parametrize("asked_for", [1767268860.0, 1767268860000.0, 1e300, float("inf"), float("nan"), -1e300])
def test_an_account_waits_a_day_at_most_whatever_the_portal_asks_for(tmp_path: Path, asked_for: float) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            limited = Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=asked_for)
            portal, other = Portal(trouble=limited), Portal()
            stand.portals.found.update({ACME: portal, OTHER: other})
            await asyncio.sleep(900)
            assert stand.row().failure == "limited: answered 429"
            assert datetime.fromisoformat(stand.row().next_at) <= stand.now() + timedelta(days=1)
            assert len(other.asked_at) >= 3

    travelling_time.run(scene())


@pytest.mark.parametrize("step", ["to", "begin", "fail"])
def test_a_failure_of_what_handles_failures_stays_with_its_account(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            stand.portals.found[ACME] = Portal(trouble=Rejected(reason=Reason.CREDENTIALS, detail="answered 403"))
            stand.portals.found[OTHER] = other = Portal()
            owner = stand.portals if step == "to" else stand.polling._reader
            working = getattr(owner, step)

            def breaking(account: AccountId, *rest: object) -> object:
                if account == ACME:
                    raise OverflowError
                return working(account, *rest)

            monkeypatch.setattr(type(owner), step, lambda _, *given: breaking(*given))
            await asyncio.sleep(900)
            assert len(other.asked_at) >= 3

    travelling_time.run(scene())


def test_words_that_cannot_be_stored_are_replaced(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            stand.portals.found[ACME] = Portal(trouble=uncleaned(Rejected(reason=Reason.CREDENTIALS, detail="")))
            await asyncio.sleep(20)
            assert stand.row().failure == "down: unexpected UnicodeEncodeError"

    travelling_time.run(scene())


def test_who_cannot_be_reached_learns_why(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            stand.portals.found[ACME] = Rejected(reason=Reason.NOT_CONFIGURED, detail="no credentials")
            await asyncio.sleep(20)
            assert stand.row().failure == "not_configured: no credentials"

    travelling_time.run(scene())


def test_an_account_that_is_limited_is_left_alone_for_as_long_as_the_portal_asks(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            limited = Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=1800.0)
            portal = Portal(trouble=limited)
            stand.portals.found[ACME] = portal
            await asyncio.sleep(1700)
            assert len(portal.asked_at) == 1
            await asyncio.sleep(200)
            assert len(portal.asked_at) == 2

    travelling_time.run(scene())


def test_a_slow_list_is_read_once_and_holds_up_no_other(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            slow, other = Portal(gate=asyncio.Event()), Portal()
            stand.portals.found.update({ACME: slow, OTHER: other})
            await asyncio.sleep(LONGEST_READING - 60)
            assert (len(slow.asked_at), len(other.asked_at) >= 5) == (1, True)

    travelling_time.run(scene())


def test_lists_without_an_end_give_their_places_back_and_end_with_a_reason(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            endless = {AccountId(f"a-{n:02}"): Portal(gate=asyncio.Event()) for n in range(MOST_READINGS * 3)}
            other = Portal()
            stand.portals.found.update({**endless, OTHER: other})
            await asyncio.sleep(SLOW_READING * 5)
            assert len(other.asked_at) == 1
            assert {len(each.asked_at) for each in endless.values()} == {1}
            await asyncio.sleep(LONGEST_READING)
            assert stand.row(AccountId("a-00")).failure == "down: the list was not read within 30 minutes"
            assert len(other.asked_at) >= 5

    travelling_time.run(scene())


def test_a_list_of_invented_drivers_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "MOST_LINES", 1)

    async def scene() -> None:
        async with polled(tmp_path) as stand:
            stand.portals.found[ACME] = Portal()
            await asyncio.sleep(20)
            failure = "down: the list has 2 lines, and no more than 1 are believed: check what the login sees"
            assert stand.row().failure == failure
            assert stand.store.log.end() == 0

    travelling_time.run(scene())


def test_a_clock_that_was_a_day_ahead_and_is_right_again_lets_no_account_wait(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            portal = Portal()
            stand.portals.found[ACME] = portal
            stand.ahead = timedelta(days=3)
            await asyncio.sleep(20)
            assert len(portal.asked_at) == 1
            stand.ahead = timedelta()
            await asyncio.sleep(20)
            assert len(portal.asked_at) == 2

    travelling_time.run(scene())


def test_no_list_is_read_while_another_process_has_the_lock(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            stand.lock.is_ours = False
            portal = Portal()
            stand.portals.found[ACME] = portal
            await asyncio.sleep(600)
            assert portal.asked_at == []
            stand.lock.is_ours = True
            await asyncio.sleep(20)
            assert len(portal.asked_at) == 1

    travelling_time.run(scene())


def test_a_lock_that_is_lost_ends_the_process(tmp_path: Path) -> None:
    async def scene() -> None:
        stand = Stand(tmp_path)
        stand.lock.is_lost = True
        with closing(stand.service), pytest.raises(ExceptionGroup) as ended:
            await stand.polling.run()
        assert ended.group_contains(StoreFailed)

    travelling_time.run(scene())


def test_credentials_that_cannot_be_read_are_waited_for(tmp_path: Path) -> None:
    async def scene() -> None:
        async with polled(tmp_path) as stand:
            portal = Portal()
            stand.portals.found[ACME], stand.portals.unreadable = portal, "set DRIVERLINK_SECRET_KEY"
            await asyncio.sleep(60)
            assert portal.asked_at == []
            stand.portals.unreadable = ""
            await asyncio.sleep(20)
            assert len(portal.asked_at) == 1

    travelling_time.run(scene())
