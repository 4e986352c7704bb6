"""The only place where decisions are made: `decide(desired, link, batch, trigger) -> events`.

A person's decision on a held delete, and another look at a parked link, lead to decisions in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from domain.account import Mode
from domain.claims import Batch, Conflict
from domain.driver_link import (
    REFUSED,
    UNDONE,
    UNSETTLED,
    Confirmed,
    CreateDecided,
    Decision,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DriftFound,
    DriverLink,
    HoldJudged,
    LinkDecided,
    LinkEvent,
    Parked,
    Rationale,
    ReinstateDecided,
    Released,
    RenameDecided,
    Undone,
    UndoRefused,
    UpdateDecided,
    apply,
    in_sequence,
    origin,
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
from domain.profile import SPECS, Profile, chosen, to_change, to_restate, unreadable
from domain.situations import Case, Resolution, Trigger, to_case
from domain.undoing import Ending, Former, NotUndone, stands_against


def decide(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """What follows for one link from what the Portal wants and the target shows; nothing if all is decided already.

    The batch is only read; its `record` is for the caller that stores the events.
    """
    if link.is_undone(desired.sequence):
        return _set_back(desired, link, batch, trigger)
    if link.undone is not None:
        return _let_go(desired, link, batch, trigger)
    if _awaits_outcome(desired, link, trigger):
        return ()
    case = to_case(desired, link, batch, trigger)
    return _RESOLVE[case.row.resolution](case)


def _awaits_outcome(desired: DesiredDriver, link: DriverLink, trigger: Trigger) -> bool:
    """Whether a call under way may give the driver an identifier that is no longer desired, or was withdrawn.

    Until its outcome is known, it is uncertain who has that identifier, so nothing else is decided for this link; the
    outcome triggers the next decision. Only what is sent under the present policy has an outcome. A create that is no
    longer desired is withdrawn at once, so that it does not start.
    """
    if link.pending is None or not _is_sent(link.pending, trigger):
        return False
    if not link.is_live and (link.pending.is_withdrawal or not desired.is_wanted):
        return desired.is_wanted
    wanted = claims(desired.target, desired.key, desired.profile) if desired.is_wanted else frozenset()
    return bool(link.brought_by(link.pending) - wanted)


def _is_sent(decided: Decision, trigger: Trigger) -> bool:
    """Whether a decision goes to the target as the account stands now, so that it has an outcome."""
    return trigger.mode in (Mode.UPSERT, Mode.FULL) and decided.policy_generation == trigger.policy_generation


def _park(case: Case) -> tuple[LinkEvent, ...]:
    conflict = case.conflict
    if conflict is None:
        return _parked(case, "unkeyed", "the Portal gives neither a Driveri DriverID nor a RefID")
    link, pending = case.link, case.link.pending
    if pending is not None and pending.policy_generation == case.trigger.policy_generation:
        # A call under way may resolve it: by a temporary value, or by an identifier other than the one in conflict.
        brings_another = _is_sent(pending, case.trigger) and link.brought_by(pending) - {conflict.identifier}
        if link.is_temporary(pending) or brings_another:
            return ()
    return _stepped_aside(case, conflict) or _parked(case, "conflict", conflict.detail, conflict)


def _stepped_aside(case: Case, conflict: Conflict) -> tuple[LinkEvent, ...]:
    """Drivers that wait for each other's values in a circle would wait for ever: one takes a temporary value."""
    link = case.link
    if not case.is_linked_there or link.confirmed is None:
        return ()
    awaited = case.batch.awaited(link.driver, conflict.identifier)
    if is_key_identifier(awaited) and SPECS[link.target].is_key_desired:
        return _decided(case, RenameDecided, desired_key=link.temporary_key, profile=link.confirmed)
    field = temporary_field(link.target, awaited)
    if not field:
        return ()
    profile = {**link.confirmed, field: temporary_values(link.target, link.temporary_key)[field]}
    return _decided(case, UpdateDecided, desired_key=link.key, profile=profile, fields=[field])


def _create(case: Case) -> tuple[LinkEvent, ...]:
    return _decided(case, CreateDecided, desired_key=case.desired.key, fields=sorted(case.desired.profile))


def _take(case: Case, fact: type[Decision]) -> tuple[LinkEvent, ...]:
    """Link to the driver that was found, or reinstate it, with the fields that differ and those that cannot be read."""
    desired, found, linked = case.desired, case.found, case.linked
    is_aside = linked is not None and linked.active and linked.key == case.link.aside
    if is_aside and found is not linked and case.trigger.mode is not Mode.UPSERT:
        # The link would go to another driver, and leave its own behind under a temporary id.
        return _decided(case, DeleteDecided, desired_key=None, profile={}, guard=case.batch.guard.figures())
    differing = to_change(desired.target, desired.profile, found.profile) if found else ()
    fields = sorted({*differing, *unreadable(desired.target, desired.profile)})
    return _decided(case, fact, desired_key=found.key, fields=fields) if found else ()


def _write(case: Case) -> tuple[LinkEvent, ...]:
    """Update or rename the linked driver.

    A value of its own in place of a temporary one is written first, and with nothing else, so that no other field
    which the target refuses can keep the driver from it.
    """
    own, link = case.own, case.link
    if own is not None:
        fact = RenameDecided if own.key != link.key else UpdateDecided
        return _decided(case, fact, desired_key=own.key, profile=own.profile, fields=own.fields)
    fields = sorted({*case.restated, *case.drifted})
    if case.row.resolution is Resolution.RENAME:
        return _decided(case, RenameDecided, desired_key=case.desired.key, fields=fields)
    return _decided(case, UpdateDecided, desired_key=link.key, fields=fields)


def _override(case: Case) -> tuple[LinkEvent, ...]:
    """Record what drifted, and bring it back to what the Portal wants."""
    link, trigger, shown, update = case.link, case.trigger, case.linked, _write(case)
    if shown is None or not update:
        return ()
    drifted = case.drifted
    # At odds is what drifted in the previous reconciliation too: another system writes it repeatedly. Only where the
    # target showed our own value in between; otherwise the target itself may write it so.
    before = link.drift.fields if link.drift and link.drift.reconciliation == trigger.reconciliation - 1 else ()
    drift = DriftFound(
        **origin(link, trigger.at),
        fields=list(drifted),
        profile=chosen(shown.profile, drifted),
        decision=link.confirmed_by,
        first_seen=shown.seen_at or trigger.at.isoformat(),
        reconciliation=trigger.reconciliation,
        at_odds=[field for field in drifted if field in before and field not in link.unseen],
        rationale=case.rationale(),
    )
    return in_sequence(link, [drift, *update])


def _withdraw(case: Case) -> tuple[LinkEvent, ...]:
    """Withdraw a create; one that was given up is not released first, which would free its identifiers."""
    decided, link = _decided(case, DeleteDecided, desired_key=None, profile={}), case.link
    return in_sequence(link, decided[-1:]) if link.is_given_up else decided


def _delete(case: Case) -> tuple[LinkEvent, ...]:
    link, guard = case.link, case.batch.guard
    if link.held or link.let_stay == case.desired.sequence:
        return ()
    if case.trigger.mode is Mode.UPSERT:
        return _parked(case, "mode", "the mode upsert lets no deletes out")
    decided = _decided(case, DeleteDecided, desired_key=None, profile={}, guard=guard.figures())
    if not decided or guard.lets_through(link.driver):
        return decided
    held = DeleteHeld(
        **origin(link, case.trigger.at),
        sequence=case.desired.sequence,
        key=link.key or "",
        rationale={**case.rationale(), "guard": guard.figures()},
    )
    return in_sequence(link, [*_released(case), held])


def _end(case: Case) -> tuple[LinkEvent, ...]:
    link = case.link
    ended = Confirmed(**origin(link, case.trigger.at), decision=0, key=None, profile={}, unlike=[])
    return in_sequence(link, [*_released(case), ended])


def _nothing(case: Case) -> tuple[LinkEvent, ...]:
    return in_sequence(case.link, _released(case))


_RESOLVE: Mapping[Resolution, Callable[[Case], tuple[LinkEvent, ...]]] = {
    Resolution.PARK: _park,
    Resolution.CREATE: _create,
    Resolution.LINK: partial(_take, fact=LinkDecided),
    Resolution.REINSTATE: partial(_take, fact=ReinstateDecided),
    Resolution.UPDATE: _write,
    Resolution.OVERRIDE: _override,
    Resolution.RENAME: _write,
    Resolution.WITHDRAW: _withdraw,
    Resolution.DELETE: _delete,
    Resolution.END: _end,
    Resolution.NOTHING: _nothing,
    Resolution.REPORT: _nothing,
}


def _decided(
    case: Case,
    fact: type[Decision],
    *,
    desired_key: Key | None,
    profile: Profile | None = None,
    fields: Sequence[str] = (),
    guard: dict[str, int] | None = None,
) -> tuple[LinkEvent, ...]:
    """The decision, after what it ends; nothing if it stands already, or the target refused exactly that."""
    link, desired = case.link, case.desired
    rationale = case.rationale()
    if guard is not None:
        rationale["guard"] = guard
    shown = case.found if case.found is not None and case.found.key == desired_key else case.linked
    written = SPECS[link.target].owned if fact is DeleteDecided else fields
    former = chosen({**_stated_unread(link, shown), **(shown.profile if shown else {})}, written)
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
        former=former,
    )
    return () if _stands(link, decision) else in_sequence(link, [*_released(case), decision])


def _stated_unread(link: DriverLink, shown: ObservedDriver | None) -> Profile:
    """What we last stated in the fields that the target never shows, if this is the linked driver."""
    is_ours = shown is not None and shown.key == link.key
    return chosen(link.confirmed or {}, SPECS[link.target].unreadable) if is_ours else {}


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


def _parked(case: Case, reason: str, detail: str, conflict: Conflict | None = None) -> tuple[LinkEvent, ...]:
    """Set the link aside, after what that ends; nothing if it is set aside for this reason already."""
    link = case.link
    waits_for, holder = (conflict.waits_for, conflict.holder or conflict.former or "") if conflict else ("", "")
    if link.parked and (link.parked.reason, link.parked.waits_for, link.parked.holder) == (reason, waits_for, holder):
        return ()
    fact = Parked(
        **origin(link, case.trigger.at),
        sequence=case.desired.sequence,
        reason=reason,
        detail=detail,
        waits_for=waits_for,
        holder=holder,
        rationale=case.rationale(),
    )
    return in_sequence(link, [*_released(case), fact])


def _released(case: Case) -> list[LinkEvent]:
    """What comes before another decision: the reason for parking is over, or a held delete is recalled."""
    link = case.link
    if link.parked:
        return [Released(**origin(link, case.trigger.at), reason=link.parked.reason)]
    if link.held or (link.let_stay and case.desired.is_wanted):
        return [DeleteRecalled(**origin(link, case.trigger.at))]
    return []


def judge(
    desired: DesiredDriver,
    link: DriverLink,
    batch: Batch,
    trigger: Trigger,
    *,
    verdict: type[HoldJudged],
    hold: int,
    by: str,
    digest: str,
) -> tuple[LinkEvent, ...]:
    """Carry out a person's decision on the hold of this version, past the guard.

    Nothing if another hold is in force now, or an approved delete is not to be made any more.
    """
    if link.held is None or link.held.originator_version != hold:
        return ()
    is_approved, is_wanted = verdict is DeleteApproved, desired.is_wanted and not link.is_undone(desired.sequence)
    if is_approved and (is_wanted or trigger.mode is not Mode.FULL):
        return ()
    judged = verdict(**origin(link, trigger.at), hold=hold, by=by, digest=digest)
    if not is_approved:
        return (judged,)
    case = to_case(desired, apply(link, judged), batch, trigger)
    decided = _decided(case, DeleteDecided, desired_key=None, profile={}, guard=batch.guard.figures())
    return in_sequence(link, [judged, *decided])


_BY_TARGET = (REFUSED, UNSETTLED)
"""Reasons that the target gave: only another call can show whether they are over."""


def look_again(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """Decide a parked link as if nothing had been refused; nothing if it is not parked, or its reason stands.

    A link that the roster, the Portal or the mode holds up (conflict, unkeyed, mode) is just decided once more, because
    whether that is over is known here. One whose decisions were undone is brought to what the Portal wants.
    """
    if link.parked is None:
        return ()
    if link.parked.reason == UNDONE:
        return _let_go(desired, link, batch, trigger)
    if link.parked.reason not in _BY_TARGET:
        return decide(desired, link, batch, trigger)
    fact = Released(**origin(link, trigger.at), reason=link.parked.reason)
    return in_sequence(link, [fact, *decide(desired, apply(link, fact), batch, trigger)])


def look_at_freed(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """Decide a link for which an identifier came free: the target may now accept what it refused, too."""
    is_refused = link.parked is not None and link.parked.reason in _BY_TARGET
    return (look_again if is_refused else decide)(desired, link, batch, trigger)


def undo(
    desired: DesiredDriver,
    link: DriverLink,
    batch: Batch,
    trigger: Trigger,
    *,
    former: Former | NotUndone | Undone,
    by: str,
) -> tuple[LinkEvent, ...]:
    """Set a link's target driver back to what it had before, or record why not; what was undone already is let go."""
    if isinstance(former, Undone):
        return _let_go(desired, link, batch, trigger)
    if isinstance(former, Former):
        confirmed = replace(desired, profile=link.confirmed or {})
        obstacle = stands_against(former, _case_of(confirmed, link, batch, trigger))
        if obstacle is None:
            fact = _undone(desired, link, batch, trigger, former, by)
            return in_sequence(link, [fact, *_set_back(desired, apply(link, fact), batch, trigger)])
        former = NotUndone(obstacle=obstacle, since=former.since)
    refused = UndoRefused(
        **origin(link, trigger.at),
        since=former.since,
        reason=str(former.obstacle),
        detail=former.detail,
        rationale=_plain_rationale(trigger),
    )
    return (refused,)


def _plain_rationale(trigger: Trigger) -> Rationale:
    """Why nothing was decided: what started it."""
    rationale: Rationale = {"trigger": trigger.kind, "ref": trigger.ref, "mode": str(trigger.mode)}
    if trigger.reconciliation:
        rationale["reconciliation"] = trigger.reconciliation
    return rationale


def _case_of(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> Case:
    """What depends on the linked driver alone, whatever the Portal wants."""
    linked = batch.roster.shown(link.key)
    return Case(desired=desired, link=link, batch=batch, trigger=trigger, linked=linked, found=None, conflict=None)


def _undone(
    desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger, former: Former, by: str
) -> Undone:
    back_to = batch.roster.shown(former.back_to)
    fact = Undone(
        **origin(link, trigger.at),
        sequence=desired.sequence,
        since=former.since,
        by=by,
        key=former.key,
        profile=dict(former.profile),
        fields=list(former.fields),
        not_restored=list(former.not_restored),
        ending=str(former.ending),
        back_to=back_to.key if back_to is not None and back_to.active else "",
        rationale={},
    )
    return replace(fact, rationale=_case_of(desired, apply(link, fact), batch, trigger).rationale())


def _let_go(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """Decide by what the Portal wants again."""
    fact = Released(**origin(link, trigger.at), reason=UNDONE)
    return in_sequence(link, [fact, *decide(desired, apply(link, fact), batch, trigger)])


def _set_back(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    """The next step on the way back: first the target driver's fields, then whether it is there, then the link."""
    undone = link.undone
    is_settled = link.parked is not None and link.parked.reason == UNDONE
    if undone is None or is_settled or link.held or link.let_stay == desired.sequence:
        return ()
    key, profile = Key(undone.key), undone.profile
    restored = replace(
        desired, key=key, profile=profile, waits_for="", identifiers=tuple(sorted(claims(link.target, key, profile)))
    )
    case = _case_of(restored, link, batch, trigger)
    conflict = batch.conflict(restored, None)
    if conflict is not None:
        return _parked(replace(case, conflict=conflict), "conflict", conflict.detail, conflict)
    if not link.is_live and undone.ending == Ending.STAY:
        return _reinstated(case, undone)
    if not (link.is_live and case.is_linked_there):
        return _settled(case, undone)
    fields = to_restate(link.target, profile, link.confirmed or {})
    if key != link.key:
        return _decided(case, RenameDecided, desired_key=key, fields=fields)
    if fields:
        return _decided(case, UpdateDecided, desired_key=key, fields=fields)
    return _delete(case) if undone.ending == Ending.DELETE else _settled(case, undone)


def _reinstated(case: Case, undone: Undone) -> tuple[LinkEvent, ...]:
    """Reinstate the driver that was deleted, if the target still has it so."""
    found, target = case.batch.roster.shown(Key(undone.key)), case.link.target
    if found is None or found.active:
        return _settled(case, undone)
    fields = sorted({*to_change(target, undone.profile, found.profile), *unreadable(target, undone.profile)})
    return _decided(replace(case, found=found), ReinstateDecided, desired_key=found.key, fields=fields)


def _settled(case: Case, undone: Undone) -> tuple[LinkEvent, ...]:
    """Set the link aside, so that what was undone does not come back at once; one that is not to stay ends first."""
    link, facts = case.link, list[LinkEvent]()
    if link.is_live and not (case.is_linked_there and undone.ending == Ending.STAY):
        former = case.batch.roster.shown(Key(undone.back_to)) if undone.back_to else None
        facts.append(
            Confirmed(
                **origin(link, case.trigger.at),
                decision=0,
                key=former.key if former else None,
                profile=chosen(former.profile, SPECS[link.target].owned) if former else {},
                unlike=[],
            )
        )
    day = f"{undone.at:%Y-%m-%d}"
    detail = f"what was decided for it was undone on {day}: change the driver in the Portal, or retry it"
    return in_sequence(link, [*facts, *_parked(case, UNDONE, detail)])
