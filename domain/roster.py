"""What we last saw of a target's drivers."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from domain.identity import Key, PortalDriverId, Target
from domain.profile import Profile
from domain.wish import claims, key_mark


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDriver:
    """A driver as a target shows it.

    `active` is false when the target keeps the driver as deleted (Driveri) or deactivated (Motive).
    `profile` holds the fields that we own there, in the Portal's words; in Motive also `portal_driver_id`
    and `driveri_driver_id`, which are our two external ids. `seen_at` is the moment, in ISO 8601, at which it was
    first reported so; empty where nobody keeps that.
    """

    key: Key
    active: bool
    profile: Profile
    seen_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRecord:
    """A record of a roster that has another form than it should.

    `place` is where in the target's answers it stands, `key` the target's own id of it, empty where that cannot be
    read, and `fields` are the names of the fields in question. If it `is_left_out`, nothing is known of the driver;
    else only these fields count as not shown.
    """

    place: str
    key: str
    fields: tuple[str, ...]
    is_left_out: bool


class UnreadableRecords:
    """The records that a scan could not read, or only in part: each once, however often it was shown."""

    def __init__(self) -> None:
        self._found: dict[str, UnreadableRecord] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[UnreadableRecord]:
        return iter(self._found.values())

    def add(self, records: Iterable[UnreadableRecord]) -> None:
        """Take in what one page shows."""
        for record in records:
            self._found.setdefault(record.key or f"at {record.place}", record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The target drivers that answer to the strongest mark that anybody answers to."""

    mark: str
    candidates: tuple[TargetDriver, ...]


class Roster:
    """The part of a target's roster that a batch is about; never the truth, only what we last saw."""

    def __init__(self, target: Target, shown: Iterable[TargetDriver] = ()) -> None:
        self._target = target
        self._by_mark: dict[str, dict[Key, TargetDriver]] = {}
        for driver in shown:
            for mark in claims(target, driver.key, driver.profile):
                self._by_mark.setdefault(mark, {})[driver.key] = driver

    @property
    def marks(self) -> Set[str]:
        """Every mark to which somebody in it answers, or that somebody in it has for itself alone."""
        return self._by_mark.keys()

    @property
    def portal_drivers(self) -> frozenset[PortalDriverId]:
        """The portal drivers whose external ids somebody in it carries."""
        everybody = (driver for found in self._by_mark.values() for driver in found.values())
        carried = (driver.profile.get("portal_driver_id") for driver in everybody)
        return frozenset(PortalDriverId(each) for each in carried if each)

    def shown(self, key: Key | None) -> TargetDriver | None:
        """The target driver of this key, if the target showed one."""
        found: Mapping[Key, TargetDriver] = self._by_mark.get(key_mark(self._target, key), {}) if key else {}
        return next(iter(found.values()), None)

    def match(self, wished: Iterable[str]) -> Match | None:
        """Who answers to the first of these marks that anybody answers to."""
        for mark in wished:
            if found := self._by_mark.get(mark):
                return Match(mark=mark, candidates=tuple(found[key] for key in sorted(found)))
        return None
