"""The only place where decisions are made: `decide(wish, link, ledger, cause) -> events`."""

from collections.abc import Callable, Iterable, Mapping

from domain.account import Mode
from domain.case import Case, Cause, to_case
from domain.drafting import in_sequence, origin, parked, released, said
from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Decision,
    DeleteDecided,
    DeleteHeld,
    DriftFound,
    DriverLink,
    LinkDecided,
    LinkEvent,
    ReinstateDecided,
    RenameDecided,
    UpdateDecided,
)
from domain.identity import Target
from domain.ledger import Contest, Ledger, brought_by
from domain.profile import chosen
from domain.roster import TargetDriver
from domain.situations import Answer
from domain.wish import Wish, claims, field_of, temporary_value, to_change, unreadable


def decide(wish: Wish, link: DriverLink, ledger: Ledger, cause: Cause) -> tuple[LinkEvent, ...]:
    """What follows for one link from what the Portal wants and the target shows; nothing when all is said already.

    The ledger is only read; whoever stores the events lets it `record` them.
    """
    if _awaits_answer(wish, link, cause):
        return ()
    case = to_case(wish, link, ledger, cause)
    return _ANSWERS[case.row.answer](case)


def _awaits_answer(wish: Wish, link: DriverLink, cause: Cause) -> bool:
    """Whether a call under way may give the driver an identifier that is not wished any more, or was withdrawn.

    Until it is answered nobody knows who has that identifier, so nothing else is decided for this link; the answer
    makes us look again. Only what is sent under the present terms is answered. A create that is not wished any more
    is withdrawn at once, so that it does not start.
    """
    if link.pending is None or not _is_sent(link.pending, cause):
        return False
    if not link.is_live and (link.pending.is_withdrawal or not wish.is_wanted):
        return wish.is_wanted
    wanted = claims(wish.target, wish.key, wish.profile) if wish.is_wanted else frozenset()
    return bool(brought_by(link, link.pending) - wanted)


def _is_sent(decided: Decision, cause: Cause) -> bool:
    """Whether a decision goes to the target as the account stands now, so that it will be answered."""
    return cause.mode in (Mode.UPSERT, Mode.FULL) and decided.terms == cause.terms


def _park(case: Case) -> tuple[LinkEvent, ...]:
    contest, link = case.facts.contest, case.facts.link
    if contest is None:
        return parked(case, "unkeyed", "the Portal gives neither a Driveri DriverID nor a RefID")
    if _gives_more(link, contest, case.cause):
        return ()
    aside = _stepped_aside(case, contest)
    return aside or parked(case, "contested", contest.detail, contest)


def _gives_more(link: DriverLink, contest: Contest, cause: Cause) -> bool:
    """Whether a call under way gives the driver a temporary value, or an identifier that nobody contests.

    Before it is answered nothing else can be said.
    """
    pending = link.pending
    if pending is None or pending.terms != cause.terms:
        return False
    is_bringing = _is_sent(pending, cause) and brought_by(link, pending) - {contest.mark}
    return link.is_temporary(pending) or bool(is_bringing)


def _stepped_aside(case: Case, contest: Contest) -> tuple[LinkEvent, ...]:
    """Drivers who wait for each other's values in a circle would wait for ever: one takes a temporary value."""
    link, linked = case.facts.link, case.facts.linked
    if linked is None or not linked.active or link.confirmed is None:
        return ()
    awaited = case.facts.ledger.awaited(link.driver, contest.mark)
    if link.target is Target.DRIVERI and awaited:
        return said(case, RenameDecided, wished_key=link.temporary_key, profile=link.confirmed)
    field = field_of(awaited)
    if not field:
        return ()
    profile = {**link.confirmed, field: temporary_value(field, link.temporary_key)}
    return said(case, UpdateDecided, wished_key=link.key, profile=profile, fields=[field])


def _own_again(case: Case) -> tuple[LinkEvent, ...] | None:
    """A value of its own in place of a temporary one, and nothing else, so that no other field can keep it from that.

    None where there is nothing temporary, or nothing of its own is free.
    """
    own, link = case.facts.own, case.facts.link
    if own is None:
        return None
    fact = RenameDecided if own.key != link.key else UpdateDecided
    return said(case, fact, wished_key=own.key, profile=own.profile, fields=own.fields)


def _create(case: Case) -> tuple[LinkEvent, ...]:
    return said(case, CreateDecided, wished_key=case.facts.wish.key, fields=sorted(case.facts.wish.profile))


def _link(case: Case) -> tuple[LinkEvent, ...]:
    return _said_of_found(case, LinkDecided)


def _reinstate(case: Case) -> tuple[LinkEvent, ...]:
    return _said_of_found(case, ReinstateDecided)


def _said_of_found(case: Case, fact: type[Decision]) -> tuple[LinkEvent, ...]:
    found = case.facts.found
    if _would_leave_a_temporary_id(case):
        return said(case, DeleteDecided, wished_key=None, profile={}, guard=case.facts.ledger.guard.figures())
    return said(case, fact, wished_key=found.key, fields=_to_bring(case.facts.wish, found)) if found else ()


def _would_leave_a_temporary_id(case: Case) -> bool:
    """Whether the link would go to another driver and leave its own behind under a temporary id."""
    facts = case.facts
    is_aside = facts.linked is not None and facts.linked.active and facts.linked.key == facts.link.aside
    return is_aside and facts.found is not facts.linked and case.cause.mode is not Mode.UPSERT


def _to_bring(wish: Wish, shown: TargetDriver) -> list[str]:
    """The fields to write into a driver that is there already: what differs, and what cannot be read back."""
    differing = to_change(wish.target, wish.profile, shown.profile)
    return sorted({*differing, *unreadable(wish.target, wish.profile)})


def _update(case: Case) -> tuple[LinkEvent, ...]:
    facts, own = case.facts, _own_again(case)
    if own is not None:
        return own
    return said(case, UpdateDecided, wished_key=facts.link.key, fields=sorted({*facts.restated, *facts.drifted}))


def _override(case: Case) -> tuple[LinkEvent, ...]:
    shown, update = case.facts.linked, _update(case)
    return in_sequence(case.facts.link, [_drift(case, shown), *update]) if shown and update else ()


def _drift(case: Case, shown: TargetDriver) -> DriftFound:
    link, fields = case.facts.link, case.facts.drifted
    return DriftFound(
        **origin(link, case.cause.at),
        fields=list(fields),
        profile=chosen(shown.profile, fields),
        decision=link.confirmed_by,
        first_seen=shown.seen_at or case.cause.at.isoformat(),
        sweep=case.cause.sweep,
        at_odds=_at_odds(link, fields, case.cause.sweep),
        because=case.because(),
    )


def _at_odds(link: DriverLink, fields: Iterable[str], sweep: int) -> list[str]:
    """The fields that drifted in the sweep before this one too: somebody else writes them, again and again.

    Only where our own value was shown in between: else it may be the target that writes it so.
    """
    before = link.drift.fields if link.drift and link.drift.sweep == sweep - 1 else ()
    return [field for field in fields if field in before and field not in link.unseen]


def _rename(case: Case) -> tuple[LinkEvent, ...]:
    facts, own = case.facts, _own_again(case)
    if own is not None:
        return own
    fields = sorted({*facts.restated, *facts.drifted})
    return said(case, RenameDecided, wished_key=facts.wish.key, fields=fields)


def _withdraw(case: Case) -> tuple[LinkEvent, ...]:
    """What was given up is withdrawn as it is: released, it would hold nothing any more."""
    decided, link = said(case, DeleteDecided, wished_key=None, profile={}), case.facts.link
    return in_sequence(link, decided[-1:]) if link.is_given_up else decided


def _delete(case: Case) -> tuple[LinkEvent, ...]:
    link, guard = case.facts.link, case.facts.ledger.guard
    if link.held or link.let_stay == case.facts.wish.sequence:
        return ()
    if case.cause.mode is Mode.UPSERT:
        return parked(case, "mode", "the mode upsert lets no deletes out")
    decided = said(case, DeleteDecided, wished_key=None, profile={}, guard=guard.figures())
    return decided if not decided or guard.lets_through(link.driver) else _held(case)


def _held(case: Case) -> tuple[LinkEvent, ...]:
    link = case.facts.link
    held = DeleteHeld(
        **origin(link, case.cause.at),
        sequence=case.facts.wish.sequence,
        key=link.key or "",
        because={**case.because(), "guard": case.facts.ledger.guard.figures()},
    )
    return in_sequence(link, [*released(case), held])


def _end(case: Case) -> tuple[LinkEvent, ...]:
    link = case.facts.link
    ended = Confirmed(**origin(link, case.cause.at), decision=0, key=None, profile={}, unlike=[])
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
