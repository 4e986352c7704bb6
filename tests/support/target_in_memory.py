"""The two targets as `TargetDrivers` describes them, in memory: what decisions do there, and what people do by hand."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from domain.driver_link import CreateDecided, Decision, DeleteDecided, ReinstateDecided, RenameDecided
from domain.failures import Reason, Rejected
from domain.identity import Key, Target
from domain.matching import ObservedDriver, key_identifier
from domain.ports import Answer, Done, Exists, Missing
from domain.profile import Profile, chosen, to_change, unreadable

REFUSED_NAME = "Nobody"
"""A last name that no target takes."""

FOREIGN_ZONE = "Antarctica/Troll"
"""A time zone that Motive has no name for, so that it keeps what it has."""

REFUSED = Rejected(reason=Reason.INVALID, detail="the target does not take it")


class TargetInMemory(ABC):
    """One target's drivers, deleted ones included. `own_way` is how it shows what a field holds."""

    target: Target

    def __init__(self) -> None:
        self._drivers: dict[str, ObservedDriver] = {}
        self.own_way: Callable[[str, str], str] = lambda _field, text: text

    def scan(self) -> list[ObservedDriver]:
        """The whole roster, as it can be read."""
        return sorted(map(self._as_read, self._drivers.values()), key=lambda driver: driver.key)

    def truth(self, key: Key | None) -> ObservedDriver | None:
        """The driver of this key with everything it holds, readable or not."""
        return self._drivers.get(key_identifier(self.target, key)) if key else None

    def shown(self, key: Key | None) -> ObservedDriver | None:
        """The driver of this key, as it can be read."""
        found = self.truth(key)
        return self._as_read(found) if found else None

    def put(self, driver: ObservedDriver) -> None:
        """Have this driver, as if somebody had created it by hand."""
        self._drivers[key_identifier(self.target, driver.key)] = driver

    def drop(self, key: Key) -> None:
        """Have the driver of this key no more."""
        self._drivers.pop(key_identifier(self.target, key), None)

    def perform(self, order: Decision) -> Answer:
        """Carry a decision out."""
        match order:
            case CreateDecided():
                return self._create(Key(order.desired_key) if order.desired_key else None, order.profile)
            case DeleteDecided():
                return self._delete(Key(order.key or ""))
            case RenameDecided():
                return self._rename(Key(order.key or ""), Key(order.desired_key or ""), order.profile)
            case ReinstateDecided():
                return self._reinstate(Key(order.desired_key or ""), order.profile)
        return self._update(Key(order.desired_key or ""), order.profile, order.fields)

    def read_back(self, order: Decision) -> Answer | None:
        """What became of an order whose answer was lost; None: nothing, or repeating it does no harm."""
        found = self.find(order)
        if found is None or not isinstance(order, CreateDecided | RenameDecided):
            return None
        if found.active and not to_change(self.target, order.profile, found.profile):
            return Done(seen=found)
        return Exists(seen=found) if isinstance(order, CreateDecided) else None

    def edit_by_hand(self, rank: int, changed: Mapping[str, str]) -> None:
        """Somebody changes some fields of a driver, if the target takes that."""
        found = self._by_rank(rank)
        if found and not self._refuses(found.key, changed, changed):
            self.put(replace(found, profile={**found.profile, **changed}))

    def turn_by_hand(self, rank: int) -> None:
        """Somebody deletes a driver, or brings a deleted one back."""
        found = self._by_rank(rank)
        if found:
            self.put(replace(found, active=not found.active))

    def _by_rank(self, rank: int) -> ObservedDriver | None:
        drivers = sorted(self._drivers.values(), key=lambda driver: driver.key)
        return drivers[rank % len(drivers)] if drivers else None

    def _delete(self, key: Key) -> Answer:
        found = self.truth(key)
        if found is None:
            return Missing(key=key)
        self.put(self._kept(found))
        return Done(seen=self._as_deleted(found))

    def _kept(self, found: ObservedDriver) -> ObservedDriver:
        """What is left of a driver who is deleted."""
        return replace(found, active=False)

    def _make_room(self, key: Key | None, profile: Profile, fields: Iterable[str]) -> None:  # noqa: B027 - Motive's own
        """Deleted drivers give up what this one gets, if there is something like that."""

    def _update(self, key: Key, profile: Profile, fields: Sequence[str]) -> Answer:
        found = self.truth(key)
        if found is None:
            return Missing(key=key)
        self._make_room(key, profile, fields)
        if self._refuses(key, profile, fields):
            return REFUSED
        self.put(replace(found, profile=self._written(found.profile, profile, fields)))
        return Done(seen=self._as_updated(found.key, profile, fields), is_shown=self._shows_updates(fields))

    def _shows_updates(self, fields: Sequence[str]) -> bool:  # noqa: ARG002 - Driveri asks
        return True

    def _as_read(self, driver: ObservedDriver) -> ObservedDriver:
        hidden = unreadable(self.target, driver.profile)
        shown = {name: text for name, text in driver.profile.items() if name not in hidden}
        return replace(driver, profile={name: self.own_way(name, text) for name, text in shown.items()})

    def _seen(self, key: Key) -> ObservedDriver:
        return self._as_read(self._drivers[key_identifier(self.target, key)])

    def _written(self, before: Profile, profile: Profile, fields: Iterable[str]) -> dict[str, str]:
        written = chosen(profile, fields)
        return {name: text for name, text in {**before, **written}.items() if text or name not in written}

    def _refuses(self, key: Key | None, profile: Profile, fields: Iterable[str]) -> bool:  # noqa: ARG002 - Motive asks
        return chosen(profile, fields).get("last_name") == REFUSED_NAME

    @abstractmethod
    def add_by_hand(self, key: Key, profile: Profile) -> None:
        """Somebody makes a driver, if the target takes that."""

    @abstractmethod
    def find(self, order: Decision) -> ObservedDriver | None:
        """The driver that this order has made, or is about."""

    @abstractmethod
    def _create(self, key: Key | None, profile: Profile) -> Answer: ...

    @abstractmethod
    def _rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer: ...

    @abstractmethod
    def _reinstate(self, key: Key, profile: Profile) -> Answer: ...

    @abstractmethod
    def _as_deleted(self, driver: ObservedDriver) -> ObservedDriver: ...

    @abstractmethod
    def _as_updated(self, key: Key, profile: Profile, fields: Sequence[str]) -> ObservedDriver: ...


class DriveriInMemory(TargetInMemory):
    """Driveri: its writes are answered by a message only, so what was seen is what the write makes true."""

    target = Target.DRIVERI

    def add_by_hand(self, key: Key, profile: Profile) -> None:
        """Somebody makes a driver of this DriverID, if it is free."""
        if self.truth(key) is None:
            self.put(ObservedDriver(key=key, active=True, profile=profile))

    def rename_by_hand(self, rank: int, key: Key) -> None:
        """Somebody gives a driver another DriverID, if that is free."""
        found = self._by_rank(rank)
        if found and self.truth(key) is None:
            self.drop(found.key)
            self.put(replace(found, key=key))

    def find(self, order: Decision) -> ObservedDriver | None:
        """The driver of the desired key."""
        return self.shown(Key(order.desired_key or ""))

    def _create(self, key: Key | None, profile: Profile) -> Answer:
        if found := self.shown(key):
            return Exists(seen=found)
        return self._stored(Key(key or ""), profile)

    def _rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:
        found, holder = self.truth(key), self.truth(desired_key)
        if found is None:
            has_become = holder is not None and holder.active
            return self._update(desired_key, profile, tuple(profile)) if has_become else Missing(key=key)
        if holder is not None and holder is not found:
            return Exists(seen=self._seen(desired_key))
        if self._refuses(key, profile, profile):
            return REFUSED
        self.drop(key)
        self.put(replace(found, key=desired_key, profile=self._written(found.profile, profile, profile)))
        return Done(seen=self._as_updated(desired_key, profile, tuple(profile)), is_shown=False)

    def _reinstate(self, key: Key, profile: Profile) -> Answer:
        found = self.truth(key)
        return self._stored(found.key if found else key, {**(found.profile if found else {}), **profile})

    def _stored(self, key: Key, profile: Profile) -> Answer:
        if self._refuses(key, profile, profile):
            return REFUSED
        self.put(ObservedDriver(key=key, active=True, profile=dict(profile)))
        return Done(seen=self._seen(key))

    def _shows_updates(self, fields: Sequence[str]) -> bool:
        return not fields

    def _as_deleted(self, driver: ObservedDriver) -> ObservedDriver:
        return ObservedDriver(key=driver.key, active=False, profile={})

    def _as_updated(self, key: Key, profile: Profile, fields: Sequence[str]) -> ObservedDriver:
        if not fields:
            return self._seen(key)
        hidden = unreadable(self.target, profile)
        made_true = {name: text for name, text in profile.items() if name not in hidden}
        return ObservedDriver(key=key, active=True, profile=made_true)


class MotiveInMemory(TargetInMemory):
    """Motive: gives its own keys, reads back what it wrote, and has e-mails and external ids once only.

    `once` are the fields of which it has each value once only.
    """

    target = Target.MOTIVE

    def __init__(self) -> None:
        super().__init__()
        self.once = frozenset({"email", "portal_driver_id", "driveri_driver_id"})

    def add_by_hand(self, key: Key, profile: Profile) -> None:  # noqa: ARG002 - Motive gives the key
        """Somebody makes a driver, if no other driver has what must be unique."""
        if not self._refuses(None, profile, profile):
            self.put(ObservedDriver(key=self._next_key(), active=True, profile=profile))

    def find(self, order: Decision) -> ObservedDriver | None:
        """The driver of the desired key or, without one, the one that carries our external id."""
        return self.shown(Key(order.desired_key)) if order.desired_key else self._carrier(order.profile)

    def _next_key(self) -> Key:
        return Key(str(1 + max((int(driver.key) for driver in self._drivers.values()), default=0)))

    def _carrier(self, profile: Profile) -> ObservedDriver | None:
        return self._holder("portal_driver_id", profile)

    def _holder(self, field: str, profile: Profile, besides: Key | None = None) -> ObservedDriver | None:
        text = profile.get(field, "").casefold()
        holders = (each for each in self._drivers.values() if each.profile.get(field, "").casefold() == text)
        return next((each for each in holders if text and each.key != besides), None)

    def _create(self, key: Key | None, profile: Profile) -> Answer:  # noqa: ARG002 - Motive gives the key
        holders = [self._holder(field, profile) for field in ("portal_driver_id", "email") if field in self.once]
        if holder := next(filter(None, holders), None):
            return Exists(seen=holder)
        self._make_room(None, profile, profile)
        if self._refuses(None, profile, profile):
            return REFUSED
        made = ObservedDriver(key=self._next_key(), active=True, profile=self._written({}, profile, profile))
        self.put(made)
        return Done(seen=self._seen(made.key))

    def _rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:
        raise AssertionError(f"{key} cannot be renamed to {desired_key} in Motive: {sorted(profile)}")

    def _reinstate(self, key: Key, profile: Profile) -> Answer:
        fields = sorted({*profile, "driveri_driver_id"})
        answer = self._update(key, profile, fields)
        if isinstance(answer, Done):
            self.put(replace(answer.seen, active=True))
            return Done(seen=self._seen(key))
        return answer

    def _kept(self, found: ObservedDriver) -> ObservedDriver:
        kept = {field: text for field, text in found.profile.items() if field != "driveri_driver_id"}
        return replace(found, active=False, profile=kept)

    def _make_room(self, key: Key | None, profile: Profile, fields: Iterable[str]) -> None:
        written = chosen(profile, fields)
        for field, given_up in (("driveri_driver_id", None), ("email", "former-{}@driverlink.invalid")):
            holder = self._holder(field, written, key) if field in self.once else None
            if holder and not holder.active and (given_up is None or "portal_driver_id" in holder.profile):
                rest = {name: text for name, text in holder.profile.items() if name != field}
                left = {} if given_up is None else {field: given_up.format(holder.key)}
                self.put(replace(holder, profile={**rest, **left}))

    def _refuses(self, key: Key | None, profile: Profile, fields: Iterable[str]) -> bool:
        is_taken = any(self._holder(field, profile, key) for field in self.once & set(fields))
        return is_taken or super()._refuses(key, profile, fields)

    def _written(self, before: Profile, profile: Profile, fields: Iterable[str]) -> dict[str, str]:
        after = super()._written(before, profile, fields)
        if "driveri_driver_id" in fields and "driveri_driver_id" not in profile:
            after.pop("driveri_driver_id", None)
        if after.get("time_zone") == FOREIGN_ZONE:
            after["time_zone"] = before.get("time_zone", "America/Denver")
        return after

    def _as_deleted(self, driver: ObservedDriver) -> ObservedDriver:
        return self._seen(driver.key)

    def _as_updated(self, key: Key, profile: Profile, fields: Sequence[str]) -> ObservedDriver:  # noqa: ARG002 - read back
        return self._seen(key)


IN_MEMORY: Mapping[Target, type[TargetInMemory]] = {each.target: each for each in (DriveriInMemory, MotiveInMemory)}
"""The stand-in of each target."""
