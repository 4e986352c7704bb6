"""What must hold across the links of one account on one target, as one batch sees it and changes it.

What a driver with a temporary key or value gets of its own: the desired one if it is free, else the former one.

It is written with nothing else, so that no other field which the target refuses can keep the driver from it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from domain.driver_link import Decision, DeleteDecided, DriverLink, LinkDecided, ReinstateDecided
from domain.guard import Guard
from domain.identity import Key, PortalDriverId, Target
from domain.matching import (
    DesiredDriver,
    ObservedDriver,
    Roster,
    claims,
    identifier_in,
    is_key_identifier,
    key_identifier,
    temporary_fields,
)
from domain.profile import IDENTIFIER_WORDS, SPECS, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Why a desired state cannot have an identifier: another portal driver holds it, or its matches are not meant.

    In the latter case several target drivers match, or one that was the portal driver `former`: then `key` is the
    identifier of its key, and `against` says what speaks against it being this driver. `is_swap`: the driver has a
    temporary value already, because it changes places with the holder.
    """

    identifier: str
    holder: PortalDriverId | None
    candidates: int = 0
    former: PortalDriverId | None = None
    against: str = ""
    key: str = ""
    is_swap: bool = False

    @property
    def waits_for(self) -> str:
        """The identifier whose release triggers another decision for this link."""
        return self.key or self.identifier

    @property
    def kind(self) -> str:
        """The kind of identifier, in words."""
        return IDENTIFIER_WORDS[self.identifier.partition(":")[0]]

    @property
    def detail(self) -> str:
        """The reason for a person."""
        if self.former is not None:
            return f"the user with its {self.kind} was portal driver {self.former}, and {self.against}"
        if self.is_swap:
            return (
                f"it changes places with portal driver {self.holder}, has a temporary value until then, "
                f"and gets its {self.kind} as soon as that one has given it up"
            )
        if self.holder is None:
            return f"{self.candidates} target drivers have its {self.kind}"
        return f"portal driver {self.holder} has claimed its {self.kind}"

    def evidence(self) -> dict[str, Any]:
        """What a decision is stored with."""
        evidence: dict[str, Any] = {"by": self.kind, "candidates": self.candidates}
        if self.holder:
            evidence["holder"] = self.holder
        if self.is_swap:
            evidence["swap"] = True
        if self.former:
            evidence |= {"former": self.former, "against": self.against}
        return evidence


class Batch:
    """Who has claimed which identifier, who waits for one, what the roster shows, and how far the guard is.

    An identifier is claimed by the first driver that desires it, a key always by the driver whose link has it.
    `dispossessed` are drivers that desired an identifier first and lost it to the one the target confirmed it for.
    `linked` maps the identifier of each linked key to its portal driver. `wanted` are the portal drivers that the
    Portal has now, among those whose external id a target driver carries.
    """

    def __init__(
        self,
        target: Target,
        *,
        roster: Roster | None = None,
        claimed: Mapping[str, PortalDriverId] | None = None,
        waiting: Mapping[PortalDriverId, str] | None = None,
        linked: Mapping[str, PortalDriverId] | None = None,
        wanted: Collection[PortalDriverId] = (),
        guard: Guard | None = None,
    ) -> None:
        self.target = target
        self.dispossessed: set[PortalDriverId] = set()
        self.wanted = set(wanted)
        self.roster = roster or Roster(target)
        self.guard = guard or Guard()
        self._claimed_before = dict(claimed or {})
        self._claimed = dict(self._claimed_before)
        self._waiting = dict(waiting or {})
        self._linked = dict(linked or {})

    def hear(self, desired: DesiredDriver) -> None:
        """Know whether the Portal has this driver from here on."""
        (self.wanted.add if desired.is_wanted else self.wanted.discard)(desired.driver)

    @property
    def moved(self) -> Set[str]:
        """The identifiers whose holder is not the one at first, be it another driver or none."""
        return {identifier for identifier, _ in self._claimed.items() ^ self._claimed_before.items()}

    def holder(self, identifier: str) -> PortalDriverId | None:
        """The portal driver that has this identifier for itself."""
        return self._claimed.get(identifier)

    def is_linked_elsewhere(self, driver: PortalDriverId, key: Key) -> bool:
        """Whether the link of another portal driver has this key."""
        return self._linked.get(key_identifier(self.target, key), driver) != driver

    def conflict(self, desired: DesiredDriver, found: ObservedDriver | None) -> Conflict | None:
        """The first identifier of the desired state, or of the driver found for it, that another driver holds."""
        wanted = (*desired.identifiers, *((key_identifier(self.target, found.key),) if found else ()))
        for identifier in wanted:
            holder = self.holder(identifier)
            if holder not in (None, desired.driver):
                return Conflict(identifier=identifier, holder=holder)
        return None

    def attainable(self, desired: DesiredDriver, ours: ObservedDriver | None) -> DesiredDriver:
        """The desired state without the value that it can do without, where another portal or target driver has that.

        A deactivated target driver without a link has nothing for itself: it is made to give the value up.
        """
        identifier = desired.dispensable_identifier
        shown = self.roster.match([identifier])
        carriers = shown.candidates if shown is not None else ()
        is_shown = any(carrier != ours and not self._is_dead(carrier) for carrier in carriers)
        return (
            desired.without_dispensable_identifier()
            if is_shown or self.holder(identifier) not in (None, desired.driver)
            else desired
        )

    def _is_dead(self, shown: ObservedDriver) -> bool:
        return not shown.active and key_identifier(self.target, shown.key) not in self._linked

    def awaited(self, driver: PortalDriverId, identifier: str) -> str:
        """The identifier of this driver that the holder of the given one waits for, directly or through others.

        They form a circle then; empty if they do not.
        """
        passed: set[PortalDriverId] = set()
        while (holder := self.holder(identifier)) is not None and holder not in passed:
            if holder == driver:
                return identifier
            passed.add(holder)
            identifier = self._waiting.get(holder, "")
        return ""

    def is_free(self, link: DriverLink, identifier: str) -> bool:
        """Whether no other target driver has this identifier, and no other portal driver has claimed it."""
        shown = self.roster.match([identifier])
        others = [each for each in shown.candidates if each.key != link.key] if shown is not None else []
        if any(each.active or SPECS[self.target].deleted_keep_identifiers for each in others):
            return False
        return self.holder(identifier) in (None, link.driver)

    def record(self, before: DriverLink, after: DriverLink, events: Iterable[object]) -> frozenset[str]:
        """Apply what was decided on a link; returns the identifiers that came free by it, or went to another driver."""
        held, wanted = claims_of(before), claims_of(after)
        freed = frozenset(identifier for identifier in held - wanted if self._claimed.get(identifier) == before.driver)
        for identifier in freed:
            del self._claimed[identifier]
        for identifier in wanted:
            self._claimed.setdefault(identifier, after.driver)
        self._record_shown(before, after)
        freed |= self._record_key(before, after)
        self._record_waiting(after)
        self._record_hold(before, after)
        if any(isinstance(event, DeleteDecided) and event.key is not None for event in events):
            self.guard = self.guard.after_delete(after.driver)
        return freed

    def _record_shown(self, before: DriverLink, after: DriverLink) -> None:
        """What the target has confirmed counts more than what others only desired state: it shows who has a value."""
        if after.confirmed is before.confirmed or after.confirmed is None:
            return
        for identifier in claims(after.target, None, after.confirmed):
            if (holder := self._claimed[identifier]) != after.driver:
                self.dispossessed.add(holder)
                self._claimed[identifier] = after.driver

    def _record_key(self, before: DriverLink, after: DriverLink) -> frozenset[str]:
        if before.key is not None:
            self._linked.pop(key_identifier(self.target, before.key), None)
        if after.key is None:
            return frozenset()
        identifier = key_identifier(self.target, after.key)
        is_taken_over = self._claimed.get(identifier) != after.driver
        is_adopted = not SPECS[self.target].is_key_desired and _is_adopted(before, after)
        self._linked[identifier] = self._claimed[identifier] = after.driver
        return frozenset({identifier}) if is_taken_over or is_adopted else frozenset()

    def _record_waiting(self, link: DriverLink) -> None:
        if link.parked and link.parked.waits_for:
            self._waiting[link.driver] = link.parked.waits_for
        else:
            self._waiting.pop(link.driver, None)

    def _record_hold(self, before: DriverLink, after: DriverLink) -> None:
        if after.held and not before.held:
            self.guard = self.guard.after_hold()
        elif before.held and not after.held:
            self.guard = self.guard.after_release()


def _is_adopted(before: DriverLink, after: DriverLink) -> bool:
    """Whether a driver who was there before us is linked now, and shows what its portal driver desired states."""
    return before.key != after.key and isinstance(before.pending, LinkDecided | ReinstateDecided)


def claims_of(link: DriverLink) -> frozenset[str]:
    """Every identifier that a link has for its portal driver: what the target confirmed, and what is on its way.

    What was withdrawn may be on its way, too.
    """
    confirmed = claims(link.target, link.key, link.confirmed) if link.confirmed is not None else frozenset()
    said = link.pending or link.refused
    return confirmed.union(*map(_desired_by, (*([said] if said else []), *link.withdrawn)))


def claimable_by(link: DriverLink) -> frozenset[str]:
    """Every identifier that a link has, or will have once an outcome is recorded: what a batch must load for it."""
    return claims_of(link).union(*map(_desired_by, link.unanswered))


def brought_by(link: DriverLink, said: Decision) -> frozenset[str]:
    """The identifiers that a decision gives to the driver of a link, beyond what the target has confirmed."""
    has = claims(link.target, link.key, link.confirmed) if link.confirmed is not None else frozenset()
    brought = _desired_by(said) - has
    return frozenset(
        identifier for identifier in brought if SPECS[link.target].is_key_desired or not is_key_identifier(identifier)
    )


def _desired_by(said: Decision) -> frozenset[str]:
    if isinstance(said, DeleteDecided):
        return frozenset()
    return claims(Target(said.target), Key(said.desired_key) if said.desired_key else None, said.profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnValues:
    """The key, and the profile that the target has confirmed, with these fields in place of temporary ones."""

    key: Key
    profile: Profile
    fields: tuple[str, ...]


def own_values(desired: DesiredDriver, link: DriverLink, batch: Batch) -> OwnValues | None:
    """What the driver gets; None if it has nothing temporary, or none of its own values is free."""
    if link.key is None or link.confirmed is None or not link.is_aside:
        return None
    key = _own_key(desired, link, batch) if link.key == link.temporary_key else link.key
    fields = dict(_own_fields(desired, link, batch, link.confirmed))
    if key is None or (key == link.key and not fields):
        return None
    return OwnValues(key=key, profile={**link.confirmed, **fields}, fields=tuple(sorted(fields)))


def _own_key(desired: DesiredDriver, link: DriverLink, batch: Batch) -> Key | None:
    if desired.key and batch.is_free(link, key_identifier(link.target, desired.key)):
        return desired.key
    former = link.former_key
    return former if former and batch.is_free(link, key_identifier(link.target, former)) else None


def _own_fields(
    desired: DesiredDriver, link: DriverLink, batch: Batch, confirmed: Profile
) -> Iterator[tuple[str, str]]:
    for field in temporary_fields(link.target, confirmed, link.temporary_key):
        for text in (desired.profile.get(field), link.former.get(field)):
            identifier = identifier_in(link.target, {**confirmed, field: text}, field) if text else ""
            if text and identifier and batch.is_free(link, identifier):
                yield field, text
                break
