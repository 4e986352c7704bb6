"""The targets and the Portal as each account reaches them: connected once, and kept while its credentials stay."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar, Unpack

from adapters.credentials import (
    AccountCredentials,
    DriveriCredentials,
    MotiveCredentials,
    MotiveGrantCredentials,
    PortalCredentials,
)
from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from adapters.http.client import RateLimiter, RateLimits, SenderOptions
from adapters.http.oauth import OAuthGrant
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
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


class _Closing(Protocol):
    async def close(self) -> None: ...


K = TypeVar("K", bound=Hashable)
A = TypeVar("A")
D = TypeVar("D", bound=_Closing)


class _Kept(Generic[K, A, D]):
    """What was connected, with the access that it was connected by; with another access it is connected again."""

    def __init__(self) -> None:
        self._kept: dict[K, tuple[A, D]] = {}
        self._left: list[D] = []

    def connected(self, key: K, access: A, connect: Callable[[A], D]) -> D:
        """What is connected by this access, now or already."""
        before = self._kept.get(key)
        if before and before[0] == access:
            return before[1]
        if before:
            self._left.append(before[1])
        self._kept[key] = access, connect(access)
        return self._kept[key][1]

    def has_other(self, key: K, access: A | None) -> bool:
        """Whether it was connected by another access last."""
        before = self._kept.get(key)
        return before is not None and before[0] != access

    async def close(self) -> None:
        """Close every connection, in bounded time."""
        await closed(drivers.close() for drivers in (*self._left, *(drivers for _, drivers in self._kept.values())))


class Connections:
    """The targets as each account reaches them.

    With other credentials an account gets another connection; renewed tokens change nothing.
    """

    def __init__(self, settings: TargetSettings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._kept: _Kept[tuple[AccountId, Target], DriveriAccess | MotiveAccess, TargetDrivers] = _Kept()

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
        return self._kept.connected((account, target), access, self._drivers)

    async def close(self) -> None:
        """Close every connection, in bounded time."""
        await self._kept.close()

    def _access(self, target: Target, account: AccountId) -> DriveriAccess | MotiveAccess | None:
        known, settings = self._credentials.of(account), self._settings
        match target:
            case Target.DRIVERI:
                return _to_driveri_access(settings, known.driveri) if known.driveri else None
            case Target.MOTIVE:
                return to_motive_access(settings, account, known.motive, self._credentials) if known.motive else None

    def _drivers(self, access: DriveriAccess | MotiveAccess) -> TargetDrivers:
        settings = self._settings
        match access:
            case DriveriAccess():
                limits = _limits(settings.driveri_calls_per_second, settings.driveri_calls_at_once)
                return DriveriDrivers(access, rate_limiter=RateLimiter(limits))
            case MotiveAccess():
                limits = _limits(settings.motive_calls_per_second, settings.motive_calls_at_once)
                return MotiveDrivers(access, rate_limiter=RateLimiter(limits))


def connected_by_key(
    target: Target, base_url: str, key: tuple[str, str], tenant: str, **options: Unpack[SenderOptions]
) -> TargetDrivers:
    """A target at this address by the halves of an API key, at whatever rate; of Motive's only the second counts."""
    match target:
        case Target.DRIVERI:
            access = DriveriAccess(base_url=base_url, tenant=tenant, client_id=key[0], client_secret=key[1])
            return DriveriDrivers(access, **options)
        case Target.MOTIVE:
            return MotiveDrivers(MotiveAccess(base_url=base_url, api_key=key[1]), **options)


def _limits(calls_per_second: float, calls_at_once: int) -> RateLimits:
    """The most that each account asks of a vendor."""
    return RateLimits(calls_per_second=calls_per_second, calls_at_once=calls_at_once)


def _to_driveri_access(settings: TargetSettings, known: DriveriCredentials) -> DriveriAccess:
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
) -> OAuthGrant:
    """What an account's company granted, and where access tokens come for it."""
    token_url = settings.motive_token_url or f"{str(settings.motive_url).rstrip('/')}/oauth/token"
    return OAuthGrant(
        account=account,
        target=Target.MOTIVE,
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
        self._kept: _Kept[AccountId, PortalAccess, PortalDrivers] = _Kept()

    def accounts(self) -> Sequence[AccountId]:
        """The accounts that have credentials at the Portal, in order. Raises `CredentialsUnreadable`."""
        return sorted(AccountId(name) for name, known in self._credentials.all().items() if known.portal)

    def has_changed(self, account: AccountId) -> bool:
        """Whether it was reached with other credentials last."""
        return self._kept.has_other(account, self._access(account))

    def to(self, account: AccountId) -> PortalDrivers | Rejected:
        """The Portal as this account reaches it, or why it cannot."""
        try:
            access = self._access(account)
        except CredentialsUnreadable as failure:
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=str(failure))
        if access is None:
            detail = f"no credentials for the Portal: run `driverlink accounts connect {account} portal`"
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)
        limits = _limits(self._settings.portal_calls_per_second, self._settings.portal_calls_at_once)
        return self._kept.connected(
            account, access, lambda access: PortalApiDrivers(access, rate_limiter=RateLimiter(limits))
        )

    async def close(self) -> None:
        """Close every connection, in bounded time."""
        await self._kept.close()

    def _access(self, account: AccountId) -> PortalAccess | None:
        known = self._credentials.of(account).portal
        return _to_portal_access(self._settings, known) if known else None


def _to_portal_access(settings: PortalSettings, known: PortalCredentials) -> PortalAccess:
    """How an account with these credentials reaches the Portal."""
    named = {"driveri_driver_id": settings.portal_driver_id_attribute, "ref_id": settings.portal_ref_id_attribute}
    return PortalAccess(
        base_url=str(settings.portal_url).rstrip("/"),
        username=known.username,
        app_token=known.app_token,
        attributes={field: name.strip() for field, name in named.items() if name.strip()},
    )
