"""Reconciliations: what each found, when the next begins, whether a list is whole, and plans of what one would do.

Steps of a plan are made of the very facts that were decided in a dry run. A plan's hash is over everything that a
person sees of them, and over what would be written; never over times, versions or the order in which they came.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import ClassVar, Final
from uuid import UUID, uuid5

from domain.driver_link import (
    UNDONE,
    Confirmed,
    CreateDecided,
    Decision,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DriftFound,
    DriverLink,
    Explained,
    LinkDecided,
    LinkEvent,
    Parked,
    ReinstateDecided,
    Released,
    RenameDecided,
    Undone,
    UndoRefused,
    UpdateDecided,
)
from domain.identity import AccountId, Key, Target, account_stream, reconciliation_stream
from domain.situations import Situation
from domain.store import DeciderEvent, Row
from domain.undoing import Ending


class Finding(StrEnum):
    """What a reconciliation found of a driver that the Portal knows.

    `UNMANAGED` of a target driver that no link claims. `UNDONE` and `NOT_UNDONE` of one whose decisions a person
    wanted undone.
    """

    IN_SYNC = "in_sync"
    ABSENT = "absent"
    FOUND = "found"
    DORMANT = "dormant"
    DRIFTED = "drifted"
    OUTDATED = "outdated"
    MISSING = "missing"
    RENAMED = "renamed"
    REDIRECTED = "redirected"
    ORPHANED = "orphaned"
    CONFLICT = "conflict"
    UNKEYED = "unkeyed"
    PARKED = "parked"
    HELD = "held"
    KEPT = "kept"
    ENDED = "ended"
    UNMANAGED = "unmanaged"
    UNDONE = "undone"
    NOT_UNDONE = "not_undone"


@dataclass(frozen=True, kw_only=True)
class ReconciliationEvent(DeciderEvent):
    """A fact about the reconciliations of an account on a target; the version is the number of the reconciliation.

    `request` is the version of the account at which a person requested the reconciliation; 0 if none did.
    """

    request: int


@dataclass(frozen=True, kw_only=True)
class ReconciliationCompleted(ReconciliationEvent, topic="Reconciliation.ReconciliationCompleted"):
    """Every driver was looked at after a scan of the whole roster; where something was undone, only those concerned.

    `drivers` counts the target drivers that the scan read, `found` the portal drivers by what was found of them and
    the unmanaged drivers, `drifted` by field the drivers for which it had drifted, and `at_odds` those of them for
    which it drifted in the last reconciliation too: someone else writes it there repeatedly.
    """

    scan: int
    drivers: int
    found: dict[str, int]
    drifted: dict[str, int]
    at_odds: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class ReconciliationRefused(ReconciliationEvent, topic="Reconciliation.ReconciliationRefused"):
    """The reconciliation was to go by a plan, but what it would have done was another one: so it did nothing.

    `would_be` is empty where that is unknown, because the account had another policy before, or there was no room to
    rehearse; `plan` too if there was none.
    """

    scan: int
    plan: str
    would_be: str


_BY_SITUATION: Mapping[str, Finding] = {
    Situation.CONFLICT: Finding.CONFLICT,
    Situation.ABSENT: Finding.ABSENT,
    Situation.FOUND: Finding.FOUND,
    Situation.DORMANT: Finding.DORMANT,
    Situation.MISSING: Finding.MISSING,
    Situation.OUTDATED: Finding.OUTDATED,
    Situation.DRIFTED: Finding.DRIFTED,
    Situation.RENAMED: Finding.RENAMED,
    Situation.REDIRECTED: Finding.REDIRECTED,
    Situation.ORPHANED: Finding.ORPHANED,
    Situation.GONE: Finding.ORPHANED,
    Situation.UNDONE: Finding.UNDONE,
}
_BY_REASON: Mapping[str, Finding] = {
    "conflict": Finding.CONFLICT,
    "unkeyed": Finding.UNKEYED,
    UNDONE: Finding.UNDONE,
}


def finding_of(link: DriverLink, *, is_wanted: bool) -> Finding | None:
    """What a reconciliation found of a portal driver, by the link after deciding.

    None: unwanted, and nothing is there.
    """
    if undone := link.pending or link.parked or link.held:
        return found_by(undone)
    if link.is_live:
        return Finding.KEPT if link.let_stay else Finding.IN_SYNC
    return Finding.ENDED if is_wanted else None


def found_by(fact: Explained) -> Finding:
    """What had been found when this was decided."""
    match fact:
        case Parked(reason=reason):
            return _BY_REASON.get(reason, Finding.PARKED)
        case DeleteHeld():
            return Finding.HELD
    return _BY_SITUATION[fact.rationale["situation"]]


_MOST_LACKING: Final = 10
"""The most active drivers that any list which shows one may lack."""

MOST_SAMPLED: Final = 50
"""The most of the lacking drivers that are looked up."""


def is_doubtful(*, shown: int, known: int, lacking: int) -> bool:
    """Whether a list may not be whole, by how many active drivers it shows, were known last, and it lacks of those.

    It may not if it lacks more than a third of them, or is empty.
    """
    if not shown:
        return lacking > 0
    return lacking > _MOST_LACKING and lacking * 3 > known


def sample(keys: Sequence[Key]) -> Sequence[Key]:
    """Some of these keys, evenly spread over them, and the same each time; all, where they are few."""
    ordered = sorted(keys)
    taken = min(len(ordered), MOST_SAMPLED)
    return [ordered[place * len(ordered) // taken] for place in range(taken)]


_SHOWN = 16
"""Characters of a hash that people have to copy."""


class Action(StrEnum):
    """What would be done for one driver, in the order in which people read it."""

    CREATE = "create"
    LINK = "link"
    REINSTATE = "reinstate"
    RENAME = "rename"
    UPDATE = "update"
    DELETE = "delete"
    WITHDRAW = "withdraw"
    HOLD = "hold"
    RECALL = "recall"
    PARK = "park"
    RELEASE = "release"
    END = "end"
    LEAVE = "leave"
    KEEP = "keep"
    REFUSE = "refuse"


_ACTIONS: Mapping[type[LinkEvent], Action] = {
    CreateDecided: Action.CREATE,
    LinkDecided: Action.LINK,
    ReinstateDecided: Action.REINSTATE,
    RenameDecided: Action.RENAME,
    UpdateDecided: Action.UPDATE,
    DeleteDecided: Action.DELETE,
    DeleteHeld: Action.HOLD,
    DeleteRecalled: Action.RECALL,
    Parked: Action.PARK,
    Released: Action.RELEASE,
    Confirmed: Action.END,
    DriftFound: Action.UPDATE,
    Undone: Action.KEEP,
    UndoRefused: Action.REFUSE,
}

_REASONS: Mapping[str, str] = {
    Situation.ABSENT: "is not on the target yet",
    Situation.FOUND: "is on the target already, and not linked",
    Situation.DORMANT: "is on the target, but deleted there",
    Situation.MISSING: "was linked, and is gone from the target",
    Situation.OUTDATED: "has changed in the Portal",
    Situation.DRIFTED: "somebody else changed it on the target",
    Situation.RENAMED: "has another id in the Portal",
    Situation.REDIRECTED: "has another id in the Portal, which is on the target already",
    Situation.CONFLICT: "changes ids with another driver, by way of a temporary one",
    Situation.ORPHANED: "the Portal has deleted the driver",
    Situation.UNDONE: "what was decided is undone, and held until the Portal changes the driver",
}

_PLAIN: Mapping[Action, str] = {
    Action.HOLD: "the guard lets no more deletes out now, so a person has to decide",
    Action.RECALL: "its delete needs no decision any more",
    Action.RELEASE: "what it was set aside for is over",
    Action.END: "the Portal has deleted the driver, who is gone from the target",
}
"""Why, where the action alone says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep(Row):
    """What would be done for one portal driver on one target, and why; a dry run stores it.

    `key` is how the target names the driver now, `desired_key` how it would; empty for not at all. `written` is the
    profile that would be stated, and `overridden` what the target shows in fields that somebody else changed: both are
    personal data, of which people see only the names of the `fields`. `action` is an `Action`, as text.
    """

    TABLE: ClassVar[str] = "steps"
    KEY: ClassVar[tuple[str, ...]] = ("target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("action", "driver"),)

    target: str
    driver: str
    action: str
    situation: str
    key: str
    desired_key: str
    fields: list[str]
    reason: str
    written: dict[str, str] = field(default_factory=dict, repr=False)
    overridden: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def seal(self) -> bytes:
        """A digest of the whole step, values included."""
        seen = (self.target, self.driver, self.action, self.situation, self.key, self.desired_key, self.fields)
        values = (sorted(self.written.items()), sorted(self.overridden.items()))
        return sha256(json.dumps([*seen, self.reason, *values]).encode()).digest()


def step_after(step: PlanStep | None, fact: LinkEvent) -> PlanStep | None:
    """The step of a driver after one more fact of a dry run: the newest decides, and what drifted stays in it.

    Of what is undone, the reason says it whole, and the action what comes first: the rest follows from answers.
    """
    if isinstance(fact, Undone):
        return _step_of_undone(fact)
    if step is not None and step.situation == Situation.UNDONE:
        return _undoing_step(step, fact)
    decision = fact if isinstance(fact, Decision) else None
    action = Action.WITHDRAW if decision and decision.is_withdrawal else _ACTIONS.get(type(fact))
    if action is None:
        return step
    situation = (
        fact.rationale.get("situation", "") if isinstance(fact, Decision | DeleteHeld | Parked | DriftFound) else ""
    )
    drifted = fact.profile if isinstance(fact, DriftFound) else step.overridden if step else {}
    found = PlanStep(
        target=fact.target,
        driver=fact.driver,
        action=str(action),
        situation=situation,
        key=(fact.key if isinstance(fact, Decision | DeleteHeld) else None) or "",
        desired_key=(decision.desired_key if decision else None) or "",
        fields=fact.fields if isinstance(fact, Decision | DriftFound) else [],
        reason=_PLAIN.get(action) or _REASONS.get(situation, ""),
        written=decision.profile if decision else {},
        overridden=drifted,
    )
    return replace(found, reason=fact.detail) if isinstance(fact, Parked | UndoRefused) else found


_ENDINGS: Mapping[str, str] = {
    Ending.DELETE: "; this deletes it there",
    Ending.LEAVE: "; this leaves it unmanaged there",
}


def _step_of_undone(fact: Undone) -> PlanStep:
    """The step of a driver who gets back what it had, before it is known what has to be sent for that."""
    back = f", and the link goes back to {fact.back_to}" if fact.back_to else ""
    kept = f"; cannot be restored: {', '.join(fact.not_restored)}" if fact.not_restored else ""
    return PlanStep(
        target=fact.target,
        driver=fact.driver,
        action=str(Action.KEEP),
        situation=str(Situation.UNDONE),
        key=fact.key,
        desired_key=fact.key,
        fields=fact.fields,
        reason=f"{_REASONS[Situation.UNDONE]}{_ENDINGS.get(fact.ending, '')}{back}{kept}",
        written=fact.profile,
    )


def _undoing_step(step: PlanStep, fact: LinkEvent) -> PlanStep:
    """The step of an undo after one more fact."""
    match fact:
        case Decision():
            sent = _ACTIONS[type(fact)]
            known = replace(step, action=str(sent), fields=fact.fields, written=fact.profile)
            return replace(known, key=fact.key or "", desired_key=fact.desired_key or "")
        case DeleteHeld():
            return replace(step, action=str(Action.HOLD), desired_key="", reason=_PLAIN[Action.HOLD])
        case Confirmed():
            return replace(step, action=str(Action.LEAVE), desired_key=fact.key or "")
    return step


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPart:
    """A plan's part on one target: how many steps there are of each action, and the hash of them all."""

    target: Target
    counts: Mapping[Action, int]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a reconciliation of these targets, or an opt-in, would do: a part for each; the hash names exactly that.

    The steps themselves may be as many as the fleet has drivers, so they are read page by page beside it.
    """

    account: AccountId
    parts: tuple[PlanPart, ...]

    @property
    def digest(self) -> str:
        """What names the whole: it is of the targets, too, that nothing would be done on."""
        parts = sorted((part.target, part.digest) for part in self.parts)
        return sha256(json.dumps([self.account, *parts]).encode()).hexdigest()[:_SHOWN]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be done at all."""
        return not any(part.counts for part in self.parts)


class PlanTally:
    """Counts steps, and seals them, as they come in whatever order; of each it keeps no more than its seal."""

    def __init__(self, account: AccountId, target: Target) -> None:
        self._place = account, target
        self._counts = Counter[str]()
        self._seals: list[bytes] = []

    def add(self, steps: Iterable[PlanStep]) -> None:
        """Take these steps in too."""
        for step in steps:
            self._counts[step.action] += 1
            self._seals.append(step.seal)

    def part(self) -> PlanPart:
        """The part of a plan that the steps make."""
        whole = sha256(json.dumps(self._place).encode())
        for seal in sorted(self._seals):
            whole.update(seal)
        counts = {each: self._counts[each] for each in Action if self._counts[each]}
        return PlanPart(target=self._place[1], counts=counts, digest=whole.hexdigest()[:_SHOWN])


MOST_JITTER: Final = timedelta(minutes=30)
"""By how much a reconciliation begins later than at its time of day at most.

So that those of one time do not all begin at once.

It never goes beyond midnight: each day in UTC has exactly one reconciliation.
"""

_DAY: Final = timedelta(days=1)


def next_reconciliation(account: AccountId, target: Target, reconcile_at: str, after: datetime) -> datetime:
    """The next moment, strictly behind `after`, at which a daily reconciliation begins.

    `reconcile_at` is the time of day, HH:MM in UTC; without one the account has a time of its own, so that fleets
    spread over the day.
    """
    today = after.astimezone(UTC).date()
    moment = _moment(account, target, reconcile_at, today)
    return moment if moment > after else _moment(account, target, reconcile_at, today + _DAY)


def _moment(account: AccountId, target: Target, reconcile_at: str, day: date) -> datetime:
    since_midnight = _DAY * _part(account_stream(account))
    if reconcile_at:
        stated = time.fromisoformat(reconcile_at)
        since_midnight = timedelta(hours=stated.hour, minutes=stated.minute)
    jitter = min(MOST_JITTER, _DAY - since_midnight) * _part(reconciliation_stream(account, target), day.isoformat())
    return datetime.combine(day, time(tzinfo=UTC)) + since_midnight + jitter


def _part(whose: UUID, which: str = "") -> float:
    """A number from 0 up to 1 that an id and a word always give, and others hardly ever."""
    return (uuid5(whose, which).int >> 76) / 2**52
