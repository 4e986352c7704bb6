"""How the facts of a link are drafted: numbered, explained, and left out when they are said already."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from domain.case import Case
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Decision,
    DeleteRecalled,
    DriverLink,
    LinkEvent,
    Parked,
    Released,
)
from domain.identity import Key
from domain.ledger import Contest
from domain.profile import Profile


class LinkOrigin(TypedDict):
    """The fields that every fact about a link starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    target: str
    driver: str


def origin(link: DriverLink, at: datetime) -> LinkOrigin:
    """The first fields of the next fact about this link."""
    return {
        "originator_id": link.id,
        "originator_version": link.version + 1,
        "at": at,
        "account": link.account,
        "target": str(link.target),
        "driver": link.driver,
    }


def in_sequence(link: DriverLink, events: Iterable[LinkEvent]) -> tuple[LinkEvent, ...]:
    """The same facts, numbered one after the other from the link's next version on."""
    return tuple(_numbered(event, link.version + step) for step, event in enumerate(events, 1))


def _numbered(event: LinkEvent, version: int) -> LinkEvent:
    return event if event.originator_version == version else replace(event, originator_version=version)


def said(
    case: Case,
    fact: type[Decision],
    *,
    wished_key: Key | None,
    profile: Profile | None = None,
    fields: Sequence[str] = (),
    guard: dict[str, int] | None = None,
) -> tuple[LinkEvent, ...]:
    """The decision, after whatever it ends; nothing if it stands already, or was refused just so."""
    link, wish = case.facts.link, case.facts.wish
    because = case.because()
    if guard is not None:
        because["guard"] = guard
    decision = fact(
        **origin(link, case.cause.at),
        sequence=wish.sequence,
        key=link.key,
        wished_key=wished_key,
        profile=dict(wish.profile if profile is None else profile),
        fields=list(fields),
        answers=link.answers,
        terms=case.cause.terms,
        waits_for=wish.waits_for,
        because=because,
    )
    return () if _stands(link, decision) else in_sequence(link, [*released(case), decision])


def _stands(link: DriverLink, decision: Decision) -> bool:
    if link.pending is not None:
        return _meaning(link.pending) == _meaning(decision) and link.pending.answers == decision.answers
    if link.parked is None:
        return False
    if link.parked.reason == UNSETTLED:
        return link.parked.sequence == decision.sequence
    return link.parked.reason == REFUSED and link.refused is not None and _meaning(link.refused) == _meaning(decision)


def _meaning(decision: Decision) -> tuple[object, ...]:
    return type(decision), decision.wished_key, decision.profile, decision.terms, decision.waits_for


def parked(case: Case, reason: str, detail: str, contest: Contest | None = None) -> tuple[LinkEvent, ...]:
    """That the link is set aside, after whatever that ends; nothing if it is for this reason already."""
    link = case.facts.link
    waits_for, holder = (contest.waits_for, contest.holder or contest.former or "") if contest else ("", "")
    if link.parked and (link.parked.reason, link.parked.waits_for, link.parked.holder) == (reason, waits_for, holder):
        return ()
    fact = Parked(
        **origin(link, case.cause.at),
        sequence=case.facts.wish.sequence,
        reason=reason,
        detail=detail,
        waits_for=waits_for,
        holder=holder,
        because=case.because(),
    )
    return in_sequence(link, [*released(case), fact])


def released(case: Case) -> list[LinkEvent]:
    """What has to be said first: that the reason for parking is over, that a held delete is recalled."""
    link = case.facts.link
    if link.parked:
        return [Released(**origin(link, case.cause.at), reason=link.parked.reason)]
    if link.held or (link.let_stay and case.facts.wish.is_wanted):
        return [DeleteRecalled(**origin(link, case.cause.at))]
    return []
