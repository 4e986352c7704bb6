"""An account with drivers of whom everything is known, and what is heard of them: all made up, and always the same."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from domain.account import Account, AccountEvent, Mode, Request, Tier, apply
from domain.driver_link import Decision
from domain.identity import AccountId, Key, PortalDriverId, Target, delivery_stream, walk_stream
from domain.portal import PortalDriver, PortalDriverEvent, Statement, replay
from domain.report import CallAnswered, Outcome, WalkCompleted

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)

MASTER_USER = "jane"


def profile(number: int, *, edition: int = 1) -> dict[str, str]:
    """Everything that the Portal can state of a driver; another edition differs in a field that both targets have."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One account with Sync Drivers on for both targets, and so many drivers, numbered from `first` on."""

    account: AccountId
    drivers: int
    first: int = 1

    @property
    def numbers(self) -> range:
        """The numbers of its drivers."""
        return range(self.first, self.first + self.drivers)

    def driver(self, number: int) -> PortalDriverId:
        """The driver of this number."""
        return PortalDriverId(f"{self.account}-{number}")

    @property
    def account_events(self) -> tuple[AccountEvent, ...]:
        """That there is the account, and that its Master User has turned Sync Drivers on."""
        nobody = Account(account=self.account)
        modes = dict.fromkeys(Target, Mode.FULL)
        asking = partial(Request, at=AT)
        added = asking(by="operator").add(
            nobody, tier=Tier.PRO, master_user=MASTER_USER, account_manager="bob", modes=modes
        )
        return (*added, *asking(by=MASTER_USER).turn_on(apply(nobody, added[0])))

    @property
    def walks(self) -> tuple[WalkCompleted, ...]:
        """That both rosters were walked, and nobody was there."""
        terms = self.account_events[-1].originator_version
        return tuple(self._walk(target, terms) for target in Target)

    @property
    def created(self) -> Iterator[PortalDriverEvent]:
        """That each driver was created in the Portal."""
        for number in self.numbers:
            yield from self._changed(number)

    @property
    def updated_only(self) -> Iterator[PortalDriverEvent]:
        """That each driver was updated after that."""
        for number in self.numbers:
            yield from self._changed(number, *self._changed(number))

    def _changed(self, number: int, *before: PortalDriverEvent) -> Sequence[PortalDriverEvent]:
        driver = PortalDriver(account=self.account, driver=self.driver(number))
        known = replay(driver, before)
        return Statement(at=AT, source="api").present(known, profile(number, edition=known.version + 1))

    def _walk(self, target: Target, terms: int) -> WalkCompleted:
        return WalkCompleted(
            originator_id=walk_stream(self.account, target),
            originator_version=1,
            at=AT,
            account=self.account,
            target=target,
            terms=terms,
            drivers=0,
        )


def confirmed(decisions: Iterable[Decision]) -> Iterator[CallAnswered]:
    """That the targets did all that was decided, and gave those a key who came without one."""
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
            key=decision.wished_key or Key(decision.driver.rpartition("-")[2]),
            active=True,
            profile=decision.profile,
            left=None,
            reason="",
            detail="",
        )
