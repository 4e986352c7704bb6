"""Section 5's table: which situation a driver is in on a target, and what is the answer to it.

| the Portal    | the link          | the desired key on the target | situation  | answer                      |
| ------------- | ----------------- | ---------------------------- | ---------- | --------------------------- |
| wants         | any               | both ids blank               | UNKEYED    | park                        |
| wants         | any               | another's, or two candidates | CONTESTED  | park                        |
| wants         | none or ended     | unknown                      | ABSENT     | create                      |
| wants         | none or ended     | there, unclaimed             | FOUND      | link (adopt)                |
| wants         | none or ended     | there, deleted               | DORMANT    | reinstate                   |
| wants         | live, same key    | unknown                      | MISSING    | create                      |
| wants         | live, same key    | there under another key      | MISSING    | link                        |
| wants         | live, same key    | there, deleted               | MISSING    | reinstate                   |
| wants         | live, same key    | our desired state changed             | OUTDATED   | update                      |
| wants         | live, same key    | differs, and not by us       | DRIFTED    | record the drift, update    |
| wants         | live, same key    | equal                        | IN STEP    | nothing                     |
| wants         | live, key changed | unknown                      | RENAMED    | rename                      |
| wants         | live, key changed | there, unclaimed             | REDIRECTED | link (relink)               |
| wants         | live, key changed | there, deleted               | REDIRECTED | reinstate                   |
| wants         | live, key changed | unknown, linked driver gone  | MISSING    | create                      |
| deleted       | none or ended     | a create is on its way       | ORPHANED   | withdraw                    |
| deleted       | live              | there                        | ORPHANED   | delete, through the guard   |
| deleted       | live              | gone already                 | GONE       | end the link                |
| not in a list | live              | there                        | UNSEEN     | nothing                     |
| -             | none              | there                        | STRAY      | report only                 |

The facts for one decision, and the row of the situations table that they lead to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.account import Mode
from domain.claims import Batch, Conflict, OwnValues, own_values
from domain.driver_link import DriverLink, Rationale
from domain.matching import DesiredDriver, Match, ObservedDriver, former_driver, key_identifier, speaks_against
from domain.profile import Profile, is_own_form
from domain.targets import to_change, to_restate


class Portal(StrEnum):
    """What the Portal says of a driver."""

    WANTS = "wants"
    DELETED = "deleted"
    NOT_IN_LIST = "not in a list"
    SILENT = "-"


class Linked(StrEnum):
    """How the link stands to what is desired."""

    NONE = "none or ended"
    SAME_KEY = "live, same key"
    KEY_CHANGED = "live, key changed"


class Shown(StrEnum):
    """What the target shows at the key concerned."""

    BLANK = "both ids blank"
    CLAIMED = "another's, or two candidates"
    UNKNOWN = "unknown"
    UNCLAIMED = "there, unclaimed"
    DELETED = "there, deleted"
    ELSEWHERE = "there under another key"
    BOTH_UNKNOWN = "unknown, linked driver gone"
    DESIRED_CHANGED = "our desired state changed"
    DIFFERS = "differs, and not by us"
    EQUAL = "equal"
    ON_ITS_WAY = "a create is on its way"
    THERE = "there"
    GONE = "gone already"
    NOTHING = "nothing"


class Situation(StrEnum):
    """Where a driver stands on a target."""

    UNKEYED = "UNKEYED"
    CONFLICT = "CONFLICT"
    ABSENT = "ABSENT"
    FOUND = "FOUND"
    DORMANT = "DORMANT"
    MISSING = "MISSING"
    OUTDATED = "OUTDATED"
    DRIFTED = "DRIFTED"
    IN_STEP = "IN STEP"
    RENAMED = "RENAMED"
    REDIRECTED = "REDIRECTED"
    ORPHANED = "ORPHANED"
    GONE = "GONE"
    UNSEEN = "UNSEEN"
    UNMANAGED = "UNMANAGED"
    UNLINKED = "UNLINKED"


class Answer(StrEnum):
    """What follows from a situation."""

    PARK = "park"
    CREATE = "create"
    LINK = "link"
    REINSTATE = "reinstate"
    UPDATE = "update"
    OVERRIDE = "record the drift, update"
    RENAME = "rename"
    WITHDRAW = "withdraw"
    DELETE = "delete, through the guard"
    END = "end the link"
    NOTHING = "nothing"
    REPORT = "report only"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    portal: Portal
    linked: frozenset[Linked]
    shown: Shown
    situation: Situation
    answer: Answer


_NONE, _SAME, _CHANGED = (frozenset({linked}) for linked in Linked)
_LIVE = _SAME | _CHANGED
_ANY = _NONE | _LIVE

TABLE = (
    Row(Portal.WANTS, _ANY, Shown.BLANK, Situation.UNKEYED, Answer.PARK),
    Row(Portal.WANTS, _ANY, Shown.CLAIMED, Situation.CONFLICT, Answer.PARK),
    Row(Portal.WANTS, _NONE, Shown.UNKNOWN, Situation.ABSENT, Answer.CREATE),
    Row(Portal.WANTS, _NONE, Shown.UNCLAIMED, Situation.FOUND, Answer.LINK),
    Row(Portal.WANTS, _NONE, Shown.DELETED, Situation.DORMANT, Answer.REINSTATE),
    Row(Portal.WANTS, _SAME, Shown.UNKNOWN, Situation.MISSING, Answer.CREATE),
    Row(Portal.WANTS, _SAME, Shown.ELSEWHERE, Situation.MISSING, Answer.LINK),
    Row(Portal.WANTS, _SAME, Shown.DELETED, Situation.MISSING, Answer.REINSTATE),
    Row(Portal.WANTS, _SAME, Shown.DESIRED_CHANGED, Situation.OUTDATED, Answer.UPDATE),
    Row(Portal.WANTS, _SAME, Shown.DIFFERS, Situation.DRIFTED, Answer.OVERRIDE),
    Row(Portal.WANTS, _SAME, Shown.EQUAL, Situation.IN_STEP, Answer.NOTHING),
    Row(Portal.WANTS, _CHANGED, Shown.UNKNOWN, Situation.RENAMED, Answer.RENAME),
    Row(Portal.WANTS, _CHANGED, Shown.UNCLAIMED, Situation.REDIRECTED, Answer.LINK),
    Row(Portal.WANTS, _CHANGED, Shown.DELETED, Situation.REDIRECTED, Answer.REINSTATE),
    Row(Portal.WANTS, _CHANGED, Shown.BOTH_UNKNOWN, Situation.MISSING, Answer.CREATE),
    Row(Portal.DELETED, _NONE, Shown.ON_ITS_WAY, Situation.ORPHANED, Answer.WITHDRAW),
    Row(Portal.DELETED, _LIVE, Shown.THERE, Situation.ORPHANED, Answer.DELETE),
    Row(Portal.DELETED, _LIVE, Shown.GONE, Situation.GONE, Answer.END),
    Row(Portal.NOT_IN_LIST, _LIVE, Shown.THERE, Situation.UNSEEN, Answer.NOTHING),
    Row(Portal.SILENT, _NONE, Shown.THERE, Situation.UNMANAGED, Answer.REPORT),
)

_BY_FACTS = {(row.portal, linked, row.shown): row for row in TABLE for linked in row.linked}
_NOTHING_TO_DO = Row(Portal.DELETED, _NONE, Shown.NOTHING, Situation.UNLINKED, Answer.NOTHING)


def row_for(portal: Portal, linked: Linked, shown: Shown) -> Row:
    """The row that these facts lead to; where no row stands there is nothing to do."""
    return _BY_FACTS.get((portal, linked, shown), _NOTHING_TO_DO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What made us look at a link, when, in which reconciliation (0: in none), and under which terms of the account."""

    at: datetime
    kind: str
    ref: str
    mode: Mode
    policy_generation: int
    reconciliation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one decision looks at. `linked` is what the link's key shows, `found` who answers to the desired state."""

    desired: DesiredDriver
    link: DriverLink
    batch: Batch
    linked: ObservedDriver | None
    found: ObservedDriver | None
    conflict: Conflict | None

    @property
    def own(self) -> OwnValues | None:
        """What the driver gets of its own in place of a temporary key or value."""
        return own_values(self.desired, self.link, self.batch)

    @property
    def restated(self) -> tuple[str, ...]:
        """The fields that we last stated otherwise: to the target's knowledge, or in a decision on its way."""
        target, desired = self.desired.target, self.desired.profile
        pending = self.link.pending
        on_its_way = to_restate(target, desired, pending.profile) if pending else ()
        return tuple(sorted({*to_restate(target, desired, self.link.confirmed or {}), *on_its_way}))

    @property
    def drifted(self) -> tuple[str, ...]:
        """The fields that the target shows otherwise than desired, less those that it always shows in its own way."""
        shown = self.linked.profile if self.linked else {}
        differing = to_change(self.desired.target, self.desired.profile, shown)
        return tuple(
            field for field in differing if field not in self.link.unlike and not self._is_own_form(field, shown)
        )

    def _is_own_form(self, field: str, shown: Profile) -> bool:
        """Whether the target shows for the first time, in its own form, what we wrote."""
        return field in self.link.unseen and is_own_form(self.desired.profile.get(field, ""), shown.get(field, ""))

    @property
    def waits_anew(self) -> bool:
        """Whether the desired state leaves a mark out for now, and the link does not say yet that it waits for it."""
        return self.desired.waits_for not in ("", self.link.waits_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The facts, the row of the table that they lead to, and what made us look."""

    facts: Facts
    row: Row
    trigger: Trigger

    def rationale(self) -> Rationale:
        """Why, as it is stored with what is decided."""
        rationale: Rationale = {
            "trigger": self.trigger.kind,
            "ref": self.trigger.ref,
            "situation": str(self.row.situation),
            "mode": str(self.trigger.mode),
            "evidence": _evidence(self.facts),
        }
        if self.trigger.reconciliation:
            rationale["reconciliation"] = self.trigger.reconciliation
        return rationale


def to_case(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> Case:
    """Look everything up that the decision on this link depends on."""
    linked, found, conflict = batch.roster.shown(link.key), None, None
    if desired.is_wanted and not desired.is_unkeyed:
        found, conflict = _matched(desired, link, linked, batch)
        desired = batch.yielded(desired, found)
    if conflict is not None and conflict.holder is not None and link.is_aside:
        conflict = replace(conflict, is_swap=True)
    facts = Facts(desired=desired, link=link, batch=batch, linked=linked, found=found, conflict=conflict)
    portal, live = Portal.WANTS if desired.is_wanted else Portal.DELETED, _linked(facts)
    return Case(facts=facts, row=row_for(portal, live, _SHOWN[portal, live](facts)), trigger=trigger)


def _matched(
    desired: DesiredDriver, link: DriverLink, linked: ObservedDriver | None, batch: Batch
) -> tuple[ObservedDriver | None, Conflict | None]:
    """Who answers to the desired state, and why it cannot have them."""
    if desired.key is None and linked is not None:
        return linked, batch.conflict(desired, linked)
    aside = batch.roster.shown(link.aside)
    if aside is not None and aside.active and not (linked is not None and linked.active):
        return aside, None
    match = batch.roster.match(desired.identifiers)
    if match is None:
        return aside, batch.conflict(desired, None)
    if len(match.candidates) > 1:
        ambiguous = Conflict(identifier=match.identifier, holder=None, candidates=len(match.candidates))
        return None, batch.conflict(desired, None) or ambiguous
    (found,) = match.candidates
    return found, batch.conflict(desired, found) or _mistaken(desired, match, batch)


def _mistaken(desired: DesiredDriver, match: Match, batch: Batch) -> Conflict | None:
    """Why the only one who answers to an identifier is not meant by it: that target driver was somebody else."""
    (found,) = match.candidates
    against = speaks_against(desired, found, batch.wanted)
    if not against:
        return None
    return Conflict(
        identifier=match.identifier,
        holder=None,
        candidates=1,
        former=former_driver(desired, found),
        against=against,
        key=key_identifier(desired.target, found.key),
    )


def _linked(facts: Facts) -> Linked:
    if not facts.link.is_live:
        return Linked.NONE
    return Linked.SAME_KEY if facts.desired.key in (None, facts.link.key) else Linked.KEY_CHANGED


def _in_the_way(facts: Facts) -> Shown | None:
    if facts.desired.is_unkeyed:
        return Shown.BLANK
    return Shown.CLAIMED if facts.conflict else None


def _found(facts: Facts) -> Shown:
    if facts.found is None:
        return Shown.UNKNOWN
    return Shown.UNCLAIMED if facts.found.active else Shown.DELETED


def _shown_unlinked(facts: Facts) -> Shown:
    return _in_the_way(facts) or _found(facts)


def _shown_same_key(facts: Facts) -> Shown:
    if in_the_way := _in_the_way(facts):
        return in_the_way
    if facts.linked is None or not facts.linked.active:
        found = _found(facts)
        return Shown.ELSEWHERE if found is Shown.UNCLAIMED else found
    if facts.link.pending or facts.restated or facts.waits_anew or facts.own:
        return Shown.DESIRED_CHANGED
    return Shown.DIFFERS if facts.drifted else Shown.EQUAL


def _shown_key_changed(facts: Facts) -> Shown:
    if in_the_way := _in_the_way(facts):
        return in_the_way
    is_there = facts.linked is not None and facts.linked.active
    if facts.found is not None and not (is_there and facts.found is facts.linked):
        return _found(facts)
    return Shown.UNKNOWN if is_there else Shown.BOTH_UNKNOWN


def _shown_unlinked_deleted(facts: Facts) -> Shown:
    return Shown.ON_ITS_WAY if facts.link.pending or facts.link.is_given_up else Shown.NOTHING


def _shown_live_deleted(facts: Facts) -> Shown:
    return Shown.THERE if facts.linked is not None and facts.linked.active else Shown.GONE


_SHOWN: Mapping[tuple[Portal, Linked], Callable[[Facts], Shown]] = {
    (Portal.WANTS, Linked.NONE): _shown_unlinked,
    (Portal.WANTS, Linked.SAME_KEY): _shown_same_key,
    (Portal.WANTS, Linked.KEY_CHANGED): _shown_key_changed,
    (Portal.DELETED, Linked.NONE): _shown_unlinked_deleted,
    (Portal.DELETED, Linked.SAME_KEY): _shown_live_deleted,
    (Portal.DELETED, Linked.KEY_CHANGED): _shown_live_deleted,
}


def _evidence(facts: Facts) -> dict[str, Any]:
    shown = {"linked": facts.linked, "found": facts.found}
    evidence: dict[str, Any] = {name: _sighting(driver) for name, driver in shown.items() if driver is not None}
    if facts.conflict:
        evidence["conflict"] = {"by": facts.conflict.kind, "candidates": facts.conflict.candidates}
        if facts.conflict.holder:
            evidence["conflict"]["holder"] = facts.conflict.holder
        if facts.conflict.is_swap:
            evidence["conflict"]["swap"] = True
        if facts.conflict.former:
            evidence["conflict"] |= {"former": facts.conflict.former, "against": facts.conflict.against}
    return evidence


def _sighting(driver: ObservedDriver) -> dict[str, str | bool]:
    seen: dict[str, str | bool] = {"key": driver.key, "active": driver.active}
    return {**seen, "seen": driver.seen_at} if driver.seen_at else seen
