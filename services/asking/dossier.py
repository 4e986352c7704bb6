"""Every fact that concerns one driver, from the histories of the account, the driver and the driver's links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from uuid import UUID

from domain.driver_link import Decision, DeleteHeld, DriverLink, HoldJudged, LinkEvent, Parked
from domain.event import Event
from domain.identity import AccountId, PortalDriverId, Target, account_stream, link_stream, portal_driver_stream
from domain.portal import Change, PortalDriver, replay
from domain.storing import Store
from services.accounts.read_models import accounts_of
from services.asking.readiness import Readiness, readiness_of
from services.asking.story import Heeded
from services.asking.telling.past import Past
from services.decider.read_models import WishRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """What is known of one driver: the facts, oldest first, and how far the account has come with each target.

    `of_account` holds what the decider has taken over: of what is newer nothing can have come yet. `taken_over` is the
    sequence of the last change of the driver that the decider has taken over; 0 if none.
    """

    account: AccountId
    driver: PortalDriverId
    of_account: Sequence[Event]
    of_portal: Sequence[Event]
    of_links: Mapping[Target, Sequence[LinkEvent]]
    readiness: Mapping[Target, Readiness]
    taken_over: int

    @property
    def unstated(self) -> PortalDriver:
        """The driver before the Portal stated anything."""
        return PortalDriver(account=self.account, driver=self.driver)

    @property
    def known(self) -> PortalDriver:
        """The driver as the Portal states it now."""
        return replay(self.unstated, self.of_portal)

    @property
    def last_change(self) -> Change | None:
        """The last change of the driver, with its profile; None when the Portal never stated it."""
        return next((fact for fact in reversed(self.of_portal) if isinstance(fact, Change)), None)

    @property
    def heeded(self) -> Heeded:
        """What came of people's words for this driver."""
        facts = [fact for each in self.of_links.values() for fact in each]
        holds = {(fact.target, fact.hold) for fact in facts if isinstance(fact, HoldJudged)}
        becauses = [fact.because for fact in facts if isinstance(fact, Decision | DeleteHeld | Parked)]
        retries = {int(because["ref"]) for because in becauses if because.get("cause") == "retry"}
        return Heeded(holds=holds, retries=retries)

    def start(self, target: Target) -> Past:
        """The driver's link with a target before anything was decided."""
        return Past(link=DriverLink(account=self.account, target=target, driver=self.driver))

    def past(self, target: Target) -> Past:
        """The driver's link with a target as it is now."""
        return reduce(Past.after, self.of_links[target], self.start(target))


def load(account: AccountId, driver: PortalDriverId, *, accounts: Store, intake: Store, decider: Store) -> Dossier:
    """Everything about a portal driver in these stores. Raises `StoreFailed`."""
    is_added = bool(accounts_of(accounts, [account]))
    readiness = {target: replace(each, is_added=is_added) for target, each in readiness_of(decider, account).items()}
    return Dossier(
        account=account,
        driver=driver,
        of_account=_taken_over(accounts, account, readiness),
        of_portal=_history(intake, portal_driver_stream(account, driver)),
        of_links={target: _decided(decider, link_stream(account, target, driver)) for target in Target},
        readiness=readiness,
        taken_over=next((row.sequence for row in decider.select(WishRow, {"account": account, "driver": driver})), 0),
    )


def _taken_over(accounts: Store, account: AccountId, readiness: Mapping[Target, Readiness]) -> list[Event]:
    version = max(each.account.version for each in readiness.values())
    return [fact for fact in _history(accounts, account_stream(account)) if fact.originator_version <= version]


def _decided(decider: Store, link: UUID) -> list[LinkEvent]:
    return [fact for fact in _history(decider, link) if isinstance(fact, LinkEvent)]


def _history(store: Store, history: UUID) -> Sequence[Event]:
    return store.histories([history])[history]
