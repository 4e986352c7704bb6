"""Undoing what was decided for a link: what the target had before, and why it cannot have that back.

Which decisions are undone is found in the link's own history, and so is what they wrote over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from domain.account import Mode, UndoScope
from domain.driver_link import UNDONE as SET_BACK
from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Decision,
    DeleteDecided,
    DriverLink,
    LinkDecided,
    LinkEvent,
    ReinstateDecided,
    Undone,
    replay,
    unlinked,
)
from domain.identity import Key
from domain.matching import ObservedDriver, claims, key_identifier
from domain.profile import PERSONAL_FIELDS, SPECS, Profile, is_erased, to_change
from domain.situations import Case


class Ending(StrEnum):
    """What becomes of the link and its target driver once the fields are set back."""

    STAY = "stay"
    DELETE = "delete"
    LEAVE = "leave"


class Obstacle(StrEnum):
    """Why something is not undone: the world has moved on."""

    DECIDED_SINCE = "decided_since"
    ON_ITS_WAY = "on_its_way"
    SET_ASIDE = "set_aside"
    NOT_DONE = "not_done"
    CHANGED_IN_PORTAL = "changed_in_portal"
    CHANGED_ON_TARGET = "changed_on_target"
    CLAIMED = "claimed"
    MODE = "mode"
    UNDONE = "undone"
    ENTANGLED = "entangled"
    ERASED = "erased"


_WORDS: Final[Mapping[Obstacle, str]] = {
    Obstacle.DECIDED_SINCE: "something else was decided for it since",
    Obstacle.ON_ITS_WAY: "something is on its way to the target, or waits for a person",
    Obstacle.SET_ASIDE: "the driver is set aside",
    Obstacle.NOT_DONE: "the target did not do what was decided",
    Obstacle.CHANGED_IN_PORTAL: "the Portal has changed or deleted the driver since",
    Obstacle.CHANGED_ON_TARGET: "the target does not show the driver as it was confirmed",
    Obstacle.CLAIMED: "another driver has an identifier that it had before",
    Obstacle.MODE: "the mode upsert lets no deletes out",
    Obstacle.UNDONE: "it is undone already",
    Obstacle.ERASED: "the driver's data was erased",
    Obstacle.ENTANGLED: "more happened to the driver than can be undone at once",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotUndone:
    """Why a link's decisions cannot be undone, and since which version of it they were made."""

    obstacle: Obstacle
    since: int

    @property
    def detail(self) -> str:
        """The same for people."""
        return _WORDS[self.obstacle]


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What is to be brought back, as `Undone` has it; `left` is what the target driver had last."""

    since: int
    left: Profile
    key: Key
    profile: Profile
    fields: tuple[str, ...]
    not_restored: tuple[str, ...]
    ending: Ending
    back_to: Key | None = None


_FOLLOWING: Final = ("answer", "freed", "retry", "reached", "approval")
"""What triggers decisions by which an earlier one is carried through."""


def former_of(
    link: DriverLink, history: Sequence[LinkEvent], scope: UndoScope, sequence: int
) -> Former | NotUndone | Undone | None:
    """What the link's target driver had before the decisions in scope, as the history of the link says.

    None if there are no such decisions. If they are themselves what undid others, the `Undone` to be released.
    `sequence` is the Portal's last change of the driver.
    """
    episode = _episode(history, scope)
    if not episode:
        return None
    since = episode[0].originator_version
    is_undoing = link.undone is not None and since >= link.undone.originator_version
    if obstacle := _obstacle(link, episode, scope, sequence, is_undoing=is_undoing):
        return NotUndone(obstacle=obstacle, since=since)
    if is_undoing:
        return link.undone
    if any(is_erased(each) for event in history for each in _profiles_in(event)):
        return NotUndone(obstacle=Obstacle.ERASED, since=since)
    confirmed = {event.decision for event in history if isinstance(event, Confirmed)}
    done = [each for each in episode if isinstance(each, Decision) and each.originator_version in confirmed]
    if not done:
        return NotUndone(obstacle=Obstacle.NOT_DONE, since=since)
    first, start = done[0].originator_version, unlinked(link.account, link.target, link.driver)
    before = replay(start, (event for event in history if event.originator_version < first))
    found = _deleted(before, done) if link.key is None or link.confirmed is None else _changed(link, before, done)
    return replace(found, since=since) if found else NotUndone(obstacle=Obstacle.ENTANGLED, since=since)


def _profiles_in(event: LinkEvent) -> list[Profile]:
    return [each for each in (getattr(event, name, None) for name in PERSONAL_FIELDS) if each]


def covers(scope: UndoScope, event: Decision | Undone) -> bool:
    """Whether this was asked to be undone."""
    if scope.decision:
        return event.originator_version == scope.decision
    if scope.reconciliation:
        return event.rationale.get("reconciliation", 0) == scope.reconciliation
    return event.at >= datetime.fromisoformat(scope.since)


def _episode(history: Sequence[LinkEvent], scope: UndoScope) -> list[Decision | Undone]:
    """The first decision in scope, and all after it."""
    decided = [event for event in history if isinstance(event, Decision | Undone)]
    first = next((place for place, event in enumerate(decided) if covers(scope, event)), len(decided))
    return decided[first:]


def _obstacle(
    link: DriverLink, episode: Sequence[Decision | Undone], scope: UndoScope, sequence: int, *, is_undoing: bool
) -> Obstacle | None:
    """What stands against it, by the link and what the Portal stated last."""
    if link.pending or link.held:
        return Obstacle.ON_ITS_WAY
    if link.is_undone(sequence) and not is_undoing:
        return Obstacle.UNDONE
    if link.parked is not None and link.parked.reason != SET_BACK:
        return Obstacle.SET_ASIDE
    for former, event in pairwise(episode):
        follows = event.rationale.get("trigger") in _FOLLOWING and event.sequence == former.sequence
        if not (covers(scope, event) or follows or is_undoing):
            return Obstacle.DECIDED_SINCE
    return None if episode[-1].sequence == sequence else Obstacle.CHANGED_IN_PORTAL


_COMING: Final = (CreateDecided, LinkDecided, ReinstateDecided)
"""Decisions by which a link gets a target driver."""


def _changed(link: DriverLink, before: DriverLink, done: Sequence[Decision]) -> Former | None:
    """What is brought back where the link has a target driver: one that it had before, or that came by these."""
    key, confirmed = link.key, link.confirmed or {}
    came = next((each for each in reversed(done) if isinstance(each, _COMING)), None)
    if key is None or any(isinstance(each, DeleteDecided) for each in done):
        return None
    if came is None or (isinstance(came, LinkDecided) and came.desired_key == before.key):
        if before.key is None or before.is_aside:
            return None
        return _former(link, before.key, confirmed, done, Ending.STAY)
    if came is not done[0]:
        return None
    if isinstance(came, CreateDecided):
        return _former(link, key, confirmed, (), Ending.DELETE)
    ending = Ending.DELETE if isinstance(came, ReinstateDecided) else Ending.LEAVE
    was_there = Key(came.desired_key or key)
    back_to = before.key if before.key != was_there else None
    return replace(_former(link, was_there, confirmed, done, ending), back_to=back_to)


def _deleted(before: DriverLink, done: Sequence[Decision]) -> Former | None:
    """What is brought back where the link has ended."""
    if before.key is None or before.is_aside or not isinstance(done[-1], DeleteDecided):
        return None
    if any(isinstance(each, _COMING) for each in done):
        return None
    known = before.confirmed if done[-1].former is None else done[-1].former
    return _former(before, before.key, known or {}, done, Ending.STAY)


def _former(link: DriverLink, key: Key, known: Profile, done: Sequence[Decision], ending: Ending) -> Former:
    """The known profile with what these decisions wrote over, the first of them last."""
    spec, profile = SPECS[link.target], dict(known)
    fields, not_restored = set[str](), set[str]()
    for name, text in _written_over(link, done).items():
        if text is None or (not text and name in spec.lasting and known.get(name)):
            not_restored.add(name)
        elif text != known.get(name, ""):
            fields.add(name)
            profile[name] = text
            if not text and name in spec.removable:
                del profile[name]
    gives_up = ending is Ending.DELETE and not spec.deleted_keep_identifiers
    if spec.unique and gives_up and done and profile.get(spec.unique.field):
        # Who is deleted gives up what only one driver can have.
        not_restored.add(spec.unique.field)
    return Former(
        since=0,
        left=known,
        key=key,
        profile=profile,
        fields=tuple(sorted(fields)),
        not_restored=tuple(sorted(not_restored)),
        ending=ending,
    )


def _written_over(link: DriverLink, done: Iterable[Decision]) -> dict[str, str | None]:
    """What was in the fields before the first decision that wrote each of them; None where it is not known."""
    unreadable, found = SPECS[link.target].unreadable, dict[str, str | None]()
    for decision in done:
        for name in decision.fields:
            text = None if decision.former is None else decision.former.get(name, None if name in unreadable else "")
            found.setdefault(name, text)
    return found


def _is_edited(former: Former, shown: ObservedDriver, link: DriverLink) -> bool:
    """Whether a deleted driver is not as it was left, but for what it gives up then."""
    unique = SPECS[link.target].unique
    return bool({*to_change(link.target, former.left, shown.profile)} - {unique.field if unique else ""})


def stands_against(former: Former, case: Case) -> Obstacle | None:
    """What stands against it, by what the target shows and what others have claimed; None if nothing does.

    The case has the link with the profile that the target confirmed as what is desired.
    """
    link, batch = case.link, case.batch
    if link.is_live and (not case.is_linked_there or case.drifted):
        return Obstacle.CHANGED_ON_TARGET
    shown = batch.roster.shown(former.key)
    if not link.is_live and (shown is None or shown.active or _is_edited(former, shown, link)):
        return Obstacle.CHANGED_ON_TARGET
    wanted = {*claims(link.target, former.key, former.profile)}
    if former.back_to is not None:
        wanted.add(key_identifier(link.target, former.back_to))
    if any(batch.holder(each) not in (None, link.driver) for each in wanted):
        return Obstacle.CLAIMED
    if link.key is not None and shown is not None and shown != case.linked:
        return Obstacle.CLAIMED
    is_deleted = former.ending is Ending.DELETE
    return Obstacle.MODE if is_deleted and case.trigger.mode is Mode.UPSERT else None
