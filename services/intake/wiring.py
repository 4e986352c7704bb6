"""Intake's reading of the Portal's API, put together, and the Portal as each account reaches it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from adapters.credentials import AccountCredentials, PortalCredentials
from adapters.pace import Limits, Pace
from adapters.portal.access import PortalAccess
from adapters.portal.drivers import PortalApiDrivers
from domain.failures import Reason, Rejected
from domain.identity import AccountId
from domain.ports import CredentialsUnreadable, PortalDrivers
from domain.storing import Row
from services.intake.handlers import Intake
from services.intake.polling import LOOK, Polling, Turn
from services.intake.read_models import KnownDriver, ReadingRow, ReKeyingRow, ShownDriver, SnapshotDriver
from services.intake.reading import Reader
from services.intake.readings import Readings
from services.intake.settings import PortalSettings
from services.runtime.clock import Clock
from services.runtime.ending import closed
from services.runtime.service import Bell, Service

ROWS: tuple[type[Row], ...] = (KnownDriver, SnapshotDriver, ShownDriver, ReadingRow, ReKeyingRow)


class KnownCredentials(Protocol):
    """Where what accounts are connected with can be looked up."""

    def of(self, account: str) -> AccountCredentials:
        """An account's credentials, as far as there are any. Raises `CredentialsUnreadable`."""
        ...

    def all(self) -> Mapping[str, AccountCredentials]:
        """Every account's credentials. Raises `CredentialsUnreadable`."""
        ...


class PortalConnections:
    """The Portal as each account reaches it, connected once and kept while its credentials stay the same."""

    def __init__(self, settings: PortalSettings, credentials: KnownCredentials) -> None:
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
        drivers = PortalApiDrivers(access, pace=Pace(to_limits(self._settings)))
        self._kept[account] = (access, drivers)
        return drivers

    async def close(self) -> None:
        """Let go of every connection, in bounded time."""
        everybody = (*self._left, *(drivers for _, drivers in self._kept.values()))
        await closed(drivers.close() for drivers in everybody)

    def _access(self, account: AccountId) -> PortalAccess | None:
        known = self._credentials.of(account).portal
        return to_portal_access(self._settings, known) if known else None


def to_limits(settings: PortalSettings) -> Limits:
    """The most that each account asks of the Portal."""
    return Limits(calls_per_second=settings.portal_calls_per_second, calls_at_once=settings.portal_calls_at_once)


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
    credentials: KnownCredentials,
    turn: Turn,
    clock: Clock,
    bell: Bell,
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
        bell=bell,
        look=min(LOOK, settings.portal_read_every),
    )
