"""The embedded shape, put together: every service in one process, each on one SQLite file of the data folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.credentials import CredentialsFile, DriveriCredentials, MotiveCredentials
from adapters.driveri import DriveriAccess, DriveriDrivers
from adapters.motive import MotiveAccess, MotiveDrivers
from adapters.store.sqlite import SqliteStore
from domain.failures import Reason, Rejected
from domain.identity import AccountId, Target
from domain.ports import CredentialsKeeper, CredentialsUnreadable, TargetDrivers
from domain.storing import Row, Store, Stream
from services.accounts.handlers import Accounts
from services.accounts.read_models import AccountRow
from services.decider import wiring as decider
from services.decider.read_models import CatchUp, Look
from services.embedded.settings import EmbeddedSettings
from services.intake.handlers import Intake
from services.intake.read_models import KnownDriver, SnapshotDriver
from services.projector import wiring as projector
from services.projector.app import Connecting, ProjectorApp
from services.runtime.clock import Clock, utc_now
from services.runtime.service import Bell, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """All services of one process, and what the commands need of them."""

    accounts: Accounts
    accounts_service: Service
    intake: Intake
    intake_service: Service
    decider_service: Service
    projectors: Mapping[Target, ProjectorApp]
    credentials: CredentialsKeeper
    connections: "Connections"

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service, in the order of the way of a change."""
        projectors = (app.service for app in self.projectors.values())
        return (self.accounts_service, self.intake_service, self.decider_service, *projectors)

    @property
    def logs(self) -> dict[str, Stream]:
        """Every log, by the name that people know it by."""
        reports = {f"reports-{target}": app.service.store.log for target, app in self.projectors.items()}
        return {
            "accounts": self.accounts_service.store.log,
            "changes": self.intake_service.store.log,
            "decisions": self.decider_service.store.log,
            **reports,
        }

    def decider_work_left(self) -> int:
        """How much the decider has not taken over or looked at yet."""
        store = self.decider_service.store
        looks = sum(count for row in (Look, CatchUp) for count in store.count(row).values())
        return self.decider_service.lag() + looks

    def close(self) -> None:
        """Let the work in hand end, and let go of the files."""
        for service in reversed(self.services):
            service.close()


class Connections:
    """The targets as each account reaches them, connected once and kept while its credentials stay the same."""

    def __init__(self, settings: EmbeddedSettings, credentials: CredentialsFile) -> None:
        self._settings = settings
        self._credentials = credentials
        self._kept: dict[tuple[AccountId, Target], tuple[DriveriAccess | MotiveAccess, TargetDrivers]] = {}
        self._left: list[TargetDrivers] = []

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


def to_driveri_access(settings: EmbeddedSettings, known: DriveriCredentials) -> DriveriAccess:
    """How an account with these credentials reaches Driveri."""
    return DriveriAccess(
        base_url=str(settings.driveri_url).rstrip("/"),
        tenant=known.tenant,
        client_id=known.client_id,
        client_secret=known.client_secret,
        active_status=settings.driveri_active_status,
        deleted_status=settings.driveri_deleted_status,
    )


def to_motive_access(settings: EmbeddedSettings, known: MotiveCredentials) -> MotiveAccess:
    """How an account with these credentials reaches Motive."""
    return MotiveAccess(
        base_url=str(settings.motive_url).rstrip("/"),
        api_key=known.api_key,
        portal_integration=settings.motive_portal_integration,
        driveri_integration=settings.motive_driveri_integration,
        external_ids_field=settings.motive_external_ids_field,
    )


def open_embedded(settings: EmbeddedSettings, clock: Clock = utc_now) -> Embedded:
    """Every service on its file in the data folder, which the caller owns. Raises `StoreFailed`."""
    bell = Bell()
    credentials = CredentialsFile(settings.data / "credentials.json")
    connections = Connections(settings, credentials)
    accounts = _store(settings.data, "accounts", "accounts.v1", (AccountRow,))
    intake = _store(settings.data, "intake", "portal.driver-changes.v1", (KnownDriver, SnapshotDriver))
    deciding = _store(settings.data, "decider", decider.LOG, decider.ROWS)
    projecting = {
        target: _store(settings.data, f"projector-{target}", f"{projector.LOG}.{target}", projector.ROWS)
        for target in Target
    }
    taking = Intake(intake, clock)
    taking.forget_unfinished_snapshots()
    return Embedded(
        accounts=Accounts(accounts, clock),
        accounts_service=Service("accounts", store=accounts, clock=clock, bell=bell),
        intake=taking,
        intake_service=Service("intake", store=intake, clock=clock, bell=bell),
        decider_service=decider.to_service(
            deciding,
            accounts=accounts.log,
            changes=intake.log,
            reports=tuple(store.log for store in projecting.values()),
            clock=clock,
            bell=bell,
        ),
        projectors={
            target: projector.to_app(
                store,
                target,
                accounts=accounts.log,
                decisions=deciding.log,
                connect=_connecting(connections, target),
                clock=clock,
                bell=bell,
            )
            for target, store in projecting.items()
        },
        credentials=credentials,
        connections=connections,
    )


def open_beside(path: Path, models: tuple[type[Row], ...]) -> Store:
    """A store for read models that are made anew. Raises `StoreFailed`."""
    return SqliteStore(path, log_name="rebuild", rows=models)


def _connecting(connections: Connections, target: Target) -> Connecting:
    return lambda account: connections.connect(target, account)


def _store(folder: Path, name: str, log: str, rows: tuple[type[Row], ...]) -> SqliteStore:
    return SqliteStore(folder / f"{name}.sqlite", log_name=log, rows=rows)
