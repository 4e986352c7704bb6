"""What a sweep or an opt-in would do, as a value that people read, and that a hash names.

Steps are made of the very facts that were decided in a rehearsal. The hash is over everything that a person sees of
them, and over what would be written; never over times, versions or the order in which they came.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Decision,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DriftFound,
    LinkDecided,
    LinkEvent,
    Parked,
    ReinstateDecided,
    Released,
    RenameDecided,
    UpdateDecided,
)
from domain.identity import AccountId, PortalDriverId, Target
from domain.profile import Profile
from domain.situations import Situation

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
}

_REASONS: Mapping[str, str] = {
    Situation.ABSENT: "nobody on the target is this driver",
    Situation.FOUND: "is on the target already, and nobody's",
    Situation.DORMANT: "is on the target, but deleted there",
    Situation.MISSING: "was linked, and is gone from the target",
    Situation.OUTDATED: "the Portal states it otherwise by now",
    Situation.DRIFTED: "somebody else changed it on the target",
    Situation.RENAMED: "has another id in the Portal",
    Situation.REDIRECTED: "has another id in the Portal, which is on the target already",
    Situation.CONTESTED: "changes ids with another driver, by way of a temporary one",
    Situation.ORPHANED: "the Portal has deleted the driver",
}

_PLAIN: Mapping[Action, str] = {
    Action.HOLD: "the guard lets no more deletes out now, so a person has to decide",
    Action.RECALL: "nobody has to decide on its delete any more",
    Action.RELEASE: "what it was set aside for is over",
    Action.END: "the Portal has deleted the driver, who is gone from the target",
}
"""Why, where the action alone tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What would be done for one portal driver on one target, and why.

    `key` is how the target names the driver now, `wished_key` how it would; empty for not at all. `written` is the
    profile that would be stated, and `overridden` what the target shows in fields that somebody else changed: both are
    personal data, of which people see only the names of the `fields`.
    """

    target: Target
    driver: PortalDriverId
    action: Action
    situation: str
    key: str
    wished_key: str
    fields: tuple[str, ...]
    reason: str
    written: Profile = field(default_factory=dict, repr=False)
    overridden: Profile = field(default_factory=dict, repr=False)

    @property
    def seal(self) -> bytes:
        """A digest of the whole step, values included."""
        seen = (self.target, self.driver, self.action, self.situation, self.key, self.wished_key, self.fields)
        values = (sorted(self.written.items()), sorted(self.overridden.items()))
        return sha256(json.dumps([*seen, self.reason, *values]).encode()).digest()


def step_after(step: Step | None, fact: LinkEvent) -> Step | None:
    """The step of a driver after one more fact of a rehearsal: the newest decides, and what drifted stays told."""
    if isinstance(fact, DriftFound):
        return _step(fact, Action.UPDATE, overridden=fact.profile, fields=tuple(fact.fields))
    action = _action(fact)
    if action is None:
        return step
    overridden = step.overridden if step else {}
    if isinstance(fact, Decision):
        return _decided(fact, action, overridden)
    return _step(fact, action, overridden=overridden)


def _action(fact: LinkEvent) -> Action | None:
    if isinstance(fact, DeleteDecided) and not fact.key:
        return Action.WITHDRAW
    return _ACTIONS.get(type(fact))


def _decided(fact: Decision, action: Action, overridden: Profile) -> Step:
    return _step(
        fact,
        action,
        overridden=overridden,
        key=fact.key or "",
        wished_key=fact.wished_key or "",
        fields=tuple(fact.fields),
        written=fact.profile,
    )


def _step(
    fact: LinkEvent,
    action: Action,
    *,
    overridden: Profile,
    key: str = "",
    wished_key: str = "",
    fields: tuple[str, ...] = (),
    written: Profile | None = None,
) -> Step:
    situation = _situation(fact)
    return Step(
        target=Target(fact.target),
        driver=PortalDriverId(fact.driver),
        action=action,
        situation=situation,
        key=fact.key if isinstance(fact, DeleteHeld) else key,
        wished_key=wished_key,
        fields=fields,
        reason=fact.detail if isinstance(fact, Parked) else _PLAIN.get(action) or _REASONS.get(situation, ""),
        written=written or {},
        overridden=overridden,
    )


def _situation(fact: LinkEvent) -> str:
    return fact.because["situation"] if isinstance(fact, Decision | DeleteHeld | Parked | DriftFound) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A plan's part on one target: how many steps there are of each action, and the hash of them all."""

    target: Target
    counts: Mapping[Action, int]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep of these targets, or an opt-in, would do: a part for each; the hash names exactly that.

    The steps themselves may be as many as the fleet has drivers, so they are read page by page beside it.
    """

    account: AccountId
    parts: tuple[Part, ...]

    @property
    def digest(self) -> str:
        """What names the whole: it is of the targets, too, that nothing would be done on."""
        parts = sorted((part.target, part.digest) for part in self.parts)
        return sha256(json.dumps([self.account, *parts]).encode()).hexdigest()[:_SHOWN]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be done at all."""
        return not any(part.counts for part in self.parts)


class Tally:
    """Counts steps, and seals them, as they come in whatever order; of each it keeps no more than its seal."""

    def __init__(self, account: AccountId, target: Target) -> None:
        self._place = account, target
        self._counts = Counter[Action]()
        self._seals: list[bytes] = []

    def add(self, steps: Iterable[Step]) -> None:
        """Take these steps in too."""
        for step in steps:
            self._counts[step.action] += 1
            self._seals.append(step.seal)

    def part(self) -> Part:
        """The part of a plan that the steps make."""
        whole = sha256(json.dumps(self._place).encode())
        for seal in sorted(self._seals):
            whole.update(seal)
        counts = {each: self._counts[each] for each in Action if self._counts[each]}
        return Part(target=self._place[1], counts=counts, digest=whole.hexdigest()[:_SHOWN])
