"""A projector, put together, and the targets as each account reaches them.

The decider, put together.

Intake's reading of the Portal's API, put together, and the Portal as each account reaches it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from adapters.credentials import (
    AccountCredentials,
    DriveriCredentials,
    MotiveCredentials,
    MotiveGrantCredentials,
    PortalCredentials,
)
from adapters.driveri import DriveriAccess, DriveriDrivers
from adapters.http.rate_limit import RateLimiter, RateLimits
from adapters.motive import MotiveAccess, MotiveDrivers, MotiveGrant
from adapters.portal.api import PortalAccess, PortalApiDrivers
from domain.failures import Reason, Rejected
from domain.identity import AccountId, Target
from domain.ports import CredentialsUnreadable, PortalDrivers, TargetDrivers, TokensKeeper
from domain.store import Row, Store
from services.accounts.handlers import AccountRow
from services.decider.dry_run import PlanChecks
from services.decider.handlers import Decider
from services.decider.read_models import (
    CatchUp,
    ClaimRow,
    DeleteRow,
    DesiredRow,
    LinkRow,
    Look,
    ObservedRow,
    OutageRow,
    ReconciliationRow,
    Retry,
    RosterIdentifier,
    RosterScanRow,
    ScanFailureRow,
    UnreadableRow,
)
from services.intake.handlers import Intake
from services.intake.polling import LOOK, Polling, Reader, Readings, Turn
from services.intake.read_models import KnownDriver, ReadingRow, ReKeyingRow, ShownDriver, SnapshotDriver
from services.projector.breaker import Breakers
from services.projector.calls import Pause
from services.projector.connections import Connected, Connecting
from services.projector.deliveries import DesiredDrivers, DueDeliveries
from services.projector.lookups import LookUps
from services.projector.outcomes import Outcomes
from services.projector.probing import Probing
from services.projector.read_models import (
    AnswerCount,
    BreakerRow,
    DueDelivery,
    LookUp,
    NewestDecision,
    Probe,
    RefusedDriver,
    RosterRow,
    ScanProgress,
    ScanRow,
    StartedAttempt,
)
from services.projector.roster import Freshness
from services.projector.scanning import Scanning
from services.projector.scans import Scans
from services.projector.service import ProjectorApp
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, OUTCOMES, Assignment, Clock
from services.runtime.service import BATCH_WINDOW, Notifier, Service
from services.runtime.serving import closed
from services.wiring.scratch import open_scratch
from services.wiring.settings import PortalSettings, TargetSettings

PROJECTOR_ROWS: tuple[type[Row], ...] = (
    AccountRow,
    NewestDecision,
    AnswerCount,
    RosterRow,
    ScanRow,
    BreakerRow,
    DueDelivery,
    StartedAttempt,
    Probe,
    RefusedDriver,
    ScanProgress,
    LookUp,
)


class KnownCredentials(TokensKeeper, Protocol):
    """Where what accounts are connected with can be looked up, and where their tokens are kept."""

    def of(self, account: str) -> AccountCredentials:
        """An account's credentials, as far as there are any. Raises `CredentialsUnreadable`."""
        ...


class Connections:
    """The targets as each account reaches them, connected once and kept while its credentials stay the same.

    Whoever connects gets another object once somebody has stated other credentials; renewed tokens change nothing.
    """

    def __init__(self, settings: TargetSettings, credentials: KnownCredentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._kept: dict[tuple[AccountId, Target], tuple[DriveriAccess | MotiveAccess, TargetDrivers]] = {}
        self._left: list[TargetDrivers] = []

    def to(self, target: Target) -> Connecting:
        """How accounts reach this target."""
        return partial(self.connect, target)

    def connect(self, target: Target, account: AccountId) -> TargetDrivers | Rejected:
        """A target as this account reaches it, or why it cannot."""
        try:
            access = self._access(target, account)
        except CredentialsUnreadable as failure:
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=str(failure))
        if access is None:
            detail = f"no credentials for {target}: run `driverlink accounts connect {account} {target}`"
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)
        kept = self._kept.get((account, target))
        if kept and kept[0] == access:
            return kept[1]
        if kept:
            self._left.append(kept[1])
        rate_limiter = RateLimiter(to_limits(self._settings, target))
        drivers = _to_drivers(access, rate_limiter)
        self._kept[account, target] = (access, drivers)
        return drivers

    async def close(self) -> None:
        """Let go of every connection, in bounded time."""
        everybody = (*self._left, *(drivers for _, drivers in self._kept.values()))
        await closed(drivers.close() for drivers in everybody)

    def _access(self, target: Target, account: AccountId) -> DriveriAccess | MotiveAccess | None:
        known, settings = self._credentials.of(account), self._settings
        if target is Target.DRIVERI:
            return to_driveri_access(settings, known.driveri) if known.driveri else None
        return to_motive_access(settings, account, known.motive, self._credentials) if known.motive else None


def _to_drivers(access: DriveriAccess | MotiveAccess, rate_limiter: RateLimiter) -> TargetDrivers:
    return (
        DriveriDrivers(access, rate_limiter=rate_limiter)
        if isinstance(access, DriveriAccess)
        else MotiveDrivers(access, rate_limiter=rate_limiter)
    )


def to_limits(settings: TargetSettings, target: Target) -> RateLimits:
    """The most that each account asks of this target."""
    if target is Target.DRIVERI:
        return RateLimits(
            calls_per_second=settings.driveri_calls_per_second, calls_at_once=settings.driveri_calls_at_once
        )
    return RateLimits(calls_per_second=settings.motive_calls_per_second, calls_at_once=settings.motive_calls_at_once)


def to_driveri_access(settings: TargetSettings, known: DriveriCredentials) -> DriveriAccess:
    """How an account with these credentials reaches Driveri."""
    return DriveriAccess(
        base_url=str(settings.driveri_url).rstrip("/"),
        tenant=known.tenant,
        client_id=known.client_id,
        client_secret=known.client_secret,
        active_status=settings.driveri_active_status,
        deleted_status=settings.driveri_deleted_status,
    )


def to_motive_access(
    settings: TargetSettings,
    account: AccountId,
    known: MotiveCredentials | MotiveGrantCredentials,
    keeper: TokensKeeper,
) -> MotiveAccess:
    """How an account with these credentials reaches Motive."""
    return MotiveAccess(
        base_url=str(settings.motive_url).rstrip("/"),
        api_key=known.api_key if isinstance(known, MotiveCredentials) else "",
        grant=None if isinstance(known, MotiveCredentials) else to_motive_grant(settings, account, known, keeper),
        portal_integration=settings.motive_portal_integration,
        driveri_integration=settings.motive_driveri_integration,
    )


def to_motive_grant(
    settings: TargetSettings, account: AccountId, known: MotiveGrantCredentials, keeper: TokensKeeper
) -> MotiveGrant:
    """What an account's company granted, and where access tokens come for it."""
    token_url = settings.motive_token_url or f"{str(settings.motive_url).rstrip('/')}/oauth/token"
    return MotiveGrant(
        account=account,
        token_url=str(token_url),
        client_id=known.client_id,
        client_secret=known.client_secret,
        refresh_token=known.refresh_token,
        keeper=keeper,
    )


def to_app(
    store: Store,
    target: Target,
    *,
    connect: Connecting,
    clock: Clock,
    notifier: Notifier,
    share: Assignment,
    batch_window: float = BATCH_WINDOW,
    pause: Pause = asyncio.sleep,
) -> ProjectorApp:
    """The projector of this target on its store, for the accounts of its share."""
    connected, breakers = Connected(connect), Breakers(store, target, clock, share)
    freshness = Freshness()
    scans = Scans(store, target, clock, share, breakers, freshness)
    desired_drivers = DesiredDrivers(store, target, clock, share, scans.schedule.look_up_again)
    handlers = {ACCOUNTS: desired_drivers.on_accounts, DECISIONS: desired_drivers.on_decisions}
    service = Service(
        f"projector-{target}", store=store, clock=clock, notifier=notifier, handlers=handlers, batch_window=batch_window
    )
    return ProjectorApp(
        service,
        desired_drivers=desired_drivers,
        due_deliveries=DueDeliveries(store, target, clock, share, connected.slots, breakers),
        outcomes=Outcomes(store, target, clock, breakers, freshness),
        scans=scans,
        scanning=Scanning(
            service,
            target,
            scans=scans,
            look_ups=LookUps(store, target, clock, share, breakers, freshness),
            breakers=breakers,
            connect=connected.to,
            slots=connected.slots,
            clock=clock,
            notifier=notifier,
        ),
        breakers=breakers,
        probing=Probing(service, breakers, connected.to, clock),
        connect=connected.to,
        notifier=notifier,
        assignment=share,
        batch_window=batch_window,
        pause=pause,
    )


DECIDER_ROWS: tuple[type[Row], ...] = (
    AccountRow,
    DesiredRow,
    ObservedRow,
    RosterIdentifier,
    RosterScanRow,
    ScanFailureRow,
    UnreadableRow,
    OutageRow,
    LinkRow,
    ClaimRow,
    DeleteRow,
    ReconciliationRow,
    Look,
    CatchUp,
    Retry,
)

open_dry_run = partial(open_scratch, DECIDER_ROWS)
"""An empty store in which a reconciliation can be rehearsed."""


def to_service(
    store: Store, *, clock: Clock, notifier: Notifier, share: Assignment, batch_window: float = BATCH_WINDOW
) -> Service:
    """The decider on its store, for the accounts of its share."""
    decider = Decider(store, clock, share)
    handlers = {
        ACCOUNTS: decider.on_accounts,
        CHANGES: decider.on_changes,
        **dict.fromkeys(OUTCOMES, decider.on_reports),
    }
    checks = PlanChecks(store, clock, in_hand=decider.planned_accounts, scratch=open_dry_run)
    chores = [decider.look_again, checks.check_plans, decider.catch_up, decider.retry]
    return Service(
        "decider",
        store=store,
        clock=clock,
        notifier=notifier,
        handlers=handlers,
        chores=chores,
        batch_window=batch_window,
    )


INTAKE_ROWS: tuple[type[Row], ...] = (KnownDriver, SnapshotDriver, ShownDriver, ReadingRow, ReKeyingRow)


class KnownPortalCredentials(Protocol):
    """Where what accounts are connected with can be looked up."""

    def of(self, account: str) -> AccountCredentials:
        """An account's credentials, as far as there are any. Raises `CredentialsUnreadable`."""
        ...

    def all(self) -> Mapping[str, AccountCredentials]:
        """Every account's credentials. Raises `CredentialsUnreadable`."""
        ...


class PortalConnections:
    """The Portal as each account reaches it, connected once and kept while its credentials stay the same."""

    def __init__(self, settings: PortalSettings, credentials: KnownPortalCredentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._kept: dict[AccountId, tuple[PortalAccess, PortalDrivers]] = {}
        self._left: list[PortalDrivers] = []

    def accounts(self) -> Sequence[AccountId]:
        """The accounts that have credentials at the Portal, in order. Raises `CredentialsUnreadable`."""
        return sorted(AccountId(name) for name, known in self._credentials.all().items() if known.portal)

    def has_changed(self, account: AccountId) -> bool:
        """Whether it was reached with other credentials last."""
        kept = self._kept.get(account)
        return kept is not None and kept[0] != self._access(account)

    def to(self, account: AccountId) -> PortalDrivers | Rejected:
        """The Portal as this account reaches it, or why it cannot."""
        try:
            access = self._access(account)
        except CredentialsUnreadable as failure:
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=str(failure))
        if access is None:
            return Rejected(reason=Reason.NOT_CONFIGURED, detail="no credentials for the Portal any more")
        kept = self._kept.get(account)
        if kept and kept[0] == access:
            return kept[1]
        if kept:
            self._left.append(kept[1])
        drivers = PortalApiDrivers(access, rate_limiter=RateLimiter(to_portal_limits(self._settings)))
        self._kept[account] = (access, drivers)
        return drivers

    async def close(self) -> None:
        """Let go of every connection, in bounded time."""
        everybody = (*self._left, *(drivers for _, drivers in self._kept.values()))
        await closed(drivers.close() for drivers in everybody)

    def _access(self, account: AccountId) -> PortalAccess | None:
        known = self._credentials.of(account).portal
        return to_portal_access(self._settings, known) if known else None


def to_portal_limits(settings: PortalSettings) -> RateLimits:
    """The most that each account asks of the Portal."""
    return RateLimits(calls_per_second=settings.portal_calls_per_second, calls_at_once=settings.portal_calls_at_once)


def to_portal_access(settings: PortalSettings, known: PortalCredentials) -> PortalAccess:
    """How an account with these credentials reaches the Portal."""
    named = {"driveri_driver_id": settings.portal_driver_id_attribute, "ref_id": settings.portal_ref_id_attribute}
    return PortalAccess(
        base_url=str(settings.portal_url).rstrip("/"),
        username=known.username,
        app_token=known.app_token,
        attributes={field: name.strip() for field, name in named.items() if name.strip()},
    )


def to_polling(
    service: Service,
    settings: PortalSettings,
    *,
    credentials: KnownPortalCredentials,
    turn: Turn,
    clock: Clock,
    notifier: Notifier,
) -> Polling:
    """The reading of all accounts that have credentials at the Portal, by intake's service."""
    readings = Readings(service.store, Intake(service.store, clock), clock, every=settings.portal_read_every)
    most_asked = max(1, int(settings.portal_calls_per_second * settings.portal_read_every / 2))
    return Polling(
        service,
        readings=readings,
        reader=Reader(service, readings, most_asked=most_asked),
        portals=PortalConnections(settings, credentials),
        turn=turn,
        notifier=notifier,
        look=min(LOOK, settings.portal_read_every),
    )
