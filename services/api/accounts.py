"""`/v1/accounts`: the accounts, their settings and their credentials."""

from typing import Annotated

from pydantic import AfterValidator, Field

from domain.account import Account, Mode, Tier
from domain.identity import PORTAL, AccountId, Connectable, Target
from services.accounts.handlers import AccountChange, accounts_in
from services.api.installation import Installation
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import ByPerson, Named, NamedOrBlank, RequestBody, ResponseBody
from services.intake.polling import forget

router = new_router("accounts", prefix="/accounts")


class AddAccount(RequestBody):
    """A new account."""

    account: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    tier: Tier
    master_user: Named
    account_manager: NamedOrBlank = ""
    targets: tuple[Target, ...] = tuple(Target)
    mode: Mode = Mode.FULL


class SetMode(ByPerson):
    """How far synchronisation with a target may go."""

    target: Target
    mode: Mode


class TurnSync(ByPerson):
    """Tick or untick Sync Drivers."""

    on: bool


class SetReconciliationTime(ByPerson):
    """When daily reconciliations begin: HH:MM in UTC, or empty for a time that is derived from the account's id."""

    reconcile_at: str = Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")


def _check_sendable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be plain ASCII on one line")
    return text


class Connect(RequestBody):
    """An account's credentials at the Portal or at a target; never logged."""

    target: Connectable
    values: dict[str, Annotated[str, AfterValidator(_check_sendable)]] = Field(repr=False)


class Disconnect(RequestBody):
    """The Portal, or a target, whose credentials are removed."""

    target: Connectable


class AccountSettings(ResponseBody):
    """An account as people and scripts see it. `reconcile_at` is HH:MM in UTC; empty: derived from the account's id."""

    account: str
    tier: str
    master_user: str
    account_manager: str
    allowed: bool
    sync: str
    modes: dict[str, str]
    reconcile_at: str


class ConnectedTarget(ResponseBody):
    """Where an account is connected now."""

    account: str
    target: str
    connected: bool


class DisconnectedTarget(ResponseBody):
    """Where an account is not connected now; `removed` is false where there were no credentials."""

    account: str
    target: str
    removed: bool


@router.post("", status_code=201)
async def add_account(body: AddAccount, installation: Installed) -> AccountSettings:
    """Add an account."""
    account = await installation.accounts_service.call_again(
        installation.accounts.add,
        AccountId(body.account),
        "operator",
        lambda person, known: person.add(
            known,
            tier=body.tier,
            master_user=body.master_user,
            account_manager=body.account_manager,
            modes=dict.fromkeys(body.targets, body.mode),
        ),
    )
    installation.accounts_service.notify()
    return _to_settings(account)


@router.get("")
async def list_accounts(installation: Installed) -> list[AccountSettings]:
    """List every account."""
    found = await installation.readers.call(accounts_in, installation.readers.accounts)
    return [_to_settings(account) for account in found]


@router.get("/{account}")
async def show_account(known: KnownAccount) -> AccountSettings:
    """Show an account."""
    return _to_settings(known)


@router.post("/{account}/allow")
async def allow_sync(account: str, body: ByPerson, installation: Installed) -> AccountSettings:
    """Allow a Standard-tier account to turn Sync Drivers on."""
    return await _change(installation, account, body.by, lambda person, known: person.allow(known))


@router.post("/{account}/mode")
async def set_mode(account: str, body: SetMode, installation: Installed) -> AccountSettings:
    """Set how far synchronisation with a target may go."""
    return await _change(
        installation, account, body.by, lambda person, known: person.set_mode(known, body.target, body.mode)
    )


@router.post("/{account}/sync")
async def turn_sync(account: str, body: TurnSync, installation: Installed) -> AccountSettings:
    """Turn Sync Drivers on or off."""
    return await _change(
        installation,
        account,
        body.by,
        lambda person, known: person.turn_on(known) if body.on else person.turn_off(known),
    )


@router.post("/{account}/reconciliation-time")
async def set_reconciliation_time(
    account: str, body: SetReconciliationTime, installation: Installed
) -> AccountSettings:
    """Set when daily reconciliations begin."""
    return await _change(
        installation, account, body.by, lambda person, known: person.set_reconciliation_time(known, body.reconcile_at)
    )


@router.post("/{account}/credentials")
async def connect_target(body: Connect, known: KnownAccount, installation: Installed) -> ConnectedTarget:
    """Store an account's credentials at the Portal or at a target."""
    await installation.accounts_service.call(installation.credentials.keep, known.account, body.target, body.values)
    installation.accounts_service.notify()
    return ConnectedTarget(account=known.account, target=body.target, connected=True)


@router.post("/{account}/credentials/removed")
async def disconnect_target(body: Disconnect, known: KnownAccount, installation: Installed) -> DisconnectedTarget:
    """Remove an account's credentials at the Portal or at a target."""
    removed = await installation.accounts_service.call(installation.credentials.remove, known.account, body.target)
    if body.target == PORTAL:
        await installation.intake_service.call(forget, installation.intake_service.store, known.account)
    installation.accounts_service.notify()
    return DisconnectedTarget(account=known.account, target=body.target, removed=removed)


async def _change(installation: Installation, account: str, by: str, request: AccountChange) -> AccountSettings:
    """Do what this person requests of the account, and wake who waits for it."""
    changed = await installation.accounts_service.call_again(installation.accounts.ask, account, by, request)
    installation.accounts_service.notify()
    return _to_settings(changed)


def _to_settings(account: Account) -> AccountSettings:
    return AccountSettings(
        account=account.account,
        tier=str(account.tier),
        master_user=account.master_user,
        account_manager=account.account_manager,
        allowed=account.is_allowed,
        sync="on" if account.is_on else "off",
        modes={str(target): str(mode) for target, mode in account.modes.items()},
        reconcile_at=account.reconcile_at,
    )
