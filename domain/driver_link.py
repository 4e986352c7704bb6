"""The event-sourced history of one portal driver on one target."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any, TypedDict, cast
from uuid import UUID

from domain.account import Mode
from domain.failures import is_final
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream, temporary_id
from domain.matching import claims, is_key_identifier, temporary_fields
from domain.profile import SPECS, Profile, chosen
from domain.store import DeciderEvent, Event, once
from domain.values import quick

EXISTS = "exists"
MISSING = "missing"
REFUSED = "refused"
UNSETTLED = "unsettled"
UNDONE = "undone"


class Rationale(TypedDict, total=False):
    """Why something was decided. `trigger` and `ref` name what made us look; `evidence` is what the roster showed.

    `reconciliation` is the number of the reconciliation in which it was decided; without one there is none.
    """

    trigger: str
    ref: str
    reconciliation: int
    situation: str
    mode: str
    evidence: dict[str, Any]
    guard: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class LinkEvent(DeciderEvent):
    """A fact about one portal driver on one target."""

    driver: str


@quick
@dataclass(frozen=True, kw_only=True)
class Decision(LinkEvent):
    """What is to happen on the target, whole: a projector needs nothing else.

    `key` is the key as the target knows the driver now, `desired_key` the one that it is to get (None: the target
    gives it). `answers` counts the answers of the target that the decision knows of, `policy_generation` is the
    policy under which it was made: a decision that knows fewer answers, or an older policy, is void. `waits_for` is an
    identifier left out for now. `former` is what the target driver had in the `fields` before, or had at all where it
    is deleted, as far as it was known: a field that is not in it was blank, or is one that the target never shows; None
    where that was not recorded.
    """

    sequence: int
    key: str | None
    desired_key: str | None
    profile: dict[str, str]
    fields: list[str]
    answers: int
    policy_generation: int
    waits_for: str
    rationale: Rationale
    former: dict[str, str] | None = field(default=None, compare=False)

    @property
    def claims(self) -> frozenset[str]:
        """The identifiers that it gives to its driver."""
        if isinstance(self, DeleteDecided):
            return frozenset()
        return claims(cast("Target", self.target), Key(self.desired_key) if self.desired_key else None, self.profile)

    @property
    def is_withdrawal(self) -> bool:
        """Whether it takes back what may be on its way, and has nothing to delete yet."""
        return isinstance(self, DeleteDecided) and self.key is None


class CreateDecided(Decision, topic="DriverLink.CreateDecided"):
    """Create a new driver on the target."""


class LinkDecided(Decision, topic="DriverLink.LinkDecided"):
    """The desired driver is there already: link to it, and bring the named fields to the Portal's (adopt, relink)."""


class RenameDecided(Decision, topic="DriverLink.RenameDecided"):
    """Give the linked driver another key."""


class UpdateDecided(Decision, topic="DriverLink.UpdateDecided"):
    """Change the named fields of the linked driver."""


class DeleteDecided(Decision, topic="DriverLink.DeleteDecided"):
    """Delete the linked driver; without a key, withdraw a create that may be on its way."""


class ReinstateDecided(Decision, topic="DriverLink.ReinstateDecided"):
    """Bring back a driver that the target keeps as deleted."""


@dataclass(frozen=True, kw_only=True)
class DeleteHeld(LinkEvent, topic="DriverLink.DeleteHeld"):
    """The guard holds a delete until a person decides."""

    sequence: int
    key: str
    rationale: Rationale


@dataclass(frozen=True, kw_only=True)
class HoldJudged(LinkEvent):
    """A person's decision on the hold of this version; `digest` names the set that they saw."""

    hold: int
    by: str
    digest: str


class DeleteApproved(HoldJudged, topic="DriverLink.DeleteApproved"):
    """The held delete may go out."""


class DeleteRejected(HoldJudged, topic="DriverLink.DeleteRejected"):
    """The held delete does not happen; the driver stays on the target."""


class DeleteRecalled(LinkEvent, topic="DriverLink.DeleteRecalled"):
    """The held, or rejected, delete is void: the driver came back, or is gone from the target already."""


@dataclass(frozen=True, kw_only=True)
class Parked(LinkEvent, topic="DriverLink.Parked"):
    """Nothing is written until the reason is gone; later changes fold into one desired state.

    `waits_for` is the identifier whose release triggers another decision, `holder` the portal driver that has it.
    """

    sequence: int
    reason: str
    detail: str
    waits_for: str
    holder: str
    rationale: Rationale


@dataclass(frozen=True, kw_only=True)
class Released(LinkEvent, topic="DriverLink.Released"):
    """The reason for parking is gone."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Confirmed(LinkEvent, topic="DriverLink.Confirmed"):
    """The target shows what was decided in `decision` (a version of this link; 0: seen without a call of ours).

    `key` None means that the driver is gone there. `unlike` names the fields that the target showed differently right
    after the call: its own way of writing them, which is not drift. `unseen` names those that we wrote and that it has
    not shown since.
    """

    decision: int
    key: str | None
    profile: dict[str, str]
    unlike: list[str]
    unseen: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Refused(LinkEvent, topic="DriverLink.Refused"):
    """The target did not do what was decided in `decision`, and will not."""

    decision: int
    reason: str
    detail: str

    @property
    def is_correction(self) -> bool:
        """Whether only the roster was wrong, so that another decision may do."""
        return self.reason in (EXISTS, MISSING)


@dataclass(frozen=True, kw_only=True)
class Deferred(LinkEvent, topic="DriverLink.Deferred"):
    """The target could not be reached, or not now; the projector tries again."""

    decision: int
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class DriftFound(LinkEvent, topic="DriverLink.DriftFound"):
    """The target shows these fields differently than we last confirmed, and we did not do it.

    `profile` is what it shows in them, which is overridden now; `decision` the version of this link at which the
    decision stands that expected otherwise (0: the driver was found so), `first_seen` when it was first seen so.
    `reconciliation` is the number of the reconciliation that found it (0: none did), and `at_odds` the fields that
    drifted in the last reconciliation too.
    """

    fields: list[str]
    profile: dict[str, str]
    decision: int
    first_seen: str
    reconciliation: int
    at_odds: list[str]
    rationale: Rationale


@dataclass(frozen=True, kw_only=True)
class Undone(LinkEvent, topic="DriverLink.Undone"):
    """A person undoes what was decided since version `since`: the target gets back what it had before.

    Until the Portal states something newer than `sequence`, or a person releases the link, this is desired in the
    Portal's place: the target driver with this `key` and `profile`, of which the `fields` are set back; those in
    `not_restored` stay, because it is not known what they were, or the target cannot empty them. By `ending`, the
    driver stays linked (`stay`), is deleted (`delete`), or is left alone, unmanaged (`leave`); the link goes back to
    the driver with the key `back_to`, if there is one.
    """

    sequence: int
    since: int
    by: str
    key: str
    profile: dict[str, str]
    fields: list[str]
    not_restored: list[str]
    ending: str
    back_to: str
    rationale: Rationale


@dataclass(frozen=True, kw_only=True)
class UndoRefused(LinkEvent, topic="DriverLink.UndoRefused"):
    """What was decided since version `since` was to be undone, and was not: the world has moved on."""

    since: int
    reason: str
    detail: str
    rationale: Rationale


@dataclass(frozen=True, kw_only=True)
class LinkErased(LinkEvent, topic="DriverLink.LinkErased"):
    """The driver was erased: of what was decided, confirmed and seen before nothing personal can be read any more.

    `keys` are the target drivers that it was ever linked to, or was to be: what was seen of them is erased too. Those
    in `elsewhere` are linked to another portal driver now, and are seen afresh at once.
    """

    keys: list[str]
    elsewhere: list[str]


Explained = Decision | DeleteHeld | Parked | DriftFound | Undone
"""The facts that say because of what."""


@dataclass(frozen=True, kw_only=True)
class DriverLink:
    """One portal driver on one target, after some of its history.

    It is live while it has a `key`. `confirmed` is the profile that the target last confirmed, and `confirmed_by` the
    version of the decision that it did so for; `unanswered` are the decisions since its last answer, and `pending` the
    one of them in force; `refused` is the one in force when the target refused it for good; `refusal` is the reason of
    its last refusal; `corrections` counts the outcomes in a row that only corrected the roster; `let_stay` is the
    sequence of a deletion that a person rejected; `reconciled` is the last fact that a reconciliation decided, and
    `drift` the last drift that one found; `undone` is in force instead of what the Portal wants; `aside` is its
    temporary key, once it was to have it; `former_key` and `former` are the key and the profile that it had confirmed
    when it was last to have something temporary; `erased_at` is when its driver was erased, unless something was
    decided since.
    """

    account: AccountId
    target: Target
    driver: PortalDriverId
    version: int = 0
    key: Key | None = None
    confirmed: Profile | None = None
    confirmed_by: int = 0
    unlike: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    answers: int = 0
    pending: Decision | None = None
    unanswered: tuple[Decision, ...] = ()
    refused: Decision | None = None
    refusal: str = ""
    corrections: int = 0
    parked: Parked | None = None
    held: DeleteHeld | None = None
    let_stay: int = 0
    waits_for: str = ""
    aside: Key | None = None
    former_key: Key | None = None
    former: Profile = field(default_factory=dict)
    reconciled: Explained | None = None
    drift: DriftFound | None = None
    undone: Undone | None = None
    erased_at: datetime | None = None

    @once
    def id(self) -> UUID:
        """The id of this link's history."""
        return link_stream(self.account, self.target, self.driver)

    @once
    def temporary_key(self) -> Key:
        """The key that the driver has while others of a circle move."""
        return Key(temporary_id(self.account, self.target, self.driver))

    @once
    def claims(self) -> frozenset[str]:
        """Every identifier that it has for its portal driver: what the target confirmed, and what is on its way.

        What was withdrawn may be on its way, too.
        """
        confirmed, newest = self.confirmed_claims, self.pending or self.refused
        if newest is None:
            return confirmed
        on_their_way = newest.claims
        for decided in self.withdrawn:
            on_their_way |= decided.claims
        return confirmed if on_their_way <= confirmed else confirmed | on_their_way

    @property
    def claimable(self) -> frozenset[str]:
        """Every identifier that it has, or will have once an outcome is recorded: what a batch must load for it."""
        claimable = self.claims
        for decided in self.unanswered:
            claimable |= decided.claims
        return claimable

    @once
    def confirmed_claims(self) -> frozenset[str]:
        """The identifiers that the target has confirmed."""
        return claims(self.target, self.key, self.confirmed) if self.confirmed is not None else frozenset()

    def brought_by(self, decision: Decision) -> frozenset[str]:
        """The identifiers that a decision gives to the driver, beyond what the target has confirmed."""
        brought, is_key_desired = decision.claims - self.confirmed_claims, SPECS[self.target].is_key_desired
        return frozenset(each for each in brought if is_key_desired or not is_key_identifier(each))

    def is_temporary(self, decided: Decision) -> bool:
        """Whether a decision gives the driver a temporary key or value."""
        return decided.desired_key == self.temporary_key or self._has_temporary_value(decided.profile)

    @once
    def is_aside(self) -> bool:
        """Whether the driver has a temporary key or value now, because it changes places with others."""
        return self.key == self.temporary_key or self._has_temporary_value(self.confirmed or {})

    def _has_temporary_value(self, profile: Profile) -> bool:
        return bool(temporary_fields(self.target, profile, self.temporary_key))

    @property
    def withdrawn(self) -> tuple[Decision, ...]:
        """What a withdrawal under way takes back: until its outcome it is unknown whether that took effect.

        Where nothing is sent, nothing can have.
        """
        if self.pending is None or not self.pending.is_withdrawal or self.pending.rationale.get("mode") == Mode.OBSERVE:
            return ()
        return (*self.unanswered, *([self.refused] if self.refused else []))

    @property
    def is_given_up(self) -> bool:
        """Whether calls were given up without a certain answer, so that what they were for may be there."""
        return self.refused is not None and not is_final(self.refusal)

    @property
    def is_live(self) -> bool:
        """Whether a target driver is linked now."""
        return self.key is not None

    @property
    def is_staying(self) -> bool:
        """Whether a target driver is linked now, and no delete of it is on its way."""
        return self.is_live and not isinstance(self.pending, DeleteDecided)

    def is_undone(self, sequence: int) -> bool:
        """Whether what was undone is in force instead of what the Portal wants by its change of this number."""
        return self.undone is not None and self.undone.sequence == sequence

    def unanswered_at(self, version: int) -> Decision | None:
        """The unanswered decision of this version."""
        return next((event for event in self.unanswered if event.originator_version == version), None)

    def pending_at(self, version: int) -> Decision | None:
        """The decision of this version, if it is the one in force."""
        return self.pending if self.pending is not None and self.pending.originator_version == version else None


def _after(link: DriverLink, **changed: object) -> DriverLink:
    """The link with these fields changed; `dataclasses.replace` would take ten times as long for as many fields."""
    after = object.__new__(DriverLink)
    fields = vars(after)
    fields.update(vars(link), **changed)
    fields.pop("claims", None)
    if "confirmed" in changed or "key" in changed:
        fields.pop("confirmed_claims", None)
        fields.pop("is_aside", None)
    return after


_UNLINKED = DriverLink(account=AccountId(""), target=Target.DRIVERI, driver=PortalDriverId(""))


def unlinked(account: AccountId, target: Target, driver: PortalDriverId) -> DriverLink:
    """The link of a driver before anything was decided about it."""
    return _after(_UNLINKED, account=account, target=target, driver=driver)


def apply(link: DriverLink, event: Event) -> DriverLink:
    """The link after this fact."""
    version = event.originator_version
    match event:
        case Decision():
            return _decided(link, event)
        case Confirmed() | Refused():
            return _answered(link, event)
        case Parked() | DeleteHeld():
            return _set_aside(link, event)
        case Released():
            undone = None if event.reason == UNDONE else link.undone
            return _after(link, version=version, parked=None, refused=None, waits_for="", undone=undone)
        case Undone() | DriftFound():
            return _found_or_undone(link, event)
        case HoldJudged() | DeleteRecalled():
            rejected = link.held if isinstance(event, DeleteRejected) else None
            return _after(link, version=version, held=None, let_stay=rejected.sequence if rejected else 0)
        case LinkErased():
            start = unlinked(link.account, link.target, link.driver)
            return _after(start, version=version, answers=link.answers, erased_at=event.at)
    return _after(link, version=version)


def _decided(link: DriverLink, event: Decision) -> DriverLink:
    steps_aside = isinstance(event, RenameDecided) and event.desired_key == link.temporary_key
    former = link.former
    if link.is_temporary(event):
        # What the driver has of its own, or had before it got temporary values.
        confirmed = link.confirmed or {}
        former = {**confirmed, **chosen(former, temporary_fields(link.target, confirmed, link.temporary_key))}
    return _after(
        link,
        version=event.originator_version,
        pending=event,
        unanswered=(*link.unanswered, event),
        refused=link.refused if event.is_withdrawal else None,
        parked=None,
        held=None,
        waits_for=event.waits_for,
        aside=link.temporary_key if steps_aside else link.aside,
        former_key=link.key if steps_aside and not link.is_aside else link.former_key,
        former=former,
        reconciled=_reconciled(link, event),
        erased_at=None,
    )


def _set_aside(link: DriverLink, event: Parked | DeleteHeld) -> DriverLink:
    parked = event if isinstance(event, Parked) else None
    held = event if isinstance(event, DeleteHeld) else None
    return _after(
        link,
        version=event.originator_version,
        pending=None,
        refused=link.refused if parked and parked.reason == REFUSED else None,
        corrections=0 if parked else link.corrections,
        parked=parked,
        held=held,
        waits_for=parked.waits_for if parked else "",
        reconciled=_reconciled(link, event),
    )


def _found_or_undone(link: DriverLink, event: Undone | DriftFound) -> DriverLink:
    version = event.originator_version
    if isinstance(event, Undone):
        return _after(link, version=version, undone=event, reconciled=_reconciled(link, event))
    if event.reconciliation:
        return _after(link, version=version, reconciled=event, drift=event)
    return _after(link, version=version)


def _reconciled(link: DriverLink, event: Explained) -> Explained | None:
    return event if event.rationale.get("reconciliation") else link.reconciled


def _answered(link: DriverLink, event: Confirmed | Refused) -> DriverLink:
    answers = link.answers + bool(event.decision)
    if isinstance(event, Refused):
        return _after(
            link,
            version=event.originator_version,
            answers=answers,
            pending=None,
            unanswered=(),
            refused=None if event.is_correction else link.pending_at(event.decision),
            refusal=event.reason,
            corrections=link.corrections + 1 if event.is_correction else 0,
        )
    return _after(
        link,
        version=event.originator_version,
        key=Key(event.key) if event.key else None,
        confirmed=event.profile if event.key else None,
        confirmed_by=event.decision if event.key else 0,
        unlike=tuple(event.unlike),
        unseen=tuple(event.unseen),
        answers=answers,
        pending=None,
        unanswered=(),
        refused=None,
        corrections=0,
        waits_for=link.waits_for if event.key or link.parked else "",
    )


def replay(start: DriverLink, events: Iterable[Event]) -> DriverLink:
    """The link after all these facts."""
    return reduce(apply, events, start)


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


def keys_of(facts: Iterable[Event]) -> frozenset[Key]:
    """The keys of the target drivers that a link with these facts was ever linked to, or was to be."""
    named: set[str | None] = set()
    for fact in facts:
        if isinstance(fact, Decision):
            named |= {fact.key, fact.desired_key}
        elif isinstance(fact, Confirmed):
            named.add(fact.key)
    return frozenset(Key(key) for key in named if key)


def erase(link: DriverLink, at: datetime, *, keys: Iterable[Key], elsewhere: Iterable[Key]) -> tuple[LinkErased, ...]:
    """The fact that a driver was erased, as to its link; none where nothing was ever decided of it."""
    if not link.version:
        return ()
    return (LinkErased(**origin(link, at), keys=sorted(keys), elsewhere=sorted(elsewhere)),)


def in_sequence(link: DriverLink, events: Iterable[LinkEvent]) -> tuple[LinkEvent, ...]:
    """The same facts, numbered consecutively from the link's next version."""
    return tuple(
        event if event.originator_version == version else replace(event, originator_version=version)
        for version, event in enumerate(events, link.version + 1)
    )
