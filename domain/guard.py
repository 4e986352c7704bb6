"""Two guards, always on: against mass deletion, per account and target, and against re-keying many drivers at once.

A driver is re-keyed when the identifiers by which targets know it change, or become blank: a wrong column in a list
renames a whole fleet. A list in which most drivers are new, while known ones are missing, may show the same people
under other ids.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from domain.driver_link import DeleteDecided, DriverLink, LinkEvent
from domain.identity import AccountId, PortalDriverId, Target
from domain.profile import Profile

WINDOW = timedelta(hours=24)
APPROVAL_LASTS = timedelta(hours=24)
_FEWEST = 3
_PERCENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteLimit:
    """How many deletes go out in a window: a share of the live links, but always this number of them."""

    fewest: int = _FEWEST
    percent: int = _PERCENT


DELETE_LIMIT = DeleteLimit()
"""The limit that is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """How many deletes may still go out.

    `staying` counts the live links without a delete on its way; `deleted` are the drivers with a delete decided in
    the sliding window; `held` counts the deletes that wait for a person.
    """

    staying: int = 0
    deleted: frozenset[PortalDriverId] = frozenset()
    held: int = 0
    rule: DeleteLimit = DELETE_LIMIT

    @property
    def limit(self) -> int:
        """The most deletes in a window: a share of the links as they were before its deletes."""
        return max(self.rule.fewest, (self.staying + len(self.deleted)) * self.rule.percent // 100)

    def lets_through(self, driver: PortalDriverId) -> bool:
        """Whether this delete may go out; one that was let through in this window already may."""
        return driver in self.deleted or (not self.held and len(self.deleted) < self.limit)

    def after(self, before: DriverLink, now: DriverLink, events: Iterable[LinkEvent]) -> "Guard":
        """The guard once these facts are decided for a link, which stood so before, and stands so now."""
        is_deleted = any(isinstance(event, DeleteDecided) and event.key is not None for event in events)
        if (before.is_staying, before.held, False) == (now.is_staying, now.held, is_deleted):
            return self
        return replace(
            self,
            staying=self.staying + now.is_staying - before.is_staying,
            deleted=self.deleted | {now.driver} if is_deleted else self.deleted,
            held=max(self.held + bool(now.held) - bool(before.held), 0),
        )

    def figures(self) -> dict[str, int]:
        """The numbers that a decision is recorded with."""
        return {"limit": self.limit, "deleted": len(self.deleted), "held": self.held}


def digest_of_holds(target: Target, holds: Iterable[tuple[PortalDriverId, int]]) -> str:
    """What names exactly this set of held deletes on this target: driver and version of the hold."""
    text = f"{target}\n" + "\n".join(f"{driver}\x1f{version}" for driver, version in sorted(holds))
    return sha256(text.encode()).hexdigest()[:16]


def has_expired(approved_at: datetime, now: datetime) -> bool:
    """Whether an approval is too old to be acted on."""
    return now - approved_at > APPROVAL_LASTS


_FIELDS = ("driveri_driver_id", "ref_id")
IDENTIFYING = frozenset(_FIELDS)
"""The fields of a profile that identify a driver at targets."""

Identifiers = Mapping[str, str]
"""By which identifiers targets know a driver, as field to text; `key` is the one that Driveri is asked for."""


def identifiers(profile: Profile) -> dict[str, str]:
    """The identifiers that a profile gives; blank ones are left out."""
    found = {field: profile[field] for field in _FIELDS if profile.get(field)}
    key = found.get("driveri_driver_id") or found.get("ref_id")
    return {"key": key, **found} if key else found


def is_rekeyed(before: Identifiers, after: Identifiers) -> bool:
    """Whether an identifier that was known is another one, or blank; to get a first one is not re-keying."""
    return any(after.get(field) != text for field, text in before.items())


def replaced(*, new: int, known: int, lacking: int) -> int:
    """How many known drivers a list may show under other ids, given how many it shows and how many it lacks."""
    return min(new, lacking) if new > known else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReKeyingGuard:
    """How many drivers may be re-keyed: `known` ones are there, `counted` were re-keyed in the sliding window.

    What a person has approved does not count.
    """

    known: int
    counted: int

    @property
    def limit(self) -> int:
        """The most in a window."""
        return max(_FEWEST, self.known * _PERCENT // 100)

    def holds(self, more: int) -> bool:
        """Whether this number of further drivers has to wait for a person."""
        return more > 0 and self.counted + more > self.limit


def digest_of_rekeying(account: AccountId, drivers: Iterable[tuple[PortalDriverId, Identifiers]]) -> str:
    """What names exactly this set: each driver, and the identifiers that it would have."""
    lines = sorted("\x1f".join((driver, *map("=".join, sorted(after.items())))) for driver, after in drivers)
    return sha256("\n".join((account, *lines)).encode()).hexdigest()[:16]
