"""Desired and observed drivers, and the identifiers by which they match.

An identifier is a value that identifies a driver on a target, such as `ref:00417`; of personal data it holds only a
digest. The same identifiers serve to match a desired driver in a roster, and to claim a value for a portal driver.

A user in Motive that carries our external id of another portal driver was, or is, that driver. It matches by RefID,
e-mail or licence only if nothing speaks against it being the same person:

| licence of both    | RefID of both     | e-mail of both    | the user's own portal driver | matches |
| ------------------ | ----------------- | ----------------- | ---------------------------- | ------- |
| any                | any               | any               | the Portal still has it      | no      |
| the same           | any               | any               | gone, or unknown             | yes     |
| another            | any               | any               | gone, or unknown             | no      |
| not known of both  | another           | any               | gone, or unknown             | no      |
| not known of both  | any               | another           | gone, or unknown             | no      |
| not known of both  | the same          | the same, unknown | gone, or unknown             | yes     |
| not known of both  | not known of both | the same          | gone, or unknown             | no      |

A licence belongs to a person for good, and a RefID is what the fleet itself calls a person. An e-mail address is
passed on to the next person, so it alone proves nothing. A name is never compared.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import lru_cache

from domain.cleaning import folded
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.profile import SPECS, Profile, TargetSpec, chosen
from domain.values import quick


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedDriver:
    """A driver as a target shows it.

    `active` is false when the target keeps the driver as deleted (Driveri) or deactivated (Motive).
    `profile` holds the fields that we own there, in the Portal's words; in Motive also `portal_driver_id`
    and `driveri_driver_id`, which are our two external ids. `seen_at` is the moment, in ISO 8601, at which it was
    first reported so; empty where that is not kept.
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
    """The target drivers that have the strongest identifier which any driver has."""

    identifier: str
    candidates: tuple[ObservedDriver, ...]


class Roster:
    """The part of a target's roster that a batch is about; never the truth, only what we last saw."""

    def __init__(self, target: Target, shown: Iterable[ObservedDriver] = ()) -> None:
        self._target = target
        self._by_identifier: dict[str, dict[Key, ObservedDriver]] = {}
        carried = set[str]()
        for driver in shown:
            carried.add(driver.profile.get("portal_driver_id", ""))
            for identifier in claims(target, driver.key, driver.profile):
                self._by_identifier.setdefault(identifier, {})[driver.key] = driver
        self.portal_drivers = frozenset(PortalDriverId(each) for each in carried if each)
        """The portal drivers whose external ids a driver in it carries."""

    @property
    def identifiers(self) -> Set[str]:
        """Every identifier that a driver in it has."""
        return self._by_identifier.keys()

    def shown(self, key: Key | None) -> ObservedDriver | None:
        """The target driver of this key, if the target showed one."""
        found: Mapping[Key, ObservedDriver] = (
            self._by_identifier.get(key_identifier(self._target, key), {}) if key else {}
        )
        return next(iter(found.values()), None)

    def having(self, identifier: str) -> Collection[ObservedDriver]:
        """The drivers that have this identifier."""
        return self._by_identifier.get(identifier, {}).values()

    def match(self, desired: Iterable[str]) -> Match | None:
        """The drivers with the first of these identifiers that any driver has."""
        for identifier in desired:
            if found := self._by_identifier.get(identifier):
                return Match(identifier=identifier, candidates=tuple(found[key] for key in sorted(found)))
        return None


_KEY = "key:"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredDriver:
    """What one target is to show for one portal driver.

    `is_wanted` is false when the Portal has deleted the driver. `key` is the Driveri DriverID desired; None in Motive,
    which gives its own. `identifiers` are in the order in which they are tried. `dispensable_identifier` is one that
    the desired state can do without while another driver holds it, and `waits_for` the one that it left out for that
    reason; empty for none.
    """

    account: AccountId
    target: Target
    driver: PortalDriverId
    sequence: int
    is_wanted: bool
    key: Key | None
    profile: Profile
    identifiers: tuple[str, ...]
    dispensable_identifier: str
    waits_for: str = ""

    @property
    def is_unkeyed(self) -> bool:
        """Whether the Portal gives nothing by which the target could name the driver."""
        return self.key is None and SPECS[self.target].is_key_desired

    def without_dispensable_identifier(self) -> "DesiredDriver":
        """The same desired state without the value that another driver holds."""
        unique = SPECS[self.target].unique
        profile = {field: text for field, text in self.profile.items() if unique is None or field != unique.field}
        return replace(self, profile=profile, dispensable_identifier="", waits_for=self.dispensable_identifier)


def to_desired(
    account: AccountId,
    target: Target,
    driver: PortalDriverId,
    *,
    sequence: int,
    profile: Profile,
    is_wanted: bool,
    specs: Mapping[Target, TargetSpec] = SPECS,
) -> DesiredDriver:
    """The desired state that a portal driver's profile means for one target.

    By other `specs` a target may own other fields, and drivers may be matched in another order.
    """
    spec, stated = specs[target], {**profile, "portal_driver_id": driver}
    text = next(filter(None, map(profile.get, spec.key_fields)), None)
    key = Key(text) if text else None
    owned = chosen(stated, spec.owned)
    if not owned.keys() >= spec.written_together:
        owned = {field: text for field, text in owned.items() if field not in spec.written_together}
    found = _identifiers(target, *map(owned.get, _IDENTIFYING[target]))
    recognised_by = found.recognised_by
    if spec.matched_by is not SPECS[target].matched_by:
        recognised_by = tuple(filter(None, (kind.identifier(owned) for kind in spec.matched_by)))
    return DesiredDriver(
        account=account,
        target=target,
        driver=driver,
        sequence=sequence,
        is_wanted=is_wanted,
        key=key,
        profile=owned,
        identifiers=(key_identifier(target, key), *recognised_by) if key else recognised_by,
        dispensable_identifier=found.dispensable,
    )


@lru_cache(maxsize=8192)
def key_identifier(target: Target, key: Key) -> str:
    """The identifier that the key itself is; one that people write is compared cleaned and without regard to case."""
    return f"{_KEY}{folded(key) if SPECS[target].is_key_desired else key}"


def is_key_identifier(identifier: str) -> bool:
    """Whether this is the identifier of a key, which at most one target driver has."""
    return identifier.startswith(_KEY)


def temporary_field(target: Target, identifier: str) -> str:
    """The field that holds an identifier and can have a temporary value for a while; empty if there is none."""
    kinds = (kind for kind in SPECS[target].matched_by if identifier.startswith(f"{kind.kind}:"))
    return next((kind.field for kind in kinds if kind.temporary), "")


def temporary_values(target: Target, temporary: str) -> dict[str, str]:
    """What each field that can have a temporary value holds while others of a circle move."""
    return {kind.field: kind.temporary.format(temporary) for kind in SPECS[target].matched_by if kind.temporary}


def temporary_fields(target: Target, profile: Profile, temporary: str) -> tuple[str, ...]:
    """The fields of the profile that hold a temporary value."""
    if not [field for field in _WITH_TEMPORARY[target] if temporary in profile.get(field, "")]:
        return ()
    values = temporary_values(target, temporary)
    return tuple(field for field, text in values.items() if profile.get(field) == text)


def identifier_in(target: Target, profile: Profile, field: str) -> str:
    """The identifier that this field of a profile holds; empty if it holds none."""
    kinds = (kind for kind in SPECS[target].matched_by if kind.field == field)
    return next((kind.identifier(profile) for kind in kinds), "")


def identifiers(target: Target, key: Key | None, profile: Profile) -> tuple[str, ...]:
    """The identifiers by which a driver with this key and profile is recognised, the strongest first."""
    carried = _identifiers(target, *map(profile.get, _IDENTIFYING[target])).recognised_by
    return (key_identifier(target, key), *carried) if key else carried


def claims(target: Target, key: Key | None, profile: Profile) -> frozenset[str]:
    """Every identifier that one portal driver has for itself while a target shows, or is to show, this."""
    carried = _identifiers(target, *map(profile.get, _IDENTIFYING[target])).claimed
    return carried | {key_identifier(target, key)} if key else carried


_IDENTIFYING: Mapping[Target, tuple[str, ...]] = {
    target: tuple(
        dict.fromkeys(field for kind in (*spec.matched_by, spec.unique) if kind is not None for field in kind.fields)
    )
    for target, spec in SPECS.items()
}
"""The fields of a profile that identifiers come from."""

_WITH_TEMPORARY: Mapping[Target, tuple[str, ...]] = {
    target: tuple(kind.field for kind in spec.matched_by if kind.temporary) for target, spec in SPECS.items()
}
"""The fields of a profile that can have a temporary value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identifiers:
    """What `to_desired`, `identifiers` and `claims` say of a profile."""

    recognised_by: tuple[str, ...]
    dispensable: str
    claimed: frozenset[str]


@lru_cache(maxsize=8192)
def _identifiers(target: Target, *texts: str | None) -> _Identifiers:
    """Worked out once for the same texts, which one decision after another asks about."""
    spec, profile = SPECS[target], {field: text or "" for field, text in zip(_IDENTIFYING[target], texts, strict=True)}
    recognised_by = tuple(filter(None, (kind.identifier(profile) for kind in spec.matched_by)))
    dispensable = spec.unique.identifier(profile) if spec.unique else ""
    claimed = frozenset(filter(None, (*recognised_by, dispensable)))
    return _Identifiers(recognised_by=recognised_by, dispensable=dispensable, claimed=claimed)


STILL_THERE = "the Portal still has that driver"
UNPROVEN = "nothing but the e-mail is the same"
_DIFFERENT: Mapping[str, str] = {
    "licence": "the licences are different",
    "ref": "the RefIDs are different",
    "email": "the e-mails are different",
}


def former_driver(desired: DesiredDriver, shown: ObservedDriver) -> PortalDriverId | None:
    """The other portal driver whose external id this target driver carries, if it does."""
    carried = shown.profile.get("portal_driver_id", "")
    return PortalDriverId(carried) if carried.casefold() not in ("", desired.driver.casefold()) else None


def speaks_against(desired: DesiredDriver, shown: ObservedDriver, wanted: Collection[PortalDriverId]) -> str:
    """What speaks against a target driver, who was another portal driver, being this one; empty if nothing does.

    `wanted` are the portal drivers that the Portal has now, as far as they are needed.
    """
    former = former_driver(desired, shown)
    if former is None:
        return ""
    if former in wanted:
        return STILL_THERE
    stated, carried = _by_kind(desired.identifiers), _by_kind(identifiers(desired.target, None, shown.profile))
    both = stated.keys() & carried.keys() & _DIFFERENT.keys()
    same = {kind for kind in both if stated[kind] == carried[kind]}
    if "licence" in same:
        return ""
    against = next((words for kind, words in _DIFFERENT.items() if kind in both - same), "")
    return against or ("" if "ref" in same else UNPROVEN)


def _by_kind(found: Collection[str]) -> dict[str, str]:
    return {identifier.partition(":")[0]: identifier for identifier in found}
