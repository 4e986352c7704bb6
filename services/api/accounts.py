"""`/v1/accounts`: the accounts, their settings and their credentials."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, Field, ValidationError

from domain.account import Account, AccountEvent, Mode, NotPermitted, Request, Tier, WantedAccount
from domain.failures import CallFailure, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import PORTAL, AccountId, Connectable, Target
from domain.ports import CredentialsUnreadable
from domain.store import Store, pages
from services.accounts.handlers import (
    KNOWN,
    AccountChange,
    AccountDifference,
    AccountRow,
    Asker,
    did_you_mean,
    to_account,
)
from services.api.installation import Installation
from services.api.journal import note_for_account, noted
from services.api.permissions import Caller, Principal
from services.api.problems import problem_at_end
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import (
    ACCOUNT_FORM,
    IF_MATCH,
    TIME_FORM,
    ByPerson,
    FieldError,
    Moment,
    Named,
    NamedOrBlank,
    Note,
    Reasoned,
    RequestBody,
    ResponseBody,
    field_errors,
    in_one_line,
)
from services.api.streaming import encoded, to_line
from services.intake.polling import forget
from services.runtime.context import utc_now

router = new_router("accounts", prefix="/accounts")


NewAccountId = Annotated[str, Field(pattern=ACCOUNT_FORM)]
"""The id of an account that there may not be yet."""

ReconciliationTime = Annotated[str, Field(pattern=TIME_FORM)]
"""HH:MM in UTC, or empty for a time that is derived from the account's id."""


class AddAccount(Reasoned):
    """A new account. Its targets are only observed, unless another mode is named."""

    account: NewAccountId
    tier: Tier
    master_user: Named
    account_manager: NamedOrBlank = ""
    targets: tuple[Target, ...] = tuple(Target)
    mode: Mode = Mode.OBSERVE


class SetPeople(RequestBody):
    """What changes of an account's tier and people, by its account manager or an operator; the rest stays."""

    by: Named | None = None
    note: Note = ""
    tier: Tier | None = None
    master_user: Named | None = None
    account_manager: NamedOrBlank | None = None


class RemoveAccount(RequestBody):
    """Who wants an account removed, and why."""

    by: Named | None = None
    note: Note = ""


class StatedAccount(RequestBody):
    """What one account has to be like; what is left out stays, or is as in new accounts: Pro, and only observed."""

    account: NewAccountId
    tier: Tier | None = None
    master_user: Named | None = None
    account_manager: NamedOrBlank | None = None
    modes: dict[Target, Mode] = Field(default_factory=dict)
    reconcile_at: ReconciliationTime | None = None


MOST_ENTRIES = 20_000
"""Accounts in one request."""


class ApplyAccounts(RequestBody):
    """Accounts as they have to be, each an `StatedAccount`; others stay. `dry_run`: only say what would change."""

    accounts: tuple[dict[str, Any], ...] = Field(max_length=MOST_ENTRIES)
    dry_run: bool = False
    by: Named | None = None
    note: Note = ""


class SetMode(ByPerson):
    """How far synchronisation with a target may go."""

    target: Target
    mode: Mode


class TurnSync(ByPerson):
    """Tick or untick Sync Drivers."""

    on: bool


class SetReconciliationTime(ByPerson):
    """When daily reconciliations begin."""

    reconcile_at: ReconciliationTime


def _check_sendable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be plain ASCII on one line")
    return text


class Connect(Reasoned):
    """An account's credentials at the Portal or at a target; never logged."""

    target: Connectable
    values: dict[str, Annotated[str, AfterValidator(_check_sendable)]] = Field(repr=False)


class CheckCredentials(RequestBody):
    """The Portal, or a target, whose credentials are tried."""

    target: Connectable


class Disconnect(Reasoned):
    """The Portal, or a target, whose credentials are removed."""

    target: Connectable


class AccountSettings(ResponseBody):
    """An account as people and scripts see it. `reconcile_at` is HH:MM in UTC; empty: derived from the account's id.

    `version` grows with each change; in quotes it is the ETag.
    """

    account: str
    tier: str
    master_user: str
    account_manager: str
    allowed: bool
    sync: str
    modes: dict[str, str]
    reconcile_at: str
    version: int


class AppliedAccount(ResponseBody):
    """What became of an account: `changes` are its settings before and after; `error` says why it was refused.

    `index` is its place among those of the request, from 0 on. `errors` are the reasons one by one, each with its
    field, such as `modes.driveri`.
    """

    index: int
    account: str
    action: Literal["add", "change", "none", "refuse"]
    changes: dict[str, tuple[str, str]] = Field(default_factory=dict)
    error: str = ""
    errors: list[FieldError] = Field(default_factory=list)


class AppliedAccounts(ResponseBody):
    """How many accounts were added, changed, refused, or were so already; nothing is stored while one is refused."""

    added: int
    changed: int
    unchanged: int
    refused: int
    dry_run: bool


class AppliedLine(ResponseBody):
    """One line of a response that takes long; it has one of these fields, and `applied` or `error` is the last.

    `done` counts the accounts that are stored.
    """

    done: int | None = None
    accounts: list[AppliedAccount] | None = None
    applied: AppliedAccounts | None = None
    error: str | None = None


class AppliedLines(StreamingResponse):
    """Lines of JSON, each of them an `AppliedLine`."""

    media_type = "application/x-ndjson"


class CheckedTarget(ResponseBody):
    """Whether the Portal or a target answers to an account's credentials, as one call that only reads has found."""

    account: str
    target: str
    ok: bool
    reason: str
    detail: str
    at: Moment


class RemovedAccount(ResponseBody):
    """An account that is known no longer; its data is erased when the services start next, or by `driverlink erase`."""

    account: str
    removed: bool = True


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
async def add_account(body: AddAccount, caller: Called, installation: Installed) -> AccountSettings:
    """Add an account."""
    account = await installation.accounts_service.call_again(
        installation.accounts.add,
        AccountId(body.account),
        caller.asks(None, body.note),
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


_APPLIED: dict[int | str, dict[str, Any]] = {200: {"model": AppliedLine}}
_LONGEST_CHECK = 60.0
"""Seconds that a check of credentials may take."""

_TOGETHER = 100
"""Accounts that are stored in one transaction."""


@router.post("/applied", response_class=AppliedLines, responses=_APPLIED)
async def apply_accounts(body: ApplyAccounts, caller: Called, installation: Installed) -> AppliedLines:
    """Bring accounts to what a file says of them, as JSON lines: how far it is, what changes, and the counts."""
    lines = _applied(body, caller.asks(body.by, body.note), installation)
    if not caller.is_keyed:
        return AppliedLines(encoded(lines, _last))
    whole = [line async for line in lines]
    return AppliedLines(to_line(line) for line in whole)


def _last(failure: Exception) -> AppliedLine:
    return AppliedLine(error=problem_at_end(failure, "all of the changes").detail)


@router.post("/{account}/people", openapi_extra=IF_MATCH)
async def set_people(account: str, body: SetPeople, caller: Called, installation: Installed) -> AccountSettings:
    """Change an account's tier, Master User or account manager."""
    wanted = WantedAccount(tier=body.tier, master_user=body.master_user, account_manager=body.account_manager)
    by = caller.asks(body.by, body.note)
    return await _change(installation, account, caller, by, lambda person, known: person.bring_to(known, wanted))


@router.post("/{account}/removed", openapi_extra=IF_MATCH)
async def remove_account(
    body: RemoveAccount, known: KnownAccount, caller: Called, installation: Installed
) -> RemovedAccount:
    """Remove an account: nothing is read or written for it from now on, and its targets stay as they are."""
    service, account = installation.accounts_service, known.account
    remove = _as_seen(caller, lambda person, known: person.remove(known))
    await service.call_again(installation.accounts.ask, account, caller.asks(body.by, body.note), remove)
    with suppress(CredentialsUnreadable):
        await service.call(installation.credentials.forget, account)
    await installation.intake_service.call(forget, installation.intake_service.store, account)
    service.notify()
    return RemovedAccount(account=account)


def visible_accounts(accounts: Store, principal: Principal) -> list[str]:
    """The accounts that this principal may see, in the order of ids. Raises `StoreFailed`."""
    people = accounts.count(AccountRow, KNOWN, by=["account", "master_user", "account_manager"])
    known = (
        Account(account=AccountId(str(account)), master_user=str(master_user), account_manager=str(manager))
        for account, master_user, manager in people
    )
    return sorted(each.account for each in known if principal.roles_on(each))


MOST_LISTED = 500
"""Accounts in one response; ask for more behind the last of them."""


def accounts_behind(accounts: Store, principal: Principal, after: str) -> list[Account]:
    """The next accounts that this principal may see, in the order of ids. Raises `StoreFailed`."""
    found: list[Account] = []
    for rows in pages(accounts, AccountRow, KNOWN, "account", after=after, limit=MOST_LISTED):
        found += (account for account in map(to_account, rows) if principal.roles_on(account))
        if len(found) >= MOST_LISTED:
            break
    return found[:MOST_LISTED]


@router.get("")
async def list_accounts(
    caller: Called,
    installation: Installed,
    after: Annotated[str, Query(description="The account behind which to go on.")] = "",
) -> list[AccountSettings]:
    """List the accounts that the caller may see: the next 500, in the order of ids."""
    readers = installation.readers
    found = await readers.call(accounts_behind, readers.accounts, caller.principal, after)
    return [_to_settings(account) for account in found]


async def _tag(known: KnownAccount, response: Response) -> None:
    response.headers["ETag"] = f'"{known.version}"'


@router.get("/{account}", dependencies=[Depends(_tag)])
async def show_account(known: KnownAccount) -> AccountSettings:
    """Show an account."""
    return _to_settings(known)


@router.post("/{account}/allow", openapi_extra=IF_MATCH)
async def allow_sync(account: str, body: ByPerson, caller: Called, installation: Installed) -> AccountSettings:
    """Allow a Standard-tier account to turn Sync Drivers on."""
    by = caller.asks(body.by, body.note)
    return await _change(installation, account, caller, by, lambda person, known: person.allow(known))


@router.post("/{account}/mode", openapi_extra=IF_MATCH)
async def set_mode(account: str, body: SetMode, caller: Called, installation: Installed) -> AccountSettings:
    """Set how far synchronisation with a target may go."""
    return await _change(
        installation,
        account,
        caller,
        caller.asks(body.by, body.note),
        lambda person, known: person.set_mode(known, body.target, body.mode),
    )


@router.post("/{account}/sync", openapi_extra=IF_MATCH)
async def turn_sync(account: str, body: TurnSync, caller: Called, installation: Installed) -> AccountSettings:
    """Turn Sync Drivers on or off."""
    return await _change(
        installation,
        account,
        caller,
        caller.asks(body.by, body.note),
        lambda person, known: person.turn_on(known) if body.on else person.turn_off(known),
    )


@router.post("/{account}/reconciliation-time", openapi_extra=IF_MATCH)
async def set_reconciliation_time(
    account: str, body: SetReconciliationTime, caller: Called, installation: Installed
) -> AccountSettings:
    """Set when daily reconciliations begin."""
    by = caller.asks(body.by, body.note)
    return await _change(
        installation,
        account,
        caller,
        by,
        lambda person, known: person.set_reconciliation_time(known, body.reconcile_at),
    )


@router.post("/{account}/credentials")
async def connect_target(
    body: Connect, known: KnownAccount, installation: Installed, caller: Called
) -> ConnectedTarget:
    """Store an account's credentials at the Portal or at a target."""
    await installation.accounts_service.call(installation.credentials.keep, known.account, body.target, body.values)
    await note_for_account(
        installation,
        noted(caller, installation.clock, "connect_target", body.target, body.note, account=known.account),
    )
    installation.accounts_service.notify()
    return ConnectedTarget(account=known.account, target=body.target, connected=True)


@router.post("/{account}/credentials/checked")
async def check_credentials(body: CheckCredentials, known: KnownAccount, installation: Installed) -> CheckedTarget:
    """Ask the Portal or a target, by the cheapest call that only reads, whether it answers to the account."""
    failure: CallFailure | None = None
    try:
        if body.target == PORTAL:
            await _read_portal(known.account, installation)
        else:
            drivers = await installation.projectors[body.target].reach(known.account)
            async with asyncio.timeout(_LONGEST_CHECK):
                await drivers.probe()
    except TimeoutError:
        failure = Unavailable(reason=Reason.DOWN, detail=f"no answer within {_LONGEST_CHECK:.0f} seconds")
    except TargetFailed as failed:
        failure = failed.failure
    return CheckedTarget(
        account=known.account,
        target=body.target,
        ok=failure is None,
        reason=str(failure.reason) if failure else "",
        detail=failure.detail if failure else "",
        at=utc_now(),
    )


@router.post("/{account}/credentials/removed")
async def disconnect_target(
    body: Disconnect, known: KnownAccount, installation: Installed, caller: Called
) -> DisconnectedTarget:
    """Remove an account's credentials at the Portal or at a target."""
    removed = await installation.accounts_service.call(installation.credentials.remove, known.account, body.target)
    if removed:
        row = noted(caller, installation.clock, "disconnect_target", body.target, body.note, account=known.account)
        await note_for_account(installation, row)
    if body.target == PORTAL:
        await installation.intake_service.call(forget, installation.intake_service.store, known.account)
    installation.accounts_service.notify()
    return DisconnectedTarget(account=known.account, target=body.target, removed=removed)


async def _change(
    installation: Installation, account: str, caller: Caller, by: Asker, request: AccountChange
) -> AccountSettings:
    """Do what this person requests of the account, and wake who waits for it. Raises `NotAsSeen`."""
    change = _as_seen(caller, request)
    changed = await installation.accounts_service.call_again(installation.accounts.ask, account, by, change)
    installation.accounts_service.notify()
    return _to_settings(changed)


def _as_seen(caller: Caller, request: AccountChange) -> AccountChange:
    """The same request of an account that is as the caller saw it: what is stored follows on that very version."""

    def change(person: Request, known: Account) -> tuple[AccountEvent, ...]:
        caller.check_seen(str(known.version))
        return request(person, known)

    return change


async def _read_portal(account: AccountId, installation: Installation) -> None:
    """Read an account's list, and store nothing of it. Raises `TargetFailed` and `TimeoutError`."""
    portals = installation.open_portals()
    try:
        portal = await installation.accounts_service.call(portals.to, account)
        if isinstance(portal, Rejected):
            raise TargetFailed(portal)
        async with asyncio.timeout(_LONGEST_CHECK):
            await portal.list_all()
    finally:
        await portals.close()


async def _applied(body: ApplyAccounts, by: Asker, installation: Installation) -> AsyncGenerator[AppliedLine, None]:
    """First all is looked at, and only where nothing is refused it is stored, some accounts in each transaction."""
    wanted, wrong = _parse(body.accounts)
    found: dict[int, AppliedAccount] = {}
    accounts, service = installation.accounts, installation.accounts_service
    for page in _pages(wanted):
        differences = await service.call(accounts.differences, _wanted_in(page), by)
        for (index, _), each in zip(page, differences, strict=True):
            found[index] = _to_applied(index, each)
            wrong[index] += [FieldError(field="", detail=each.refusal)] if each.refusal else []
    found |= {index: _to_refused(index, body.accounts[index], errors) for index, errors in wrong.items() if errors}
    has_refused = any(wrong.values())
    changing = [each for each in wanted if found[each[0]].action in ("add", "change")]
    for page in [] if has_refused or body.dry_run else _pages(changing):
        done = await service.call_again(accounts.bring_to, _wanted_in(page), by)
        service.notify()
        if refused := next((each.refusal for each in done if each.refusal), ""):
            raise NotPermitted(f"{refused}; this changed meanwhile: apply the file again")
        yield AppliedLine(done=len(page))
    for index in range(0, len(found), _TOGETHER):
        yield AppliedLine(accounts=[found[each] for each in range(index, min(index + _TOGETHER, len(found)))])
    actions = [each.action for each in found.values()]
    yield AppliedLine(
        applied=AppliedAccounts(
            added=actions.count("add"),
            changed=actions.count("change"),
            unchanged=actions.count("none"),
            refused=actions.count("refuse"),
            dry_run=body.dry_run,
        )
    )


Indexed = tuple[int, StatedAccount]
"""An entry with its place in the request."""


def _parse(entries: Sequence[Mapping[str, Any]]) -> tuple[list[Indexed], dict[int, list[FieldError]]]:
    """The entries that name an account, as far as they can be read, and what is wrong with each entry."""
    wanted, wrong = list[Indexed](), dict[int, list[FieldError]]()
    names = set[str]()
    for index, each in enumerate(entries):
        entry, wrong[index] = _read(each)
        if entry and entry.account.lower() in names:
            wrong[index].append(FieldError(field="", detail=f"{entry.account} is there twice"))
        elif entry:
            names.add(entry.account.lower())
            wanted.append((index, entry))
    return wanted, wrong


_PEOPLE = ("master_user", "account_manager")


def _read(stated: Mapping[str, Any]) -> tuple[StatedAccount | None, list[FieldError]]:
    """An entry without what is wrong with it; None if that is the account's id.

    Who is stated wrongly is not missing: a stand-in is there for them, which is never stored.
    """
    try:
        return StatedAccount.model_validate(stated), []
    except ValidationError as wrong:
        found = wrong.errors()
    errors = [
        each.model_copy(update={"detail": f"{each.detail}{did_you_mean(each.field, StatedAccount.model_fields)}"})
        if error["type"] == "extra_forbidden"
        else each
        for error, each in zip(found, field_errors(found), strict=True)
    ]
    strange = {str(error["loc"][0]) for error in found}
    good = {name: value for name, value in stated.items() if name not in strange}
    good |= dict.fromkeys(strange.intersection(_PEOPLE), "stated")
    return None if "account" in strange else StatedAccount.model_validate(good), errors


def _to_refused(index: int, stated: Mapping[str, Any], errors: list[FieldError]) -> AppliedAccount:
    name = str(stated.get("account", ""))[:64]
    return AppliedAccount(index=index, account=name, action="refuse", error=in_one_line(errors), errors=errors)


def _pages(entries: Sequence[Indexed]) -> Iterator[list[Indexed]]:
    remaining = iter(entries)
    while page := list(islice(remaining, _TOGETHER)):
        yield page


def _wanted_in(page: Sequence[Indexed]) -> dict[AccountId, WantedAccount]:
    return {
        AccountId(each.account): WantedAccount(
            tier=each.tier,
            master_user=each.master_user,
            account_manager=each.account_manager,
            modes=each.modes,
            reconcile_at=each.reconcile_at,
        )
        for _, each in page
    }


def _to_applied(index: int, difference: AccountDifference) -> AppliedAccount:
    before, after = _shown(difference.before), _shown(difference.after)
    changes = {name: (before.get(name, ""), after[name]) for name in after if before.get(name, "") != after[name]}
    action: Literal["add", "change"] = "change" if difference.before.is_known else "add"
    return AppliedAccount(
        index=index,
        account=difference.before.account,
        action=action if difference.facts else "none",
        changes=changes,
    )


def _shown(account: Account) -> dict[str, str]:
    """The settings of an account that a file can have; a new account has none."""
    if not account.is_known:
        return {}
    return {
        "tier": str(account.tier),
        "master_user": account.master_user,
        "account_manager": account.account_manager,
        **{f"modes.{target}": str(account.modes.get(target, Mode.OFF)) for target in Target},
        "reconcile_at": account.reconcile_at,
    }


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
        version=account.version,
    )
