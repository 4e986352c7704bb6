"""The guard against mass deletion, per account and target, always on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from domain.identity import PortalDriverId, Target

WINDOW = timedelta(hours=24)
APPROVAL_LASTS = timedelta(hours=24)
_FEWEST = 3
_PERCENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """How many deletes may still go out.

    `staying` counts the live links without a delete on its way; `deleted` are the drivers with a delete decided in
    the sliding window; `held` counts the deletes that wait for a person.
    """

    staying: int = 0
    deleted: frozenset[PortalDriverId] = frozenset()
    held: int = 0

    @property
    def limit(self) -> int:
        """The most deletes in a window: a share of the links as they were before its deletes."""
        return max(_FEWEST, (self.staying + len(self.deleted)) * _PERCENT // 100)

    def lets_through(self, driver: PortalDriverId) -> bool:
        """Whether this delete may go out; one that was let through in this window already may."""
        return driver in self.deleted or (not self.held and len(self.deleted) < self.limit)

    def after_delete(self, driver: PortalDriverId) -> "Guard":
        """The guard once this delete is decided."""
        if driver in self.deleted:
            return self
        return replace(self, staying=self.staying - 1, deleted=self.deleted | {driver})

    def after_hold(self) -> "Guard":
        """The guard once one more delete is held."""
        return replace(self, held=self.held + 1)

    def after_release(self) -> "Guard":
        """The guard once one delete fewer is held: a person decided, or the hold was recalled."""
        return replace(self, held=max(self.held - 1, 0))

    def figures(self) -> dict[str, int]:
        """The numbers that a decision is recorded with."""
        return {"limit": self.limit, "deleted": len(self.deleted), "held": self.held}


def digest(target: Target, holds: Iterable[tuple[PortalDriverId, int]]) -> str:
    """What names exactly this set of held deletes on this target: driver and version of the hold."""
    text = f"{target}\n" + "\n".join(f"{driver}\x1f{version}" for driver, version in sorted(holds))
    return sha256(text.encode()).hexdigest()[:16]


def has_expired(approved_at: datetime, now: datetime) -> bool:
    """Whether an approval is too old to be acted on."""
    return now - approved_at > APPROVAL_LASTS
