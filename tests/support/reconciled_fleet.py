"""A small fleet in sync on both targets; then the Portal and people by hand move on, and everything is reconciled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from domain.driver_link import DriftFound, LinkEvent
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.profile import tidy
from domain.reconciliation import ReconciliationCompleted
from domain.store import Event
from services.accounts.handlers import AccountChange
from tests.support.section_five import Standing
from tests.support.stepped_services import ACME, SteppedServices, both_targets, logged, person

PAYROLL = "external_id_of_payroll"
"""What another system keeps in a Motive user, and we never touch."""

RIVAL = "p9"
"""A driver with the first one's DriverID in the Portal."""

_BY_HAND = 900
"""The keys of the users that people create in Motive begin here."""


class Moved(StrEnum):
    """What becomes of a driver in the Portal, while nothing is synchronised."""

    STAYS = "stays"
    IS_RESTATED = "is restated"
    GETS_ANOTHER_ID = "gets another DriverID"
    LOSES_IDS = "loses both ids"
    LEAVES = "leaves"


class Hand(StrEnum):
    """What somebody does to a driver in a target meanwhile."""

    NOTHING = "nothing"
    EDITS = "edits the name"
    UNMARKS = "edits what identifies the driver"
    DELETES = "deletes"
    REMOVES = "removes altogether"
    MOVES = "creates again under another key"
    ADDS = "adds who is desired"
    ADDS_DELETED = "adds who is desired, and deletes them"
    ADDS_TWICE = "adds two who could be who is desired"


_BY_MOVE: Mapping[Moved, Mapping[str, str]] = {
    Moved.STAYS: {},
    Moved.IS_RESTATED: {"last_name": "Restated"},
    Moved.GETS_ANOTHER_ID: {"driveri_driver_id": "E{number}"},
    Moved.LOSES_IDS: {"driveri_driver_id": "", "ref_id": ""},
}
_ADDING: Mapping[Hand, Sequence[bool]] = {
    Hand.ADDS: (True,),
    Hand.ADDS_DELETED: (False,),
    Hand.ADDS_TWICE: (True, True),
}
_EDITED: Mapping[Hand, Mapping[str, str]] = {
    Hand.EDITS: {"last_name": "By Hand"},
    Hand.UNMARKS: {"email": "elsewhere{number}@fleet.test", "portal_driver_id": ""},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What happens to one driver. Who is not known before is stated first while nothing is synchronised."""

    is_known: bool
    moved: Moved
    by_hand: Mapping[Target, Hand]


class ReconciledFleet:
    """The services and the twins of both targets, when the Portal and people have moved on.

    Before the reconciliation.
    """

    def __init__(self, folder: Path, fates: Sequence[Fate], *, has_rival: bool) -> None:
        self.services = SteppedServices(folder, both_targets())
        self._fates = dict(enumerate(fates, 1))
        self._stated = {f"p{number}": person(number) for number, fate in self._fates.items() if fate.is_known}
        self._states: dict[str, dict[str, str] | None] = {}
        self.services.add()
        self._let_be_in_step()
        self.services.turn_off()
        self._move_on()
        if has_rival and fates[0].is_known and fates[0].moved in (Moved.STAYS, Moved.IS_RESTATED):
            self._state(RIVAL, person(9, driveri_driver_id="D1"))
        self.standings = {target: [*self._standings(target)] for target in Target}
        self.held = {target: self.holds(target) for target in Target}
        self._decided = len(self.services.decided())

    def reconciliation(self) -> None:
        """Jane turns Sync Drivers on: the targets are scanned, and everything is decided, but nothing is called yet."""
        self.services.turn_on()
        self.services.decide()
        for target in Target:
            self.services.follow(target)
            self.services.scan(target)
        self.services.decide()

    def reconciliation_again(self) -> list[Event]:
        """Both targets are reconciled on demand; whatever the decider and the projectors store because of it."""
        stores = [self.services.decider_store, *self.services.projector_stores.values()]
        before = [store.log.end() for store in stores]
        for target in Target:
            self.services.ask(_reconciling(target))
        self.services.run()
        return [
            record.event
            for store, end in zip(stores, before, strict=True)
            for record in store.log.read(end, 10_000)
            if record.event is not None
        ]

    def holds(self, target: Target) -> list[ObservedDriver]:
        """Every driver that a target holds now, with everything it holds of them."""
        drivers = self.services.twins[ACME, target].drivers
        return [found for each in drivers.scan() if (found := drivers.truth(each.key))]

    def linked(self, target: Target) -> set[str]:
        """The keys that are linked now."""
        links = (self.services.link(each.driver, target) for each in self.standings[target])
        return {str(link.key) for link in links if link.key}

    def decided(self, target: Target) -> dict[str, tuple[str, ...]]:
        """The names of the facts that were decided since, by driver."""
        found: dict[str, tuple[str, ...]] = {standing.driver: () for standing in self.standings[target]}
        for event in self._decisions(target):
            found[event.driver] += (type(event).__name__,)
        return found

    def drift(self, target: Target) -> dict[str, dict[str, str | None]]:
        """What was recorded as overridden, by driver and field."""
        drifts = [event for event in self._decisions(target) if isinstance(event, DriftFound)]
        return {each.driver: {field: each.profile.get(field) for field in each.fields} for each in drifts}

    def reported(self, target: Target) -> ReconciliationCompleted:
        """The last reconciliation of this target."""
        reconciliations = [
            event for event in logged(self.services.decider_store) if isinstance(event, ReconciliationCompleted)
        ]
        return [event for event in reconciliations if event.target == target][-1]

    def _let_be_in_step(self) -> None:
        for driver, profile in self._stated.items():
            self.services.state(driver, profile)
        self.services.run()
        for user in self.holds(Target.MOTIVE):
            self._put(Target.MOTIVE, replace(user, profile={**user.profile, PAYROLL: "77"}))
        for target in Target:
            self._put(target, _by_hand(target, 50, _key_by_hand(target, 50)))

    def _move_on(self) -> None:
        for number, fate in self._fates.items():
            self._move(number, fate)
            for target, hand in fate.by_hand.items():
                self._act(target, hand, number)

    def _move(self, number: int, fate: Fate) -> None:
        driver = f"p{number}"
        if fate.moved is not Moved.LEAVES:
            changed = {field: text.format(number=number) for field, text in _BY_MOVE[fate.moved].items()}
            self._state(driver, tidy({**person(number), **changed}))
            return
        self._states[driver] = None
        if fate.is_known:
            self.services.delete(driver)

    def _state(self, driver: str, profile: dict[str, str]) -> None:
        self._states[driver] = profile
        self.services.state(driver, profile)

    def _act(self, target: Target, hand: Hand, number: int) -> None:
        if hand in _ADDING:
            self._add(target, number, _ADDING[hand])
        elif held := self._held(target, number):
            self._change(target, hand, number, held)

    def _change(self, target: Target, hand: Hand, number: int, held: ObservedDriver) -> None:
        drivers = self.services.twins[ACME, target].drivers
        if hand in (Hand.REMOVES, Hand.MOVES):
            drivers.drop(held.key)
        if hand is Hand.MOVES:
            self._put(target, _by_hand(target, number, _key_by_hand(target, number)))
        if hand is Hand.DELETES:
            self._put(target, replace(held, active=False))
        if hand in _EDITED:
            changed = {field: text.format(number=number) for field, text in _EDITED[hand].items()}
            self._put(target, replace(held, profile=tidy({**held.profile, **changed})))

    def _add(self, target: Target, number: int, are_active: Sequence[bool]) -> None:
        """Add who is desired, as far as there is room for them: in Driveri an id is there once only."""
        desired = (self._states[f"p{number}"] or person(number)).get("driveri_driver_id", "H")
        for place, is_active in enumerate(are_active):
            key = Key(desired) if target is Target.DRIVERI else _key_by_hand(target, number + place * 20)
            if self.services.twins[ACME, target].drivers.truth(key) is None:
                self._put(target, replace(_by_hand(target, number, key), active=is_active))

    def _put(self, target: Target, driver: ObservedDriver) -> None:
        self.services.twins[ACME, target].drivers.put(driver)

    def _held(self, target: Target, number: int) -> ObservedDriver | None:
        key = self.services.link(f"p{number}", target).key
        return self.services.twins[ACME, target].drivers.truth(key)

    def _standings(self, target: Target) -> Iterator[Standing]:
        for driver, states in self._states.items():
            yield Standing(
                target=target,
                driver=driver,
                states=states,
                stated=self._stated.get(driver, {}),
                link=self.services.link(driver, target).key or "",
                is_rival=driver == RIVAL,
            )

    def _decisions(self, target: Target) -> list[LinkEvent]:
        return [event for event in self.services.decided()[self._decided :] if event.target == target]


def _by_hand(target: Target, number: int, key: Key) -> ObservedDriver:
    """Somebody who could be meant: in Motive by the RefID alone."""
    profile = {"first_name": "By", "last_name": "Hand", "email": f"{target}{key}@elsewhere.test"}
    identifiers = {"ref_id": f"R{number}"} if target is Target.MOTIVE else {}
    return ObservedDriver(key=key, active=True, profile={**profile, **identifiers})


def _key_by_hand(target: Target, number: int) -> Key:
    return Key(f"H{number}" if target is Target.DRIVERI else str(_BY_HAND + number))


def _reconciling(target: Target) -> AccountChange:
    return lambda jane, known: jane.reconciliation(known, target)
