"""The guard against the re-keying of many drivers at once, per account: a wrong column renames a whole fleet.

A driver is re-keyed when the identifiers by which targets know it would be other ones, or blank. A list in which most
drivers are new, while known ones are not in it, may mean the same people under other ids.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from domain.identity import AccountId, PortalDriverId
from domain.profile import Profile

WINDOW = timedelta(hours=24)
APPROVAL_LASTS = timedelta(hours=24)
_FEWEST = 3
_PERCENT = 5
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
    """Whether an identifier that was known is another one, or blank; to get a first one is no re-keying."""
    return any(after.get(field) != text for field, text in before.items())


def replaced(*, new: int, known: int, lacking: int) -> int:
    """How many known drivers a list may show under other ids: it shows so many new and known ones, and lacks some."""
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

    def holds(self, many: int) -> bool:
        """Whether so many more have to wait for a person."""
        return many > 0 and self.counted + many > self.limit


def digest(account: AccountId, drivers: Iterable[tuple[PortalDriverId, Identifiers]]) -> str:
    """What names exactly this set: each driver, and the identifiers that it would have."""
    lines = sorted("\x1f".join((driver, *map("=".join, sorted(after.items())))) for driver, after in drivers)
    return sha256("\n".join((account, *lines)).encode()).hexdigest()[:16]
