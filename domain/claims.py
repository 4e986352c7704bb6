"""What must hold across the links of one account on one target, as one batch sees it and changes it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Protocol

from domain.driver_link import (
    DriverLink,
    LinkDecided,
    LinkEvent,
    ReinstateDecided,
    replay,
)
from domain.guard import Guard
from domain.identity import Key, PortalDriverId, Target
from domain.matching import (
    DesiredDriver,
    ObservedDriver,
    Roster,
    claims,
    identifier_in,
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


class Claimants(Protocol):
    """The portal driver that has claimed an identifier, for each identifier of one account on one target."""

    def get(self, identifier: str, /) -> PortalDriverId | None:
        """The driver that has it; None where there is none."""
        ...

    def __setitem__(self, identifier: str, driver: PortalDriverId, /) -> None: ...

    def __delitem__(self, identifier: str, /) -> None: ...


def move_claims(claimants: Claimants, before: DriverLink, after: DriverLink) -> tuple[set[str], set[PortalDriverId]]:
    """Bring claims to what they are after a change of a link.

    An identifier is claimed by the first driver that desires it, a key always by the driver whose link has it. What
    the target has confirmed counts more than what others only desire: it shows who has a value.
    Returns the identifiers that came free, or went to this driver with its key, and the drivers that lost one to what
    is confirmed.
    """
    driver, losers = after.driver, set[PortalDriverId]()
    moved = {identifier for identifier in before.claims - after.claims if claimants.get(identifier) == driver}
    for identifier in moved:
        del claimants[identifier]
    is_confirmed = after.confirmed is not before.confirmed and after.confirmed is not None
    proven = claims(after.target, None, after.confirmed or {}) if is_confirmed else frozenset()
    for identifier in after.claims:
        holder = claimants.get(identifier)
        if holder is None or (holder != driver and identifier in proven):
            claimants[identifier] = driver
            losers.update({holder} if holder else ())
    if after.key is not None:
        identifier = key_identifier(after.target, after.key)
        if claimants.get(identifier) != driver:
            claimants[identifier] = driver
            moved.add(identifier)
    return moved, losers


class Batch:
    """The links of one account on one target that are decided together, with everything that they are decided by.

    That is who has claimed which identifier, who waits for one, what the roster shows, and how far the guard is.
    `linked` maps the identifier of each linked key to its portal driver. `wanted` are the portal drivers that the
    Portal has now, among those whose external id a target driver carries.

    Of what was decided it keeps the `events`, the links as they are afterwards, the identifiers that were `freed` or
    went to another driver, and the `dispossessed`: drivers that desired an identifier first, and lost it to the one
    that the target confirmed it for.
    """

    def __init__(
        self,
        target: Target,
        *,
        links: Mapping[PortalDriverId, DriverLink] | None = None,
        roster: Roster | None = None,
        claimed: Mapping[str, PortalDriverId] | None = None,
        waiting: Mapping[PortalDriverId, str] | None = None,
        linked: Mapping[str, PortalDriverId] | None = None,
        wanted: Collection[PortalDriverId] = (),
        guard: Guard | None = None,
    ) -> None:
        self.target = target
        self.links = dict(links or {})
        self.events: list[LinkEvent] = []
        self.freed: set[str] = set()
        self.dispossessed: set[PortalDriverId] = set()
        self.wanted = set(wanted)
        self.roster = roster or Roster(target)
        self.guard = guard or Guard()
        self._claimed_before = dict(claimed or {})
        self._claimed = dict(self._claimed_before)
        self._waiting = dict(waiting or {})
        self._linked = dict(linked or {})

    def decide(self, desired: DesiredDriver, decide: "Decide") -> None:
        """Decide the link of this driver, which changes what the links after it are decided by."""
        (self.wanted.add if desired.is_wanted else self.wanted.discard)(desired.driver)
        before = self.links[desired.driver]
        if events := decide(before, self):
            after = replay(before, events)
            self.freed |= self.record(before, after, events)
            self.links[desired.driver] = after
            self.events.extend(events)

    @property
    def moved(self) -> Set[str]:
        """The identifiers whose holder is not the one at first, be it another driver or none."""
        before, now = self._claimed_before, self._claimed
        given = {identifier for identifier, holder in now.items() if before.get(identifier) != holder}
        return given | (before.keys() - now.keys())

    def holder(self, identifier: str) -> PortalDriverId | None:
        """The portal driver that has this identifier for itself."""
        return self._claimed.get(identifier)

    def is_linked_elsewhere(self, driver: PortalDriverId, key: Key) -> bool:
        """Whether the link of another portal driver has this key."""
        return self._linked.get(key_identifier(self.target, key), driver) != driver

    def conflict(self, desired: DesiredDriver, found: ObservedDriver | None) -> Conflict | None:
        """The first identifier of the desired state, or of the driver found for it, that another driver holds."""
        ours = (None, desired.driver)
        wanted = (*desired.identifiers, *((key_identifier(self.target, found.key),) if found else ()))
        for identifier in wanted:
            if (holder := self._claimed.get(identifier)) not in ours:
                return Conflict(identifier=identifier, holder=holder)
        return None

    def attainable(self, desired: DesiredDriver, ours: ObservedDriver | None) -> DesiredDriver:
        """The desired state without the value that it can do without, where another portal or target driver has that.

        A deactivated target driver without a link has nothing for itself: it is made to give the value up.
        """
        identifier = desired.dispensable_identifier
        if not identifier:
            return desired
        carriers = self.roster.having(identifier)
        is_shown = any(
            carrier is not ours
            and carrier != ours
            and (carrier.active or key_identifier(self.target, carrier.key) in self._linked)
            for carrier in carriers
        )
        is_held = self.holder(identifier) not in (None, desired.driver)
        return desired.without_dispensable_identifier() if is_shown or is_held else desired

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
        others = [each for each in self.roster.having(identifier) if each.key != link.key]
        if any(each.active or SPECS[self.target].deleted_keep_identifiers for each in others):
            return False
        return self.holder(identifier) in (None, link.driver)

    def record(self, before: DriverLink, after: DriverLink, events: Iterable[LinkEvent]) -> set[str]:
        """Apply what was decided on a link; returns the identifiers that came free by it, or went to another driver."""
        freed, losers = move_claims(self._claimed, before, after)
        self.dispossessed |= losers
        freed |= self._record_key(before, after)
        self._waiting.pop(after.driver, None)
        if after.parked and after.parked.waits_for:
            self._waiting[after.driver] = after.parked.waits_for
        self.guard = self.guard.after(before, after, events)
        return freed

    def _record_key(self, before: DriverLink, after: DriverLink) -> frozenset[str]:
        """Note which link has a key; returns its identifier where the driver was there before us.

        Links of other portal drivers may wait for it that matched it too.
        """
        if before.key is not None:
            self._linked.pop(key_identifier(self.target, before.key), None)
        if after.key is None:
            return frozenset()
        identifier = key_identifier(self.target, after.key)
        self._linked[identifier] = after.driver
        is_adopted = (
            before.key != after.key
            and isinstance(before.pending, LinkDecided | ReinstateDecided)
            and not SPECS[self.target].is_key_desired
        )
        return frozenset({identifier}) if is_adopted else frozenset()


Decide = Callable[[DriverLink, Batch], tuple[LinkEvent, ...]]
"""How one link is decided: by what the Portal wants, what a person said, or what the target answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnValues:
    """The key, and the profile that the target has confirmed, with these fields in place of temporary ones."""

    key: Key
    profile: Profile
    fields: tuple[str, ...]


def own_values(desired: DesiredDriver, link: DriverLink, batch: Batch) -> OwnValues | None:
    """What a driver gets in place of a temporary key or value: the desired one if it is free, else the former one.

    None if it has nothing temporary, or none of its own values is free.
    """
    if link.key is None or link.confirmed is None or not link.is_aside:
        return None
    key: Key | None = link.key
    if key == link.temporary_key:
        wanted = (each for each in (desired.key, link.former_key) if each)
        key = next((each for each in wanted if batch.is_free(link, key_identifier(link.target, each))), None)
    fields: dict[str, str] = {}
    for field in temporary_fields(link.target, link.confirmed, link.temporary_key):
        for text in filter(None, (desired.profile.get(field), link.former.get(field))):
            identifier = identifier_in(link.target, {**link.confirmed, field: text}, field)
            if identifier and field not in fields and batch.is_free(link, identifier):
                fields[field] = text
    if key is None or (key == link.key and not fields):
        return None
    return OwnValues(key=key, profile={**link.confirmed, **fields}, fields=tuple(sorted(fields)))
