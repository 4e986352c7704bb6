"""What a projector does with an erased driver: it forgets its delivery, and what was seen of its target drivers.

From then on these are reported without a profile, however the target shows them, so that no scan brings them back.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from uuid import uuid4

from domain.driver_link import LinkErased
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream
from domain.profile import DataSubject
from domain.store import Store, Unit
from services.projector.read_models import DeliveryRow, Hint, LookUp
from services.projector.scans import Freshness, RosterReports
from services.runtime.context import Assignment, Clock
from services.runtime.forgetting import Forgetting, Forgotten, forget_records


class ErasedDrivers:
    """Forgets drivers that were erased, and destroys the keys of their target drivers after that."""

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        assignment: Assignment,
        freshness: Freshness,
        *,
        destroy: Callable[[Collection[DataSubject]], object],
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._freshness = freshness
        self._destroy_subjects = destroy
        self._reports = RosterReports(store, target, clock)
        self.chore = Forgetting(store, assignment, destroy=self._destroy, after=self._read_again)

    def forget(self, unit: Unit, facts: Iterable[LinkErased]) -> None:
        """Put into the unit what is left of these drivers. Raises `StoreFailed`."""
        seen: dict[AccountId, dict[Key, str]] = defaultdict(dict)
        for fact in facts:
            if fact.target != self._target:
                continue
            account, driver = AccountId(fact.account), PortalDriverId(fact.driver)
            for key in fact.keys:
                seen[account][Key(key)] = "" if key in fact.elsewhere else fact.driver
            self._forget_delivery(unit, account, driver)
            forget_records(self._store, unit, {link_stream(account, self._target, driver)})
            self.chore.look_again()
            unit.keep([Forgotten(account=account, driver=driver, keys=fact.keys, elsewhere=fact.elsewhere)])
        for account, drivers in seen.items():
            self._reports.add_erased(unit, account, drivers)
        self._freshness.note(unit.events)

    def _forget_delivery(self, unit: Unit, account: AccountId, driver: PortalDriverId) -> None:
        place = {"account": account, "driver": driver}
        row = unit.rows.get((DeliveryRow, (account, driver)))
        known = [row] if isinstance(row, DeliveryRow) else self._store.select(DeliveryRow, place)
        unit.keep(replace(each, body={}, due="", tries=0, started=0, started_body={}) for each in known)
        unit.remove(LookUp, place)

    def _destroy(self, row: Forgotten) -> None:
        self._destroy_subjects([DataSubject(account=row.account, target=self._target, driver=key) for key in row.keys])

    def _read_again(self, unit: Unit, row: Forgotten) -> None:
        """Let those be read that are another driver's now: what is seen of them has a new key from here on."""
        at = self._clock().isoformat()
        unit.keep(Hint(account=row.account, key=key, mark=f"{at}/{uuid4().hex}") for key in row.elsewhere)
