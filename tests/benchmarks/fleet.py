"""An account and its drivers, and what is heard of them: all made up, and always the same."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.account import Account, AccountEvent, Mode, Request, Tier, apply
from domain.driver_link import Decision
from domain.identity import AccountId, Key, PortalDriverId, Target, delivery_stream, scan_stream
from domain.outcomes import CallAnswered, Outcome, RosterScanned
from domain.portal import PortalDriver, PortalDriverEvent, Statement, replay
from tests.support.stated import whole

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)

MASTER_USER = "jane"


def profile(number: int, *, edition: int = 1) -> dict[str, str]:
    """Everything that the Portal can state of a driver; editions differ in a field that both targets have."""
    return {
        "first_name": f"First {number}",
        "last_name": f"Last {number} {edition}",
        "ref_id": f"R{number:06}",
        "driveri_driver_id": f"D{number:06}",
        "email": f"driver{number}@fleet.test",
        "phone": f"+1 555 {number:07}",
        "time_zone": "America/Denver",
        "country": "US",
        "driveri_group": "North",
        "licence_number": f"L{number:07}",
        "licence_state": "TX",
        "licence_country": "US",
    }


def number_of(driver: str) -> int:
    """The number of a driver, from what the Portal or Driveri calls it."""
    return int(driver.rpartition("-")[2].removeprefix("D"))


def edition_of(last_name: str) -> int:
    """The edition that states this last name."""
    return int(last_name.rpartition(" ")[2])


def driver_of(account: str, number: int) -> PortalDriverId:
    """What the Portal calls the driver of this number."""
    return PortalDriverId(f"{account}-{number}")


def first_of(account: str) -> int:
    """The number of an account's first driver, which is part of its name."""
    return int(account.rpartition("-")[2])


def many_fleets(accounts: int, drivers: int) -> "list[Fleet]":
    """Accounts with as many drivers each, each called after the number of its first driver."""
    firsts = range(1, accounts * drivers + 1, drivers)
    return [Fleet(account=AccountId(f"fleet-{first}"), drivers=drivers, first=first) for first in firsts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One account with Sync Drivers on for both targets, and this many drivers, numbered from `first` on."""

    account: AccountId
    drivers: int
    first: int = 1

    @property
    def numbers(self) -> range:
        """The numbers of its drivers."""
        return range(self.first, self.first + self.drivers)

    def driver(self, number: int) -> PortalDriverId:
        """The driver of this number."""
        return driver_of(self.account, number)

    @property
    def account_events(self) -> tuple[AccountEvent, ...]:
        """That there is the account, and that its Master User has turned Sync Drivers on."""
        added = added_by(Request(by="operator", at=AT), Account(account=self.account))
        known = apply(Account(account=self.account), added[0])
        return (*added, *Request(by=MASTER_USER, at=AT).turn_on(known))

    @property
    def scans(self) -> tuple[RosterScanned, ...]:
        """That both rosters were scanned, and were empty."""
        policy_generation = self.account_events[-1].originator_version
        return tuple(self._scan(target, policy_generation) for target in Target)

    def changes(self, edition: int) -> Iterator[PortalDriverEvent]:
        """That each driver was created in the Portal (edition 1), or updated after that."""
        for number in self.numbers:
            yield from self._changed(number, edition)

    def _changed(self, number: int, edition: int) -> Sequence[PortalDriverEvent]:
        unknown = PortalDriver(account=self.account, driver=self.driver(number))
        known = replay(unknown, self._changed(number, edition - 1)) if edition > 1 else unknown
        return Statement(at=AT, source="api").present(known, whole(profile(number, edition=edition)))

    def _scan(self, target: Target, policy_generation: int) -> RosterScanned:
        return RosterScanned(
            originator_id=scan_stream(self.account, target),
            originator_version=1,
            at=AT,
            account=self.account,
            target=target,
            policy_generation=policy_generation,
            drivers=0,
            request=0,
        )


def added_by(operator: Request, unknown: Account, mode: Mode = Mode.FULL) -> tuple[AccountEvent, ...]:
    """What an operator does to make an account known, with the same mode for both targets."""
    modes = dict.fromkeys(Target, mode)
    return operator.add(unknown, tier=Tier.PRO, master_user=MASTER_USER, account_manager="bob", modes=modes)


def confirmed(decisions: Iterable[Decision]) -> Iterator[CallAnswered]:
    """That the targets did what was decided; a create without a key got the number of the driver."""
    for decision in decisions:
        account, target = AccountId(decision.account), Target(decision.target)
        driver = PortalDriverId(decision.driver)
        yield CallAnswered(
            originator_id=delivery_stream(account, target, driver),
            originator_version=1,
            at=AT,
            account=account,
            target=target,
            driver=driver,
            decision=decision.originator_version,
            outcome=Outcome.CONFIRMED,
            key=decision.desired_key or key_of(driver),
            active=True,
            profile=decision.profile,
            left=None,
            reason="",
            detail="",
        )


def key_of(driver: str) -> Key:
    """The key that a target gives to a driver who came without one."""
    return Key(driver.rpartition("-")[2])
