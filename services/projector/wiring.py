"""A projector, put together, and the targets as each account reaches them."""

from functools import partial
from typing import Protocol

from adapters.credentials import AccountCredentials, DriveriCredentials, MotiveCredentials
from adapters.driveri import DriveriAccess, DriveriDrivers
from adapters.motive import MotiveAccess, MotiveDrivers
from domain.failures import Reason, Rejected
from domain.identity import AccountId, Target
from domain.ports import CredentialsUnreadable, TargetDrivers
from domain.storing import Row, Store
from services.accounts.read_models import AccountRow
from services.projector.app import Connecting, ProjectorApp
from services.projector.handlers import Wishes
from services.projector.jobs import Jobs
from services.projector.read_models import DeliveryRow, RosterRow, StartedCall, Task, WalkRow, WishedRow
from services.projector.reporting import Reporting
from services.projector.settings import TargetSettings
from services.projector.walking import Walks
from services.runtime.clock import Clock
from services.runtime.logs import ACCOUNTS, DECISIONS
from services.runtime.service import LINGER, Bell, Service
from services.runtime.share import Share

ROWS: tuple[type[Row], ...] = (AccountRow, WishedRow, DeliveryRow, RosterRow, WalkRow, Task, StartedCall)


class KnownCredentials(Protocol):
    """Where what accounts are connected with can be looked up."""

    def of(self, account: str) -> AccountCredentials:
        """An account's credentials, as far as there are any. Raises `CredentialsUnreadable`."""
        ...


class Connections:
    """The targets as each account reaches them, connected once and kept while its credentials stay the same."""

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
        drivers = DriveriDrivers(access) if isinstance(access, DriveriAccess) else MotiveDrivers(access)
        self._kept[account, target] = (access, drivers)
        return drivers

    async def close(self) -> None:
        """Let go of every connection."""
        for drivers in (*self._left, *(drivers for _, drivers in self._kept.values())):
            await drivers.close()

    def _access(self, target: Target, account: AccountId) -> DriveriAccess | MotiveAccess | None:
        known, settings = self._credentials.of(account), self._settings
        if target is Target.DRIVERI:
            return to_driveri_access(settings, known.driveri) if known.driveri else None
        return to_motive_access(settings, known.motive) if known.motive else None


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


def to_motive_access(settings: TargetSettings, known: MotiveCredentials) -> MotiveAccess:
    """How an account with these credentials reaches Motive."""
    return MotiveAccess(
        base_url=str(settings.motive_url).rstrip("/"),
        api_key=known.api_key,
        portal_integration=settings.motive_portal_integration,
        driveri_integration=settings.motive_driveri_integration,
        external_ids_field=settings.motive_external_ids_field,
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
) -> ProjectorApp:
    """The projector of this target on its store, for the accounts of its share."""
    wishes = Wishes(store, target, clock, share)
    handlers = {ACCOUNTS: wishes.on_accounts, DECISIONS: wishes.on_decisions}
    return ProjectorApp(
        Service(f"projector-{target}", store=store, clock=clock, bell=bell, handlers=handlers, linger=linger),
        wishes=wishes,
        jobs=Jobs(store, target, clock, share),
        reporting=Reporting(store, target, clock),
        walks=Walks(store, target, clock, share),
        connect=connect,
        bell=bell,
        share=share,
        linger=linger,
    )
