"""How a target's answer is recorded on the link; what follows from it, `decide` says as ever."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from domain.drafting import in_sequence, origin
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Confirmed,
    Decision,
    Deferred,
    DriverLink,
    LinkDecided,
    LinkEvent,
    Parked,
    Refused,
    UpdateDecided,
)
from domain.identity import Key
from domain.ledger import Ledger
from domain.profile import is_own_form
from domain.report import CallAnswered, Outcome
from domain.wish import to_change, unreadable

MOST_CORRECTIONS = 5
"""After so many answers in a row that the target is not as it last said, a person has to look."""


def record(link: DriverLink, report: CallAnswered, at: datetime, ledger: Ledger) -> tuple[LinkEvent, ...]:
    """The facts that an answer adds to the link: the outcome and, where it was refused for good, that it is parked.

    A driver that another link has got meanwhile cannot be linked a second time: for this link it exists already.
    """
    if report.key and ledger.is_linked_elsewhere(link.driver, Key(report.key)):
        return _corrected(link, replace(report, outcome=str(Outcome.EXISTS)), at)
    outcome = Outcome(report.outcome)
    match outcome:
        case Outcome.CONFIRMED:
            return (_confirmed(link, report, at),)
        case Outcome.DEFERRED:
            deferred = Deferred(
                **origin(link, at), decision=report.decision, reason=report.reason, detail=report.detail
            )
            return (deferred,)
        case Outcome.REFUSED:
            return _refused(link, report, at, REFUSED, report.detail)
        case Outcome.EXISTS | Outcome.MISSING:
            return _corrected(link, report, at)
    assert_never(outcome)


def _confirmed(link: DriverLink, report: CallAnswered, at: datetime) -> Confirmed:
    said = link.said(report.decision)
    stated = said.profile if said else report.profile
    is_there = report.key is not None and report.active
    unlike, unseen = _shown_otherwise(link, report, said) if is_there else ([], [])
    return Confirmed(
        **origin(link, at),
        decision=report.decision,
        key=report.key if is_there else None,
        profile=dict(stated),
        unlike=unlike,
        unseen=unseen,
    )


def _shown_otherwise(link: DriverLink, report: CallAnswered, said: Decision | None) -> tuple[list[str], list[str]]:
    """The fields that the target shows in its own way, and those that it has not shown since we wrote them."""
    stated, written = (said.profile, _written(said)) if said else (report.profile, frozenset[str]())
    if not report.is_shown:
        kept = [name for name in link.unlike if stated.get(name) == (link.confirmed or {}).get(name)]
        unseen = {*link.unlike, *link.unseen, *written} & stated.keys() - set(kept) - set(
            unreadable(link.target, stated)
        )
        return kept, sorted(unseen)
    differing = to_change(link.target, stated, report.profile)
    own_forms = {name for name in link.unseen if is_own_form(stated.get(name, ""), report.profile.get(name, ""))}
    return [name for name in differing if name in {*link.unlike, *own_forms, *written}], []


def _written(said: Decision) -> frozenset[str]:
    """The fields that a decision has the target write: all of them, unless the driver is only updated."""
    return frozenset(said.fields if isinstance(said, LinkDecided | UpdateDecided) else said.profile)


def _corrected(link: DriverLink, report: CallAnswered, at: datetime) -> tuple[LinkEvent, ...]:
    if link.corrections + 1 >= MOST_CORRECTIONS:
        detail = f"{link.target} said {MOST_CORRECTIONS} times in a row that it is not as it had said before"
        return _refused(link, report, at, UNSETTLED, detail)
    return (_refusal(link, report, at),)


def _refused(link: DriverLink, report: CallAnswered, at: datetime, reason: str, detail: str) -> tuple[LinkEvent, ...]:
    """Only the decision that stands can be parked for; another one was superseded meanwhile."""
    refusal, stood = _refusal(link, report, at), link.standing(report.decision)
    if stood is None:
        return (refusal,)
    parked = Parked(
        **origin(link, at),
        sequence=stood.sequence,
        reason=reason,
        detail=detail,
        waits_for="",
        holder="",
        because={"cause": "answer", "ref": f"decision {report.decision}"},
    )
    return in_sequence(link, [refusal, parked])


def _refusal(link: DriverLink, report: CallAnswered, at: datetime) -> Refused:
    reason = report.outcome if report.outcome in (Outcome.EXISTS, Outcome.MISSING) else report.reason
    return Refused(**origin(link, at), decision=report.decision, reason=reason, detail=report.detail)
