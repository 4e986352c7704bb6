"""The targets and the Portal as each account reaches them: connected once, and kept while its credentials stay."""

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
from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from adapters.http.rate_limit import RateLimiter, RateLimits
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess, MotiveGrant
from adapters.portal.api import PortalAccess, PortalApiDrivers
from domain.failures import Reason, Rejected
from domain.identity import AccountId, Target
from domain.ports import CredentialsKeeper, CredentialsUnreadable, PortalDrivers, TargetDrivers, TokensKeeper
from services.projector.calls import Connecting
from services.runtime.serving import closed
from services.wiring.settings import PortalSettings, TargetSettings


class Credentials(CredentialsKeeper, TokensKeeper, Protocol):
    """Where the accounts' credentials and tokens are kept."""

    def of(self, account: str) -> AccountCredentials:
        """An account's credentials, as far as there are any. Raises `CredentialsUnreadable`."""
        ...

    def all(self) -> Mapping[str, AccountCredentials]:
        """Every account's credentials. Raises `CredentialsUnreadable`."""
        ...


class Connections:
    """The targets as each account reaches them.

    With other credentials an account gets another connection; renewed tokens change nothing.
    """

    def __init__(self, settings: TargetSettings, credentials: Credentials) -> None:
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
        drivers: TargetDrivers = (
            DriveriDrivers(access, rate_limiter=rate_limiter)
            if isinstance(access, DriveriAccess)
            else MotiveDrivers(access, rate_limiter=rate_limiter)
        )
        self._kept[account, target] = (access, drivers)
        return drivers

    async def close(self) -> None:
        """Close every connection, in bounded time."""
        await closed(drivers.close() for drivers in (*self._left, *(drivers for _, drivers in self._kept.values())))

    def _access(self, target: Target, account: AccountId) -> DriveriAccess | MotiveAccess | None:
        known, settings = self._credentials.of(account), self._settings
        if target is Target.DRIVERI:
            return to_driveri_access(settings, known.driveri) if known.driveri else None
        return to_motive_access(settings, account, known.motive, self._credentials) if known.motive else None


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


class PortalConnections:
    """The Portal as each account reaches it."""

    def __init__(self, settings: PortalSettings, credentials: Credentials) -> None:
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
        drivers = PortalApiDrivers(access, rate_limiter=RateLimiter(_portal_limits(self._settings)))
        self._kept[account] = (access, drivers)
        return drivers

    async def close(self) -> None:
        """Close every connection, in bounded time."""
        await closed(drivers.close() for drivers in (*self._left, *(drivers for _, drivers in self._kept.values())))

    def _access(self, account: AccountId) -> PortalAccess | None:
        known = self._credentials.of(account).portal
        return to_portal_access(self._settings, known) if known else None


def _portal_limits(settings: PortalSettings) -> RateLimits:
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
