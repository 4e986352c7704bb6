"""`/accounts/{account}/history`: settings, verdicts, requests and reconciliations of an account in one timeline."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from domain.account import (
    AccountAdded,
    AccountErased,
    AccountEvent,
    AccountManagerSet,
    AccountRemoved,
    DeletesApproved,
    DeletesJudged,
    MasterUserSet,
    ReconciliationRequested,
    ReconciliationTimeSet,
    RetryRequested,
    SyncTurnedOff,
    SyncTurnedOn,
    TierSet,
    UndoRequested,
)
from domain.identity import AccountId, Target, account_stream
from domain.reconciliation import Finding
from domain.store import Store
from services.api.explanation_text import describe_account, named, person
from services.api.journal import JournalEntry, journal_of
from services.api.naming import moment_named
from services.api.reconciliations import ReconciliationReport, past_reconciliations
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Malformed, Moment, ResponseBody

router = new_router("accounts", prefix="/accounts/{account}/history")

MOST = 100
"""Entries in one response."""

_MOST_RECONCILIATIONS = 1000

_SETTING = "setting"

_KINDS: Mapping[type[AccountEvent], str] = {
    SyncTurnedOn: "sync",
    SyncTurnedOff: "sync",
    DeletesJudged: "verdict",
    RetryRequested: "request",
    ReconciliationRequested: "request",
    UndoRequested: "request",
}
"""The kinds of facts that are more than a setting."""


class AccountEntry(ResponseBody):
    """One entry of an account's timeline: a `setting`, `sync`, `verdict`, `request` or `reconciliation`.

    `by` is who did it, empty for a daily reconciliation; `authenticated` who asked in their name, and `note` why, where
    they said so. `report` is what a reconciliation found.
    """

    at: Moment
    kind: str
    type: str
    by: str
    role: str
    target: str
    fact: str
    place: str
    authenticated: str = ""
    note: str = ""
    report: ReconciliationReport | None = None


class AccountHistory(ResponseBody):
    """Some of the entries, the newest first. `next` is the `after` of the next page, None at the end."""

    entries: tuple[AccountEntry, ...] = Field(max_length=MOST)
    next: str | None


def account_history(
    accounts: Store,
    intake: Store,
    decider: Store,
    account: AccountId,
    after: str,
    kinds: frozenset[str],
    until: datetime | None = None,
) -> AccountHistory:
    """The entries of these kinds, or of all, until a moment, and older than the one of this place.

    Raises `StoreFailed`, `Malformed`.
    """
    stream = account_stream(account)
    facts = [fact for fact in accounts.histories([stream]).get(stream, ()) if isinstance(fact, AccountEvent)]
    entries = [to_entry(fact) for fact in facts]
    reports = past_reconciliations(decider, accounts, account, [*Target], _MOST_RECONCILIATIONS)
    entries += [_of_reconciliation(report) for report in reports]
    entries += [_of_journal(entry) for store in (accounts, intake) for entry in journal_of(store, account)]
    entries.sort(key=lambda entry: (entry.at, entry.place), reverse=True)
    wanted = [each for each in entries if (not kinds or each.kind in kinds) and each.at <= (until or each.at)]
    start = 0
    if after:
        start = next((place for place, entry in enumerate(wanted, 1) if entry.place == after), 0)
        if not start:
            raise Malformed("this cursor is not one of this history: start without one")
    page = wanted[start : start + MOST]
    return AccountHistory(entries=tuple(page), next=page[-1].place if start + MOST < len(wanted) else None)


def to_entry(fact: AccountEvent) -> AccountEntry:
    """A fact of the account as an entry of its timeline."""
    return AccountEntry(
        at=fact.at,
        kind=next((kind for known, kind in _KINDS.items() if isinstance(fact, known)), _SETTING),
        type=type(fact).__name__,
        by=fact.by,
        role=fact.role,
        target=getattr(fact, "target", ""),
        fact=_describe(fact),
        place=f"account/{fact.originator_version:09}",
        authenticated=fact.authenticated,
        note=fact.note,
    )


def _describe(fact: AccountEvent) -> str:
    who = person(fact.by, fact.role)
    match fact:
        case AccountAdded():
            modes = ", ".join(f"{named(target)} {mode}" for target, mode in sorted(fact.modes.items()))
            return f"The account was added on the {fact.tier} tier, with the modes {modes or 'off'}."
        case ReconciliationTimeSet():
            when = f"{fact.reconcile_at} UTC" if fact.reconcile_at else "a time of the account's own"
            return f"{who} set the time of daily reconciliations to {when}."
        case DeletesJudged():
            verb = "approved" if isinstance(fact, DeletesApproved) else "rejected"
            return f"{who} {verb} {len(fact.holds)} held deletes on {named(fact.target)} (set {fact.digest})."
    return _describe_customer(fact) or describe_account(fact)


def _describe_customer(fact: AccountEvent) -> str:
    """A fact about whose account it is, and whether there is one; empty for any other."""
    who = person(fact.by, fact.role)
    match fact:
        case MasterUserSet():
            return f"{who} made {fact.master_user} the Master User."
        case AccountManagerSet():
            if not fact.account_manager:
                return f"{who} left the account without an account manager."
            return f"{who} made {fact.account_manager} the account manager."
        case TierSet():
            return f"{who} set the tier to {fact.tier}."
        case AccountRemoved():
            return f"{who} removed the account."
        case AccountErased():
            return "All data of the account before this was erased."
    return ""


def _of_journal(entry: JournalEntry) -> AccountEntry:
    return AccountEntry(
        at=entry.at,
        kind="verdict" if entry.command == "approve_rekeyings" else "setting",
        type=entry.command,
        by=entry.by,
        role=entry.role,
        target="",
        fact=entry.fact,
        place=f"journal/{entry.place}",
        authenticated=entry.authenticated,
        note=entry.note,
    )


def _of_reconciliation(report: ReconciliationReport) -> AccountEntry:
    name = named(report.target)
    if report.is_refused:
        fact = (
            f"A reconciliation of {name} was refused: it would have done {report.would_be}, not the plan {report.plan}."
        )
    else:
        fact = f"Reconciliation {report.number} of {name} read a roster of {report.drivers} drivers. {_found(report)}"
    return AccountEntry(
        at=report.at,
        kind="reconciliation",
        type="ReconciliationRefused" if report.is_refused else "ReconciliationCompleted",
        by=report.by,
        role="",
        target=report.target,
        fact=fact,
        place=f"{report.target}/{report.number:09}",
        report=report,
    )


def _found(report: ReconciliationReport) -> str:
    """What was found of the Portal's drivers, and of those that only the target has, in two sentences at most."""
    found = {finding: drivers for finding, drivers in sorted(report.found.items()) if drivers}
    unmanaged = found.pop(Finding.UNMANAGED, 0)
    counts = ", ".join(f"{drivers} {finding.replace('_', ' ')}" for finding, drivers in found.items())
    of_portal = f"Drivers of the Portal: {counts}." if counts else "There was nothing to decide."
    return f"{of_portal} Only on the target: {unmanaged} unmanaged." if unmanaged else of_portal


@router.get("")
async def show_account_history(
    known: KnownAccount, installation: Installed, after: str = "", kind: str = "", until: str | None = None
) -> AccountHistory:
    """Show what happened to an account, the newest first: who changed what, and what reconciliations found."""
    moment = moment_named(until)
    readers = installation.readers
    kinds = frozenset(filter(None, kind.split(",")))
    if unknown := kinds - {_SETTING, *_KINDS.values(), "reconciliation"}:
        raise Malformed(f"there is no kind {min(unknown)!r}")
    stores = (readers.accounts, readers.intake, readers.decider)
    return await readers.call(account_history, *stores, known.account, after, kinds, moment)
