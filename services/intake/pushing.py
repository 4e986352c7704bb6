"""What the Portal pushes: changes that are stored once, however often they come, and pushes that were refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.identity import AccountId, PushSender
from domain.portal import PushedChange
from domain.store import Store, Unit
from services.intake.handlers import Intake, ReKeyingHeld, ReKeyings
from services.intake.read_models import PushRow, RefusedPushRow
from services.runtime.context import Clock
from services.runtime.repeats import forgetting, hour_of, store_once

KEPT: Final = timedelta(days=4)
"""How long it is known that a push was accepted; a sender that follows the specification gives up after three days."""

_SOURCE: Final = "push"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Changes that came together, under the id that their sender gave them; `digest` stands for the body."""

    id: str
    digest: str
    changes: Sequence[PushedChange]


class PushIdReused(Exception):
    """Another body was accepted under this id."""


Refused = tuple[str, PushSender, str]
"""A push that was refused: the account, empty if there is none, who sent it, and why."""


class Pushes:
    """What intake keeps of pushes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._intake = Intake(store, clock)
        self._rekeyings = ReKeyings(store, clock)

    def accept(self, account: AccountId, push: Push) -> Mapping[str, int]:
        """Store these changes, all or none; how many of each kind. The same push again is answered the same.

        Raises `PushIdReused`, `ChangesRefused`, and `ReKeyingHeld` when it would re-key more drivers than allowed
        without an approval, for which they wait from then on.
        """
        name = f"pushes/{account}"
        return store_once(
            self._store, name, lambda: self._answered(account, push), lambda _: self._decided(account, push)
        )

    def _answered(self, account: AccountId, push: Push) -> Mapping[str, int] | None:
        found = self._store.select(PushRow, {"account": account, "push": push.id})
        if found and found[0].digest != push.digest:
            raise PushIdReused(f"another body was accepted under webhook-id {push.id}: give each its own id")
        return found[0].changes if found else None

    def _decided(self, account: AccountId, push: Push) -> tuple[Unit, Mapping[str, int]]:
        taken, unit = self._intake.pushing(account, push.changes, source=_SOURCE)
        try:
            self._rekeyings.pass_through(account, taken.differences, unit)
        except ReKeyingHeld:
            self._rekeyings.hold(account, taken.differences)
            raise ReKeyingHeld(
                f"the changes would re-key more drivers than may be in a day, so none is stored: look at them by "
                f"`driverlink rekeyings list {account}`, approve them, and push again"
            ) from None
        row = PushRow(
            account=account,
            push=push.id,
            hour=hour_of(self._clock()),
            digest=push.digest,
            changes=dict(taken.changes),
        )
        unit.keep([row])
        return unit, row.changes

    def count_refused(self, refused: Mapping[Refused, int]) -> None:
        """Count pushes that were refused."""
        unit, at = Unit(), self._clock().isoformat()
        for (account, sender, reason), times in refused.items():
            place = {"account": account, "sender": sender, "reason": reason}
            before = sum(row.refused for row in self._store.select(RefusedPushRow, place))
            unit.keep([RefusedPushRow(**place, refused=before + times, at=at)])
        self._store.commit(unit)

    def refused(self, account: AccountId) -> list[RefusedPushRow]:
        """How often pushes for this account were refused, and why."""
        return self._store.select(RefusedPushRow, {"account": account}, order_by="reason")

    def forget_old(self) -> int:
        """Remove what was accepted long ago, an hour at a time, so that no transaction is long; how many hours."""
        last, forgotten = hour_of(self._clock() - KEPT), 0
        while (unit := forgetting(self._store, PushRow, last)).removed:
            self._store.commit(unit)
            forgotten += 1
        return forgotten
