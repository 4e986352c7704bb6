"""The only place where decisions are made: `decide(desired, link, batch, trigger) -> events`.

How a target's answer is recorded on the link; what follows from it, `decide` says as ever.

How the facts of a link are drafted: numbered, explained, and left out when they are said already.

What a person's word on held deletes means for one link.

What looking at a parked link again means, because a person asks for it or a target can be reached again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypedDict, assert_never
from uuid import UUID

from domain.account import Mode
from domain.claims import Batch, Conflict, brought_by
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Confirmed,
    CreateDecided,
    Decision,
    Deferred,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DeleteRejected,
    DriftFound,
    DriverLink,
    HoldJudged,
    LinkDecided,
    LinkEvent,
    Parked,
    Refused,
    ReinstateDecided,
    Released,
    RenameDecided,
    UpdateDecided,
    apply,
)
from domain.identity import Key
from domain.matching import (
    DesiredDriver,
    ObservedDriver,
    claims,
    is_key_identifier,
    temporary_field,
    temporary_values,
)
from domain.outcomes import CallAnswered, Outcome
from domain.profile import Profile, chosen, is_own_form
from domain.situations import Answer, Case, Trigger, to_case
from domain.targets import SPECS, to_change, unreadable


def decide(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """What follows for one link from what the Portal wants and the target shows; nothing when all is said already.

    The batch is only read; whoever stores the events lets it `record` them.
    """
    if _awaits_answer(desired, link, trigger):
        return ()
    case = to_case(desired, link, batch, trigger)
    return _ANSWERS[case.row.answer](case)


def _awaits_answer(desired: DesiredDriver, link: DriverLink, trigger: Trigger) -> bool:
    """Whether a call under way may give the driver an identifier that is not desired any more, or was withdrawn.

    Until it is answered nobody knows who has that identifier, so nothing else is decided for this link; the answer
    makes us look again. Only what is sent under the present terms is answered. A create that is not desired any more
    is withdrawn at once, so that it does not start.
    """
    if link.pending is None or not _is_sent(link.pending, trigger):
        return False
    if not link.is_live and (link.pending.is_withdrawal or not desired.is_wanted):
        return desired.is_wanted
    wanted = claims(desired.target, desired.key, desired.profile) if desired.is_wanted else frozenset()
    return bool(brought_by(link, link.pending) - wanted)


def _is_sent(decided: Decision, trigger: Trigger) -> bool:
    """Whether a decision goes to the target as the account stands now, so that it will be answered."""
    return trigger.mode in (Mode.UPSERT, Mode.FULL) and decided.policy_generation == trigger.policy_generation


def _park(case: Case) -> tuple[LinkEvent, ...]:
    conflict, link = case.facts.conflict, case.facts.link
    if conflict is None:
        return parked(case, "unkeyed", "the Portal gives neither a Driveri DriverID nor a RefID")
    if _gives_more(link, conflict, case.trigger):
        return ()
    aside = _stepped_aside(case, conflict)
    return aside or parked(case, "conflict", conflict.detail, conflict)


def _gives_more(link: DriverLink, conflict: Conflict, trigger: Trigger) -> bool:
    """Whether a call under way gives the driver a temporary value, or an identifier that nobody contests.

    Before it is answered nothing else can be said.
    """
    pending = link.pending
    if pending is None or pending.policy_generation != trigger.policy_generation:
        return False
    is_bringing = _is_sent(pending, trigger) and brought_by(link, pending) - {conflict.identifier}
    return link.is_temporary(pending) or bool(is_bringing)


def _stepped_aside(case: Case, conflict: Conflict) -> tuple[LinkEvent, ...]:
    """Drivers who wait for each other's values in a circle would wait for ever: one takes a temporary value."""
    link, linked = case.facts.link, case.facts.linked
    if linked is None or not linked.active or link.confirmed is None:
        return ()
    awaited = case.facts.batch.awaited(link.driver, conflict.identifier)
    if is_key_identifier(awaited) and SPECS[link.target].is_key_desired:
        return said(case, RenameDecided, desired_key=link.temporary_key, profile=link.confirmed)
    field = temporary_field(link.target, awaited)
    if not field:
        return ()
    profile = {**link.confirmed, field: temporary_values(link.target, link.temporary_key)[field]}
    return said(case, UpdateDecided, desired_key=link.key, profile=profile, fields=[field])


def _own_again(case: Case) -> tuple[LinkEvent, ...] | None:
    """A value of its own in place of a temporary one, and nothing else, so that no other field can keep it from that.

    None where there is nothing temporary, or nothing of its own is free.
    """
    own, link = case.facts.own, case.facts.link
    if own is None:
        return None
    fact = RenameDecided if own.key != link.key else UpdateDecided
    return said(case, fact, desired_key=own.key, profile=own.profile, fields=own.fields)


def _create(case: Case) -> tuple[LinkEvent, ...]:
    return said(case, CreateDecided, desired_key=case.facts.desired.key, fields=sorted(case.facts.desired.profile))


def _link(case: Case) -> tuple[LinkEvent, ...]:
    return _said_of_found(case, LinkDecided)


def _reinstate(case: Case) -> tuple[LinkEvent, ...]:
    return _said_of_found(case, ReinstateDecided)


def _said_of_found(case: Case, fact: type[Decision]) -> tuple[LinkEvent, ...]:
    found = case.facts.found
    if _would_leave_a_temporary_id(case):
        return said(case, DeleteDecided, desired_key=None, profile={}, guard=case.facts.batch.guard.figures())
    return said(case, fact, desired_key=found.key, fields=_to_bring(case.facts.desired, found)) if found else ()


def _would_leave_a_temporary_id(case: Case) -> bool:
    """Whether the link would go to another driver and leave its own behind under a temporary id."""
    facts = case.facts
    is_aside = facts.linked is not None and facts.linked.active and facts.linked.key == facts.link.aside
    return is_aside and facts.found is not facts.linked and case.trigger.mode is not Mode.UPSERT


def _to_bring(desired: DesiredDriver, shown: ObservedDriver) -> list[str]:
    """The fields to write into a driver that is there already: what differs, and what cannot be read back."""
    differing = to_change(desired.target, desired.profile, shown.profile)
    return sorted({*differing, *unreadable(desired.target, desired.profile)})


def _update(case: Case) -> tuple[LinkEvent, ...]:
    facts, own = case.facts, _own_again(case)
    if own is not None:
        return own
    return said(case, UpdateDecided, desired_key=facts.link.key, fields=sorted({*facts.restated, *facts.drifted}))


def _override(case: Case) -> tuple[LinkEvent, ...]:
    shown, update = case.facts.linked, _update(case)
    return in_sequence(case.facts.link, [_drift(case, shown), *update]) if shown and update else ()


def _drift(case: Case, shown: ObservedDriver) -> DriftFound:
    link, fields = case.facts.link, case.facts.drifted
    return DriftFound(
        **origin(link, case.trigger.at),
        fields=list(fields),
        profile=chosen(shown.profile, fields),
        decision=link.confirmed_by,
        first_seen=shown.seen_at or case.trigger.at.isoformat(),
        reconciliation=case.trigger.reconciliation,
        at_odds=_at_odds(link, fields, case.trigger.reconciliation),
        rationale=case.rationale(),
    )


def _at_odds(link: DriverLink, fields: Iterable[str], reconciliation: int) -> list[str]:
    """The fields that drifted in the reconciliation before this one too: somebody else writes them, again and again.

    Only where our own value was shown in between: else it may be the target that writes it so.
    """
    before = link.drift.fields if link.drift and link.drift.reconciliation == reconciliation - 1 else ()
    return [field for field in fields if field in before and field not in link.unseen]


def _rename(case: Case) -> tuple[LinkEvent, ...]:
    facts, own = case.facts, _own_again(case)
    if own is not None:
        return own
    fields = sorted({*facts.restated, *facts.drifted})
    return said(case, RenameDecided, desired_key=facts.desired.key, fields=fields)


def _withdraw(case: Case) -> tuple[LinkEvent, ...]:
    """What was given up is withdrawn as it is: released, it would hold nothing any more."""
    decided, link = said(case, DeleteDecided, desired_key=None, profile={}), case.facts.link
    return in_sequence(link, decided[-1:]) if link.is_given_up else decided


def _delete(case: Case) -> tuple[LinkEvent, ...]:
    link, guard = case.facts.link, case.facts.batch.guard
    if link.held or link.let_stay == case.facts.desired.sequence:
        return ()
    if case.trigger.mode is Mode.UPSERT:
        return parked(case, "mode", "the mode upsert lets no deletes out")
    decided = said(case, DeleteDecided, desired_key=None, profile={}, guard=guard.figures())
    return decided if not decided or guard.lets_through(link.driver) else _held(case)


def _held(case: Case) -> tuple[LinkEvent, ...]:
    link = case.facts.link
    held = DeleteHeld(
        **origin(link, case.trigger.at),
        sequence=case.facts.desired.sequence,
        key=link.key or "",
        rationale={**case.rationale(), "guard": case.facts.batch.guard.figures()},
    )
    return in_sequence(link, [*released(case), held])


def _end(case: Case) -> tuple[LinkEvent, ...]:
    link = case.facts.link
    ended = Confirmed(**origin(link, case.trigger.at), decision=0, key=None, profile={}, unlike=[])
    return in_sequence(link, [*released(case), ended])


def _nothing(case: Case) -> tuple[LinkEvent, ...]:
    return in_sequence(case.facts.link, released(case))


_ANSWERS: Mapping[Answer, Callable[[Case], tuple[LinkEvent, ...]]] = {
    Answer.PARK: _park,
    Answer.CREATE: _create,
    Answer.LINK: _link,
    Answer.REINSTATE: _reinstate,
    Answer.UPDATE: _update,
    Answer.OVERRIDE: _override,
    Answer.RENAME: _rename,
    Answer.WITHDRAW: _withdraw,
    Answer.DELETE: _delete,
    Answer.END: _end,
    Answer.NOTHING: _nothing,
    Answer.REPORT: _nothing,
}


MOST_CORRECTIONS = 5
"""After so many answers in a row that the target is not as it last said, a person has to look."""


def record(link: DriverLink, report: CallAnswered, at: datetime, batch: Batch) -> tuple[LinkEvent, ...]:
    """The facts that an answer adds to the link: the outcome and, where it was refused for good, that it is parked.

    A driver that another link has got meanwhile cannot be linked a second time: for this link it exists already.
    """
    if report.key and batch.is_linked_elsewhere(link.driver, Key(report.key)):
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
        rationale={"trigger": "answer", "ref": f"decision {report.decision}"},
    )
    return in_sequence(link, [refusal, parked])


def _refusal(link: DriverLink, report: CallAnswered, at: datetime) -> Refused:
    reason = report.outcome if report.outcome in (Outcome.EXISTS, Outcome.MISSING) else report.reason
    return Refused(**origin(link, at), decision=report.decision, reason=reason, detail=report.detail)


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
    desired_key: Key | None,
    profile: Profile | None = None,
    fields: Sequence[str] = (),
    guard: dict[str, int] | None = None,
) -> tuple[LinkEvent, ...]:
    """The decision, after whatever it ends; nothing if it stands already, or was refused just so."""
    link, desired = case.facts.link, case.facts.desired
    rationale = case.rationale()
    if guard is not None:
        rationale["guard"] = guard
    decision = fact(
        **origin(link, case.trigger.at),
        sequence=desired.sequence,
        key=link.key,
        desired_key=desired_key,
        profile=dict(desired.profile if profile is None else profile),
        fields=list(fields),
        answers=link.answers,
        policy_generation=case.trigger.policy_generation,
        waits_for=desired.waits_for,
        rationale=rationale,
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
    return type(decision), decision.desired_key, decision.profile, decision.policy_generation, decision.waits_for


def parked(case: Case, reason: str, detail: str, conflict: Conflict | None = None) -> tuple[LinkEvent, ...]:
    """That the link is set aside, after whatever that ends; nothing if it is for this reason already."""
    link = case.facts.link
    waits_for, holder = (conflict.waits_for, conflict.holder or conflict.former or "") if conflict else ("", "")
    if link.parked and (link.parked.reason, link.parked.waits_for, link.parked.holder) == (reason, waits_for, holder):
        return ()
    fact = Parked(
        **origin(link, case.trigger.at),
        sequence=case.facts.desired.sequence,
        reason=reason,
        detail=detail,
        waits_for=waits_for,
        holder=holder,
        rationale=case.rationale(),
    )
    return in_sequence(link, [*released(case), fact])


def released(case: Case) -> list[LinkEvent]:
    """What has to be said first: that the reason for parking is over, that a held delete is recalled."""
    link = case.facts.link
    if link.parked:
        return [Released(**origin(link, case.trigger.at), reason=link.parked.reason)]
    if link.held or (link.let_stay and case.facts.desired.is_wanted):
        return [DeleteRecalled(**origin(link, case.trigger.at))]
    return []


def approve(
    desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger, *, hold: int, by: str, digest: str
) -> tuple[LinkEvent, ...]:
    """The delete goes out after all, past the guard; nothing if it is no longer this hold, or deletes are off."""
    if not _is_held(link, hold) or desired.is_wanted or trigger.mode is not Mode.FULL:
        return ()
    approved = _judged(DeleteApproved, link, trigger, hold=hold, by=by, digest=digest)
    case = to_case(desired, apply(link, approved), batch, trigger)
    decided = said(case, DeleteDecided, desired_key=None, profile={}, guard=batch.guard.figures())
    return in_sequence(link, [approved, *decided])


def reject(link: DriverLink, trigger: Trigger, *, hold: int, by: str, digest: str) -> tuple[LinkEvent, ...]:
    """The driver stays on the target; nothing if it is no longer this hold."""
    return (_judged(DeleteRejected, link, trigger, hold=hold, by=by, digest=digest),) if _is_held(link, hold) else ()


def _is_held(link: DriverLink, hold: int) -> bool:
    return link.held is not None and link.held.originator_version == hold


def _judged(
    verdict: type[HoldJudged], link: DriverLink, trigger: Trigger, *, hold: int, by: str, digest: str
) -> HoldJudged:
    return verdict(**origin(link, trigger.at), hold=hold, by=by, digest=digest)


_BY_TARGET = (REFUSED, UNSETTLED)
"""Reasons that the target gave: whether they are over, only another call can tell."""


def look_again(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """Decide a parked link as if nothing had been refused; nothing if it is not parked, or its reason stands.

    What the roster, the Portal or the mode keeps from going on (in conflict, unkeyed, mode) is only looked at again:
    whether that is over is known here.
    """
    if link.parked is None:
        return ()
    if link.parked.reason not in _BY_TARGET:
        return decide(desired, link, batch, trigger)
    fact = Released(**origin(link, trigger.at), reason=link.parked.reason)
    return in_sequence(link, [fact, *decide(desired, apply(link, fact), batch, trigger)])


def look_at_freed(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """Decide a link for which something came free: also what the target refused may be accepted now."""
    is_refused = link.parked is not None and link.parked.reason in _BY_TARGET
    return (look_again if is_refused else decide)(desired, link, batch, trigger)
