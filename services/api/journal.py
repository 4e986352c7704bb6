"""`/v1/journal`: what people did that no event says, each with who and why.

Credentials, push secrets, webhooks, API keys, keys of profiles, dead letters, capsules, and identifiers that were
approved.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Final

from pydantic import Field

from domain.store import JournalRow, Store, Unit
from services.api.explanation_text import named, person
from services.api.installation import Installation
from services.api.permissions import Caller
from services.api.routing import Installed, new_router
from services.api.schema import Moment, ResponseBody
from services.runtime.context import Clock

router = new_router("journal", prefix="/journal")

MOST: Final = 100
"""Entries in one response."""

_LATEST = datetime.max.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_FACTS: Final[Mapping[str, str]] = {
    "connect_target": "{who} stored credentials for {subject}.",
    "disconnect_target": "{who} removed the credentials for {subject}.",
    "create_secret": "{who} created the push secret of {subject}.",
    "rotate_secret": "{who} replaced the push secret of {subject}.",
    "revoke_secret": "{who} revoked the push secret of {subject}.",
    "create_webhook": "{who} added the webhook {subject}.",
    "rotate_webhook": "{who} replaced the secret of the webhook {subject}.",
    "disable_webhook": "{who} disabled the webhook {subject}.",
    "enable_webhook": "{who} enabled the webhook {subject}.",
    "delete_webhook": "{who} deleted the webhook {subject}.",
    "ping_webhook": "{who} sent a ping to the webhook {subject}.",
    "resend_webhook_message": "{who} sent a message to the webhook {subject} again.",
    "approve_rekeyings": "{who} approved other identifiers of drivers (set {subject}).",
    "make_capsule": "{who} made a capsule of driver {subject}.",
    "discard_letter": "{who} discarded the dead letter {subject}.",
    "resubmit_letter": "{who} resubmitted the dead letter {subject}.",
    "resubmit_letters": "{who} resubmitted {subject} dead letters.",
    "list_profile_keys": "{who} got the keys of the profiles of {subject}.",
    "rotate_master": "{who} began to wrap {subject} by another master key.",
    "create_key": "{who} made the API key {subject}.",
    "revoke_key": "{who} revoked the API key {subject}.",
}


class JournalEntry(ResponseBody):
    """What somebody did: `command` is the operation, `subject` what it was done to, and `fact` says it in words.

    `authenticated` is who asked in the name of `by`, and `note` why, where they said so.
    """

    at: Moment
    account: str
    command: str
    subject: str
    by: str
    role: str
    authenticated: str
    note: str
    fact: str
    place: str


class Journal(ResponseBody):
    """Some of the entries, the newest first. `next` is the `after` of the next page, None at the end."""

    entries: tuple[JournalEntry, ...] = Field(max_length=MOST)
    next: str | None


def noted(
    caller: Caller, clock: Clock, command: str, subject: object, note: str, *, account: str = "", by: str | None = None
) -> JournalRow:
    """What is stored of a command with what it does. Raises `NotPermitted` where `by` is somebody else."""
    at, asker = clock(), caller.asks(by, note)
    return JournalRow(
        id=f"{(_LATEST - at) // _MICROSECOND:018}/{token_hex(6)}",
        at=at.isoformat(),
        account=account,
        command=command,
        subject=str(subject),
        by=asker.by,
        role=str(caller.role),
        authenticated=asker.authenticated,
        note=asker.note,
    )


async def note_for_account(installation: Installation, row: JournalRow) -> None:
    """Store an entry about an account, whose credentials are not in a store of ours. Raises `StoreFailed`."""
    service = installation.accounts_service
    await service.call(keep, service.store, row)


def keep(store: Store, row: JournalRow) -> None:
    """Store an entry alone. Raises `StoreFailed`."""
    unit = Unit()
    unit.keep([row])
    store.commit(unit)


def journal_of(
    store: Store, account: str, *, after: str | None = None, limit: int | None = None
) -> Iterable[JournalEntry]:
    """The entries of a store about an account, the newest first; about any where it is empty. Raises `StoreFailed`."""
    where = {"account": account} if account else None
    return map(_to_entry, store.select(JournalRow, where, order_by="id", after=after, limit=limit))


def _to_entry(row: JournalRow) -> JournalEntry:
    fact = _FACTS.get(row.command, "{who} did {subject}.")
    return JournalEntry(
        at=datetime.fromisoformat(row.at),
        account=row.account,
        command=row.command,
        subject=row.subject,
        by=row.by,
        role=row.role,
        authenticated=row.authenticated,
        note=row.note,
        fact=fact.format(who=person(row.by, row.role), subject=named(row.subject)),
        place=row.id,
    )


@router.get("")
async def show_journal(installation: Installed, account: str | None = None, after: str = "") -> Journal:
    """Show what people did to credentials, push secrets, API keys and dead letters, the newest first."""
    readers, access, stores = installation.readers, installation.access, [*installation.readers.stores.values()]

    def behind(store: Store) -> Iterable[JournalEntry]:
        return journal_of(store, account or "", after=after or None, limit=MOST + 1)

    found = await readers.call(lambda: [entry for store in stores for entry in behind(store)])
    found += await access.call(lambda: [*behind(access.store)])
    entries = sorted(found, key=lambda each: each.place)
    page = entries[:MOST]
    return Journal(entries=tuple(page), next=page[-1].place if len(entries) > MOST else None)
