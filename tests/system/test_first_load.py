"""Two thousand drivers, or ten thousand, one of them poison, at targets that answer 429 to a third of all calls.

Everything is real except the network and the time: as soon as everything waits, it is later.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from adapters.http.client import RateLimiter, RateLimits
from domain.account import Mode
from domain.failures import Reason, Rejected
from domain.identity import AccountId, PortalDriverId, Target
from domain.ports import PortalLine, TargetDrivers
from domain.profile import Profile
from domain.store import Store
from services.api.backlog import left_to_do
from services.decider.read_models import LinkRow
from services.wiring.registry import SERVICES
from tests.support import travelling_time
from tests.support.limited_targets import LimitedTargets
from tests.support.stated import whole
from tests.support.stepped_services import SteppedServices, person

ACCOUNTS: Final = {AccountId(f"{target}-{number}"): target for target in Target for number in range(10)}
"""The target of each account that opts in with all of its drivers."""

PARTS: Final = 5
"""In how many lists each account's drivers come, so that no account is decided long before the others."""

LATE: Final = {AccountId(f"late-{target}"): target for target in Target}
"""Accounts with a single driver, who comes amid the first load of all others."""

AMID: Final = 1 / 5
"""The share of all drivers that has been created at a target when the late one comes."""

POISONED: Final = AccountId("motive-0")
POISON: Final = 7
"""The number of a driver whose e-mail address somebody in another company of Motive has."""

STORM: Final = (
    {"fault": "limited", "share": 1 / 6, "retry_after": 1},
    {"fault": "limited", "share": 1 / 5, "retry_after": None},
)
"""The second is about those that are left by the first: together a third, half of which name no time."""

LIMITS: Final = RateLimits(calls_per_second=10_000.0, calls_at_once=32)
CALLS_EACH: Final = 2
"""The fewest calls that create a driver: what was created is read back."""


class LimitedServices(SteppedServices):
    """Every service running at once, in a loop's own time, in front of both sandboxes."""

    def __init__(self, folder: Path, targets: LimitedTargets, of_each: int) -> None:
        self.of_each = of_each
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reached: dict[AccountId, TargetDrivers] = {}
        super().__init__(folder, {})
        self.targets = targets

    @property
    def drivers(self) -> int:
        """All drivers of the accounts that opt in with theirs."""
        return len(ACCOUNTS) * self.of_each

    @property
    def amid(self) -> int:
        """How many drivers have been created at a target when the late one comes."""
        return round(self.drivers / len(Target) * AMID)

    def clock(self) -> datetime:
        """The present moment: as the loop has it, once there is one."""
        return super().clock() + timedelta(seconds=self._loop.time() if self._loop else 0.0)

    def opt_in(self, account: AccountId, target: Target) -> None:
        """An account wants its drivers at this target only."""
        self.add(account, is_on=False)
        for other in Target:
            self.set_mode(other, Mode.FULL if other is target else Mode.OFF, account)
        self.turn_on(account)

    def state_many(self, account: AccountId, drivers: range) -> None:
        """The Portal states these drivers of an account."""
        stated = [
            PortalLine(line=number, driver=PortalDriverId(str(number)), profile=whole(profile_of(account, number)))
            for number in drivers
        ]
        self.intake.take_list(account, stated, source="api")

    async def run_all(self) -> None:
        """Run until nothing is left to do; amid that the late drivers come."""
        self._loop = asyncio.get_running_loop()
        for account, target in (ACCOUNTS | LATE).items():
            self._reached[account] = self.targets.reached(target, account, RateLimiter(LIMITS, clock=self._loop.time))
        running = [asyncio.create_task(self.decider.run())]
        running += [asyncio.create_task(app.run()) for app in self.projectors.values()]
        await asyncio.gather(*(self._come_late(account, target) for account, target in LATE.items()))
        await self._rest()
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _come_late(self, account: AccountId, target: Target) -> None:
        await self.targets.counting[target].until(self.amid)
        await asyncio.to_thread(self.state_many, account, range(1))

    async def _rest(self) -> None:
        while await self._left():  # noqa: ASYNC110 - there is no event when everything is done
            await asyncio.sleep(5.0)

    async def _left(self) -> int:
        stores = (self.accounts_store, self.intake_store, self.decider_store, *self.projector_stores.values())
        needed = [each for each in SERVICES.values() if not each.is_optional]
        left = await self.decider.call(
            left_to_do,
            needed,
            {each.name: store for each, store in zip(needed, stores, strict=True)},
            in_place=True,
            clock=self.clock,
        )
        return left.left

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _connect(self, target: Target, account: AccountId) -> TargetDrivers | Rejected:
        assert (ACCOUNTS | LATE)[account] is target
        return self._reached[account]


def profile_of(account: AccountId, number: int) -> Profile:
    """A driver that no other account has."""
    return person(number, email=f"p{number}@{account}")


@pytest.fixture(params=[100, pytest.param(500, marks=pytest.mark.long)], ids="{} of each account".format)
def services(request: pytest.FixtureRequest, tmp_path: Path) -> LimitedServices:
    """Everybody has opted in, and a third of all calls will be answered 429."""
    targets = LimitedTargets([*ACCOUNTS, *LATE], taken=[profile_of(POISONED, POISON)["email"]])
    asyncio.run(targets.switch_on(*STORM))
    services = LimitedServices(tmp_path, targets, request.param)
    for account, target in (ACCOUNTS | LATE).items():
        services.opt_in(account, target)
    part = services.of_each // PARTS
    for start in range(0, services.of_each, part):
        for account in ACCOUNTS:
            services.state_many(account, range(start, start + part))
    return services


def test_a_first_load_gets_through_a_storm_of_429(services: LimitedServices) -> None:
    travelling_time.run(services.run_all())
    only_the_poison_is_parked(services.decider_store, services.drivers)
    services.close()
    for target, counting in services.targets.counting.items():
        desired = services.drivers // len(Target) + 1
        assert len(counting.made) == len(set(counting.made)) == desired - (target is Target.MOTIVE)
        assert counting.refused == pytest.approx((counting.refused + counting.served) / 3, rel=0.1)
        assert counting.served <= 1.05 * CALLS_EACH * desired
        every_account_gets_its_share([made.partition("@")[2] for made in counting.made], services.amid)


def only_the_poison_is_parked(links: Store, drivers: int) -> None:
    """With what a person needs to know; everybody else is in sync."""
    assert links.count(LinkRow, by=["state"]) == {("in_sync",): drivers + len(LATE) - 1, ("parked",): 1}
    (parked,) = links.select(LinkRow, {"state": "parked"})
    assert (parked.account, parked.driver, parked.target) == (POISONED, str(POISON), Target.MOTIVE)
    assert parked.reason == Reason.TAKEN_ELSEWHERE
    assert "the e-mail address or the username belongs to a user that this company cannot see" in parked.detail


def every_account_gets_its_share(made: list[str], amid: int) -> None:
    """By the accounts of all drivers who were created, in that order."""
    late = [place for place, account in enumerate(made) if account in LATE]
    assert late[0] < amid + 150
    first_half = Counter(made[: len(made) // 2])
    fair = sum(first_half.values()) / len(first_half)
    assert min(first_half[account] for account in {*made} - {*LATE}) > fair / 2
