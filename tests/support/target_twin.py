"""A target as the port `TargetDrivers` describes it, in memory, with faults to switch on."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from math import inf
from typing import Literal

from domain.failures import CallFailure, TargetFailed
from domain.identity import Key, Target
from domain.matching import ObservedDriver, UnreadableRecord, UnreadableRecords
from domain.ports import Answer
from domain.profile import SPECS, Profile
from tests.support.target_in_memory import IN_MEMORY, REFUSED, MotiveInMemory, TargetInMemory

Moment = Literal["before", "after"]
"""When something happens to a call: before it takes effect, or after that and before its answer arrives."""

_NAMES = ("first_name", "last_name")


class TargetTwin:
    """The drivers of one account on one target.

    `called` names every call and its driver, in order; `effects` those that changed something. `touched` is
    told of every call before it takes effect and after; what it raises, the caller meets. `breaks_off` is after how
    many pages a scan fails, and how; `places` is the room that the target says it has, `scans` how often its
    roster was read, `unreadable` which records of it cannot be read, `hidden` the drivers that its list does not
    show though they are there, and `blind` why no driver can be looked up; `down` is why no call at all
    is answered, and whether it takes effect all the same; `failing` is how the writes of these names fail each time.
    """

    def __init__(self, target: Target, *, page: int = 100) -> None:
        self.drivers: TargetInMemory = IN_MEMORY[target]()
        self.called: list[str] = []
        self.effects: list[str] = []
        self.touched: Callable[[str, Moment], None] = lambda _call, _moment: None
        self.breaks_off: tuple[int, CallFailure] | None = None
        self.places = 1000
        self.blind: CallFailure | None = None
        self.down: tuple[Moment, CallFailure] | None = None
        self.failing: dict[str, CallFailure] = {}
        self.scans = 0
        self.hidden: frozenset[Key] = frozenset()
        self.unreadable: tuple[UnreadableRecord, ...] = ()
        self._page = page
        self._faults: deque[tuple[Moment, CallFailure]] = deque()
        self._write_faults: deque[tuple[Moment, CallFailure]] = deque()

    def fail_next(self, failure: CallFailure, moment: Moment = "before") -> None:
        """One more of the next calls that write, or look one driver up, fails so."""
        self._faults.append((moment, failure))

    def fail_writes(self, failure: CallFailure, times: int, moment: Moment = "before") -> None:
        """Several of the next calls that write fail so; look-ups work."""
        self._write_faults.extend([(moment, failure)] * times)

    def mend(self) -> None:
        """Nothing fails any more."""
        self.down = self.blind = self.breaks_off = None
        self.failing.clear()
        self._faults.clear()
        self._write_faults.clear()

    async def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:
        """The whole roster in pages."""
        self.scans += 1
        if unreadable is not None:
            unreadable.add(self.unreadable)
        self._fail_if_down()
        shown = [driver for driver in self.drivers.scan() if driver.key not in self.hidden]
        for number, start in enumerate(range(0, len(shown) or 1, self._page)):
            self.touched("scan", "before")
            if self.breaks_off and number >= self.breaks_off[0]:
                raise TargetFailed(self.breaks_off[1])
            yield shown[start : start + self._page]

    async def find(self, key: Key | None, profile: Profile) -> ObservedDriver | None:
        """The driver of this key, or the one that carries our external id."""
        self.touched("find", "before")
        self.called.append(_named("find", key, profile))
        self._fail_if_down()
        if self._faults:
            raise TargetFailed(self._faults.popleft()[1])
        if self.blind:
            raise TargetFailed(self.blind)
        if key is None and isinstance(self.drivers, MotiveInMemory):
            return self.drivers._carrier(profile)
        return self.drivers.shown(key)

    async def gone(self, keys: Sequence[Key]) -> Sequence[Key]:
        """All of them where the Portal decides their keys, as in Driveri; elsewhere each is looked up."""
        if SPECS[self.drivers.target].is_key_desired:
            return keys
        return [key for key in keys if await self.find(key, {}) is None]

    async def create(self, key: Key | None, profile: Profile) -> Answer:
        """Make a new driver; one without a name is refused."""
        is_named = all(profile.get(name) for name in _NAMES)
        return self._call(
            _named("create", key, profile), lambda: self.drivers._create(key, profile) if is_named else REFUSED
        )

    async def update(self, key: Key, profile: Profile, fields: Sequence[str]) -> Answer:
        """Bring the named fields of this driver to the profile."""
        return self._call(_named("update", key), lambda: self.drivers._update(key, profile, fields))

    async def rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:
        """Give the driver the desired key and the profile; where the target assigns keys a DriverID is only a field."""
        return self._call(_named("rename", key), lambda: self._rename(key, desired_key, profile))

    async def delete(self, key: Key) -> Answer:
        """Delete or deactivate."""
        return self._call(_named("delete", key), lambda: self.drivers._delete(key))

    async def reinstate(self, key: Key, profile: Profile) -> Answer:
        """Bring a deleted or deactivated driver back."""
        return self._call(_named("reinstate", key), lambda: self.drivers._reinstate(key, profile))

    async def probe(self) -> None:
        """Look whether the target answers."""
        self.touched("probe", "before")
        self.called.append("probe")
        self._fail_if_down()
        if self._faults:
            raise TargetFailed(self._faults.popleft()[1])

    def slots(self) -> int:
        """How many calls may be under way now."""
        return self.places

    def free_in(self, calls: int) -> float:
        """In how many seconds this many calls may be under way: a twin's room changes only by hand."""
        return 0.0 if calls <= self.places else inf

    async def close(self) -> None:
        """Nothing is held open."""

    def _rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:
        spec = SPECS[self.drivers.target]
        if spec.is_key_desired:
            return self.drivers._rename(key, desired_key, profile)
        return self.drivers._update(key, profile, sorted({*profile, *spec.removable}))

    def _call(self, name: str, effect: Callable[[], Answer]) -> Answer:
        self.touched(name, "before")
        self.called.append(name)
        moment, failure = self._fault(name)
        if failure and moment == "before":
            return failure
        before = dict(self.drivers._drivers)
        answer = effect()
        if before != self.drivers._drivers:
            self.effects.append(name)
        self.touched(name, "after")
        return failure or answer

    def _fault(self, name: str) -> tuple[Moment, CallFailure | None]:
        if name in self.failing:
            return "before", self.failing[name]
        faults = self._faults or self._write_faults
        return self.down or (faults.popleft() if faults else ("before", None))

    def _fail_if_down(self) -> None:
        if self.down:
            raise TargetFailed(self.down[1])


def _named(call: str, key: Key | None, profile: Profile | None = None) -> str:
    return f"{call} {key or (profile or {}).get('portal_driver_id', '')}"
