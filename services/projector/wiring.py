"""A projector, put together, and the targets as each account reaches them."""

import asyncio
from functools import partial
from typing import Protocol

from adapters.credentials import (
    AccountCredentials,
    DriveriCredentials,
    MotiveCredentials,
    MotiveGrantCredentials,
)
from adapters.driveri import DriveriAccess, DriveriDrivers
from adapters.motive import MotiveAccess, MotiveDrivers, MotiveGrant
from adapters.pace import Limits, Pace
from domain.failures import Reason, Rejected
from domain.identity import AccountId, Target
from domain.ports import CredentialsUnreadable, TargetDrivers, TokensKeeper
from domain.storing import Row, Store
from services.accounts.read_models import AccountRow
from services.projector.admission import Connected, Connecting
from services.projector.app import ProjectorApp
from services.projector.breaker import Breakers
from services.projector.calling import Pause
from services.projector.freshness import Freshness
from services.projector.handlers import Wishes
from services.projector.jobs import Jobs
from services.projector.looking_up import LookUps
from services.projector.probing import Probing
from services.projector.read_models import (
    BreakerRow,
    DeliveryRow,
    LookUp,
    Probe,
    Reading,
    RosterRow,
    StartedCall,
    Suspect,
    Task,
    WalkRow,
    WishedRow,
)
from services.projector.reporting import Reporting
from services.projector.settings import TargetSettings
from services.projector.sweeping import Sweeping
from services.projector.walking import Walks
from services.runtime.clock import Clock
from services.runtime.ending import closed
from services.runtime.logs import ACCOUNTS, DECISIONS
from services.runtime.service import LINGER, Bell, Service
from services.runtime.share import Share

ROWS: tuple[type[Row], ...] = (
    AccountRow,
    WishedRow,
    DeliveryRow,
    RosterRow,
    WalkRow,
    BreakerRow,
    Task,
    StartedCall,
    Probe,
    Suspect,
    Reading,
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
        pace = Pace(to_limits(self._settings, target))
        drivers = _to_drivers(access, pace)
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


def _to_drivers(access: DriveriAccess | MotiveAccess, pace: Pace) -> TargetDrivers:
    return DriveriDrivers(access, pace=pace) if isinstance(access, DriveriAccess) else MotiveDrivers(access, pace=pace)


def to_limits(settings: TargetSettings, target: Target) -> Limits:
    """The most that each account asks of this target."""
    if target is Target.DRIVERI:
        return Limits(calls_per_second=settings.driveri_calls_per_second, calls_at_once=settings.driveri_calls_at_once)
    return Limits(calls_per_second=settings.motive_calls_per_second, calls_at_once=settings.motive_calls_at_once)


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
    bell: Bell,
    share: Share,
    linger: float = LINGER,
    pause: Pause = asyncio.sleep,
) -> ProjectorApp:
    """The projector of this target on its store, for the accounts of its share."""
    connected, breakers = Connected(connect), Breakers(store, target, clock, share)
    freshness = Freshness()
    walks = Walks(store, target, clock, share, breakers, freshness)
    wishes = Wishes(store, target, clock, share, walks.agenda.heed)
    handlers = {ACCOUNTS: wishes.on_accounts, DECISIONS: wishes.on_decisions}
    service = Service(f"projector-{target}", store=store, clock=clock, bell=bell, handlers=handlers, linger=linger)
    return ProjectorApp(
        service,
        wishes=wishes,
        jobs=Jobs(store, target, clock, share, connected.room, breakers),
        reporting=Reporting(store, target, clock, breakers, freshness),
        walks=walks,
        sweeping=Sweeping(
            service,
            target,
            walks=walks,
            look_ups=LookUps(store, target, clock, share, breakers, freshness),
            breakers=breakers,
            connect=connected.to,
            room=connected.room,
            clock=clock,
            bell=bell,
        ),
        breakers=breakers,
        probing=Probing(service, breakers, connected.to, clock),
        connect=connected.to,
        bell=bell,
        share=share,
        linger=linger,
        pause=pause,
    )
