"""What came of a sweep that somebody requested."""

from dataclasses import dataclass, field

from domain.identity import AccountId, Target, sweep_stream
from domain.storing import Store
from domain.sweep import SweepCompleted, SweepEvent, SweepRefused
from services.asking.answers import Answer
from services.asking.sweeping import Requested, Stage, SweepProgress, sweep_progress
from services.decider.read_models import CatchUp, SweepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A sweep that was requested; `plan` is what the last request has to go by, empty once that is void."""

    account: AccountId
    target: Target
    request: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Answer):
    """How far the sweep is: `state` is waiting, stopped, done, refused or void.

    `doing` is what goes on or, of a sweep that is stopped, what keeps it from going on; `done` of about `total` drivers
    were read, or looked at. `found` counts what a sweep that is done has found; `plan` is what a refused one had
    to go by, and `would_be` what it would have been, empty where nobody knows.
    """

    state: str
    doing: str = ""
    done: int = 0
    total: int = 0
    found: dict[str, int] = field(default_factory=dict)
    plan: str = ""
    would_be: str = ""


def outcome_of(decider: Store, projector: Store, wanted: Wanted) -> Outcome:
    """How far the sweep of this request is, or what came of it. Raises `StoreFailed`."""
    place = {"account": str(wanted.account), "target": str(wanted.target)}
    last = decider.select(SweepRow, place)
    if last and last[0].answered >= wanted.request:
        return _ended(_fact(decider, wanted))
    in_hand = decider.select(CatchUp, {**place, "request": wanted.request})
    if not in_hand and not wanted.plan:
        return Outcome(state="void")
    requested = Requested(account=wanted.account, target=wanted.target, request=wanted.request)
    return _under_way(sweep_progress(decider, projector, requested), is_compared=any(work.plan for work in in_hand))


def _under_way(progress: SweepProgress, *, is_compared: bool) -> Outcome:
    if progress.stage is Stage.STOPPED:
        return Outcome(state="stopped", doing=progress.trouble)
    doing = "deciding" if progress.stage is Stage.DECIDING else "reading the roster"
    return Outcome(
        state="waiting",
        doing="comparing with the plan" if is_compared else doing,
        done=progress.done,
        total=progress.of,
    )


def _fact(decider: Store, wanted: Wanted) -> SweepEvent | None:
    """The end of this sweep; None where one for a later request has come before it."""
    stream = sweep_stream(wanted.account, wanted.target)
    facts = decider.histories([stream]).get(stream, ())
    return next((fact for fact in facts if isinstance(fact, SweepEvent) and fact.request == wanted.request), None)


def _ended(fact: SweepEvent | None) -> Outcome:
    match fact:
        case SweepCompleted():
            return Outcome(state="done", found=fact.found)
        case SweepRefused():
            return Outcome(state="refused", plan=fact.plan, would_be=fact.would_be)
    return Outcome(state="void")
