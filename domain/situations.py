"""The table of situations: where a driver stands on a target, and what follows from it.

| the Portal    | the link          | the desired key on the target | situation  | resolution                |
| ------------- | ----------------- | ----------------------------- | ---------- | ------------------------- |
| wants         | any               | both ids blank                | UNKEYED    | park                      |
| wants         | any               | another's, or two candidates  | CONFLICT   | park                      |
| wants         | none or ended     | unknown                       | ABSENT     | create                    |
| wants         | none or ended     | there, unclaimed              | FOUND      | link (adopt)              |
| wants         | none or ended     | there, deleted                | DORMANT    | reinstate                 |
| wants         | live, same key    | unknown                       | MISSING    | create                    |
| wants         | live, same key    | there under another key       | MISSING    | link                      |
| wants         | live, same key    | there, deleted                | MISSING    | reinstate                 |
| wants         | live, same key    | our desired state changed     | OUTDATED   | update                    |
| wants         | live, same key    | differs, and not by us        | DRIFTED    | record the drift, update  |
| wants         | live, same key    | equal                         | IN SYNC    | nothing                   |
| wants         | live, key changed | unknown                       | RENAMED    | rename                    |
| wants         | live, key changed | there, unclaimed              | REDIRECTED | link (relink)             |
| wants         | live, key changed | there, deleted                | REDIRECTED | reinstate                 |
| wants         | live, key changed | unknown, linked driver gone   | MISSING    | create                    |
| deleted       | none or ended     | a create is on its way        | ORPHANED   | withdraw                  |
| deleted       | live              | there                         | ORPHANED   | delete, through the guard |
| deleted       | live              | gone already                  | GONE       | end the link              |
| not in a list | live              | there                         | UNSEEN     | nothing                   |
| -             | none              | there                         | UNMANAGED  | report only               |

`to_case` looks up what one decision depends on, and finds its row.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from domain.account import Mode
from domain.claims import Batch, Conflict, OwnValues, own_values
from domain.driver_link import DriverLink, Rationale
from domain.matching import DesiredDriver, ObservedDriver, former_driver, key_identifier, speaks_against
from domain.profile import is_own_form, to_change, to_restate
from domain.store import once
from domain.values import quick


class PortalState(StrEnum):
    """What the Portal says of a driver."""

    WANTS = "wants"
    DELETED = "deleted"
    NOT_IN_LIST = "not in a list"
    SILENT = "-"


class LinkState(StrEnum):
    """How the link compares with what is desired."""

    NONE = "none or ended"
    SAME_KEY = "live, same key"
    KEY_CHANGED = "live, key changed"


class TargetState(StrEnum):
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
    IN_SYNC = "IN SYNC"
    RENAMED = "RENAMED"
    REDIRECTED = "REDIRECTED"
    ORPHANED = "ORPHANED"
    GONE = "GONE"
    UNSEEN = "UNSEEN"
    UNMANAGED = "UNMANAGED"
    UNLINKED = "UNLINKED"
    UNDONE = "UNDONE"


class Resolution(StrEnum):
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
class SituationRow:
    """One row of the table."""

    portal: PortalState
    linked: frozenset[LinkState]
    shown: TargetState
    situation: Situation
    resolution: Resolution


_NONE, _SAME, _CHANGED = (frozenset({linked}) for linked in LinkState)
_LIVE = _SAME | _CHANGED
_ANY = _NONE | _LIVE

TABLE = (
    SituationRow(PortalState.WANTS, _ANY, TargetState.BLANK, Situation.UNKEYED, Resolution.PARK),
    SituationRow(PortalState.WANTS, _ANY, TargetState.CLAIMED, Situation.CONFLICT, Resolution.PARK),
    SituationRow(PortalState.WANTS, _NONE, TargetState.UNKNOWN, Situation.ABSENT, Resolution.CREATE),
    SituationRow(PortalState.WANTS, _NONE, TargetState.UNCLAIMED, Situation.FOUND, Resolution.LINK),
    SituationRow(PortalState.WANTS, _NONE, TargetState.DELETED, Situation.DORMANT, Resolution.REINSTATE),
    SituationRow(PortalState.WANTS, _SAME, TargetState.UNKNOWN, Situation.MISSING, Resolution.CREATE),
    SituationRow(PortalState.WANTS, _SAME, TargetState.ELSEWHERE, Situation.MISSING, Resolution.LINK),
    SituationRow(PortalState.WANTS, _SAME, TargetState.DELETED, Situation.MISSING, Resolution.REINSTATE),
    SituationRow(PortalState.WANTS, _SAME, TargetState.DESIRED_CHANGED, Situation.OUTDATED, Resolution.UPDATE),
    SituationRow(PortalState.WANTS, _SAME, TargetState.DIFFERS, Situation.DRIFTED, Resolution.OVERRIDE),
    SituationRow(PortalState.WANTS, _SAME, TargetState.EQUAL, Situation.IN_SYNC, Resolution.NOTHING),
    SituationRow(PortalState.WANTS, _CHANGED, TargetState.UNKNOWN, Situation.RENAMED, Resolution.RENAME),
    SituationRow(PortalState.WANTS, _CHANGED, TargetState.UNCLAIMED, Situation.REDIRECTED, Resolution.LINK),
    SituationRow(PortalState.WANTS, _CHANGED, TargetState.DELETED, Situation.REDIRECTED, Resolution.REINSTATE),
    SituationRow(PortalState.WANTS, _CHANGED, TargetState.BOTH_UNKNOWN, Situation.MISSING, Resolution.CREATE),
    SituationRow(PortalState.DELETED, _NONE, TargetState.ON_ITS_WAY, Situation.ORPHANED, Resolution.WITHDRAW),
    SituationRow(PortalState.DELETED, _LIVE, TargetState.THERE, Situation.ORPHANED, Resolution.DELETE),
    SituationRow(PortalState.DELETED, _LIVE, TargetState.GONE, Situation.GONE, Resolution.END),
    SituationRow(PortalState.NOT_IN_LIST, _LIVE, TargetState.THERE, Situation.UNSEEN, Resolution.NOTHING),
    SituationRow(PortalState.SILENT, _NONE, TargetState.THERE, Situation.UNMANAGED, Resolution.REPORT),
)

_BY_FACTS = {(row.portal, linked, row.shown): row for row in TABLE for linked in row.linked}
_SET_BACK = SituationRow(PortalState.WANTS, _ANY, TargetState.NOTHING, Situation.UNDONE, Resolution.NOTHING)
_NOTHING_TO_DO = SituationRow(PortalState.DELETED, _NONE, TargetState.NOTHING, Situation.UNLINKED, Resolution.NOTHING)


def row_for(portal: PortalState, linked: LinkState, shown: TargetState) -> SituationRow:
    """The row that these facts lead to; where no row stands there is nothing to do."""
    return _BY_FACTS.get((portal, linked, shown), _NOTHING_TO_DO)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What started a decision, when, in which reconciliation (0: in none), and under which policy of the account.

    `kind` and `ref` name what started it, such as `change` and its sequence.
    """

    at: datetime
    kind: str
    ref: str
    mode: Mode
    policy_generation: int
    reconciliation: int = 0


@quick
@dataclass(frozen=True, kw_only=True)
class Case:
    """What one decision depends on, and the row of the table that this leads to; each thing is worked out once.

    `linked` is what the target shows at the link's key, `found` who matches the desired state there, and `conflict` why
    the driver cannot have that.
    """

    desired: DesiredDriver
    link: DriverLink
    batch: Batch
    trigger: Trigger
    linked: ObservedDriver | None
    found: ObservedDriver | None
    conflict: Conflict | None

    @once
    def row(self) -> SituationRow:
        """The row of the table; while something is undone, the Portal's wishes do not count."""
        if self.link.is_undone(self.desired.sequence):
            return _SET_BACK
        portal = PortalState.WANTS if self.desired.is_wanted else PortalState.DELETED
        return row_for(portal, *_states(self))

    @property
    def is_linked_there(self) -> bool:
        """Whether the target shows the linked driver as an active one."""
        return self.linked is not None and self.linked.active

    @once
    def own(self) -> OwnValues | None:
        """What the driver gets of its own in place of a temporary key or value."""
        return own_values(self.desired, self.link, self.batch)

    @once
    def restated(self) -> frozenset[str]:
        """The fields that we last stated otherwise: to the target's knowledge, or in a decision on its way."""
        target, desired, pending = self.desired.target, self.desired.profile, self.link.pending
        on_its_way = to_restate(target, desired, pending.profile) if pending else ()
        return frozenset((*to_restate(target, desired, self.link.confirmed or {}), *on_its_way))

    @once
    def drifted(self) -> tuple[str, ...]:
        """The fields that the target shows otherwise than desired, less those that it always shows in its own way.

        What the target shows for the first time since we wrote it, in a form of its own, has not drifted either.
        """
        link, desired, shown = self.link, self.desired.profile, self.linked.profile if self.linked else {}
        own_forms = {name for name in link.unseen if is_own_form(desired.get(name, ""), shown.get(name, ""))}
        differing = to_change(self.desired.target, desired, shown)
        return tuple([field for field in differing if field not in link.unlike and field not in own_forms])

    def rationale(self) -> Rationale:
        """Why, as it is stored with what is decided."""
        evidence: dict[str, Any] = {}
        for name, shown in (("linked", self.linked), ("found", self.found)):
            if shown is not None:
                seen = {"seen": shown.seen_at} if shown.seen_at else {}
                evidence[name] = {"key": shown.key, "active": shown.active, **seen}
        if self.conflict:
            evidence["conflict"] = self.conflict.evidence()
        rationale: Rationale = {
            "trigger": self.trigger.kind,
            "ref": self.trigger.ref,
            "situation": str(self.row.situation),
            "mode": str(self.trigger.mode),
            "evidence": evidence,
        }
        if self.trigger.reconciliation:
            rationale["reconciliation"] = self.trigger.reconciliation
        return rationale


def to_case(desired: DesiredDriver, link: DriverLink, batch: Batch, trigger: Trigger) -> Case:
    """Look up everything that the decision on this link depends on."""
    linked, found, conflict = batch.roster.shown(link.key), None, None
    if desired.is_wanted and not desired.is_unkeyed:
        found, conflict = _matched(desired, link, linked, batch)
        desired = batch.attainable(desired, found)
    if conflict is not None and conflict.holder is not None and link.is_aside:
        conflict = replace(conflict, is_swap=True)
    return Case(desired=desired, link=link, batch=batch, trigger=trigger, linked=linked, found=found, conflict=conflict)


def _matched(
    desired: DesiredDriver, link: DriverLink, linked: ObservedDriver | None, batch: Batch
) -> tuple[ObservedDriver | None, Conflict | None]:
    """The target driver that matches the desired state, and why our driver cannot have it."""
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
    conflict, against = batch.conflict(desired, found), speaks_against(desired, found, batch.wanted)
    if conflict is None and against:
        conflict = Conflict(
            identifier=match.identifier,
            holder=None,
            candidates=1,
            former=former_driver(desired, found),
            against=against,
            key=key_identifier(desired.target, found.key),
        )
    return found, conflict


def _states(case: Case) -> tuple[LinkState, TargetState]:
    """Where the link and the target stand."""
    desired, link = case.desired, case.link
    is_same_key = desired.key in (None, link.key)
    state = (LinkState.SAME_KEY if is_same_key else LinkState.KEY_CHANGED) if link.is_live else LinkState.NONE
    if not desired.is_wanted and link.is_live:
        return state, TargetState.THERE if case.is_linked_there else TargetState.GONE
    if not desired.is_wanted:
        return state, TargetState.ON_ITS_WAY if link.pending or link.is_given_up else TargetState.NOTHING
    if desired.is_unkeyed:
        return state, TargetState.BLANK
    if case.conflict:
        return state, TargetState.CLAIMED
    match state:
        case LinkState.NONE:
            return state, _found(case)
        case LinkState.SAME_KEY:
            return state, _shown_same_key(case)
        case LinkState.KEY_CHANGED:
            return state, _shown_key_changed(case)
    assert_never(state)


def _found(case: Case) -> TargetState:
    if case.found is None:
        return TargetState.UNKNOWN
    return TargetState.UNCLAIMED if case.found.active else TargetState.DELETED


def _shown_same_key(case: Case) -> TargetState:
    if not case.is_linked_there:
        found = _found(case)
        return TargetState.ELSEWHERE if found is TargetState.UNCLAIMED else found
    has_to_wait = case.desired.waits_for not in ("", case.link.waits_for)
    if case.link.pending or case.restated or has_to_wait or case.own:
        return TargetState.DESIRED_CHANGED
    return TargetState.DIFFERS if case.drifted else TargetState.EQUAL


def _shown_key_changed(case: Case) -> TargetState:
    if case.found is not None and not (case.is_linked_there and case.found is case.linked):
        return _found(case)
    return TargetState.UNKNOWN if case.is_linked_there else TargetState.BOTH_UNKNOWN
