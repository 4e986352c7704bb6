"""Whether a user in Motive who carries our external id of another portal driver answers to a weaker identifier.

Our external id is the strongest identifier: such a user was, or is, another portal driver. RefID, e-mail and licence
lead to that user only if nothing speaks against it being the same person.

| licence of both    | RefID of both     | e-mail of both    | the user's own portal driver | answers |
| ------------------ | ----------------- | ----------------- | ---------------------------- | ------- |
| any                | any               | any               | the Portal still has it      | no      |
| the same           | any               | any               | gone, or unknown             | yes     |
| another            | any               | any               | gone, or unknown             | no      |
| not known of both  | another           | any               | gone, or unknown             | no      |
| not known of both  | any               | another           | gone, or unknown             | no      |
| not known of both  | the same          | the same, unknown | gone, or unknown             | yes     |
| not known of both  | not known of both | the same          | gone, or unknown             | no      |

A licence belongs to a person for good, and a RefID is what the fleet itself calls a person. An e-mail address is
passed on to the next one, so it alone proves nothing. A name is never compared.

What we last saw of a target's drivers.

What the Portal wants a target to show for one driver, and by which marks the two recognise each other.

A mark is a value that identifies a driver on a target, such as `ref:00417`; of personal data it holds only a digest.
The same vocabulary serves to find a desired driver in a roster, and to claim a value for one portal driver.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from hashlib import sha256

from domain.cleaning import folded
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.licence_states import state_mark
from domain.profile import Profile, changed, chosen, differing


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedDriver:
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

    identifier: str
    candidates: tuple[ObservedDriver, ...]


class Roster:
    """The part of a target's roster that a batch is about; never the truth, only what we last saw."""

    def __init__(self, target: Target, shown: Iterable[ObservedDriver] = ()) -> None:
        self._target = target
        self._by_identifier: dict[str, dict[Key, ObservedDriver]] = {}
        for driver in shown:
            for identifier in claims(target, driver.key, driver.profile):
                self._by_identifier.setdefault(identifier, {})[driver.key] = driver

    @property
    def identifiers(self) -> Set[str]:
        """Every mark to which somebody in it answers, or that somebody in it has for itself alone."""
        return self._by_identifier.keys()

    @property
    def portal_drivers(self) -> frozenset[PortalDriverId]:
        """The portal drivers whose external ids somebody in it carries."""
        everybody = (driver for found in self._by_identifier.values() for driver in found.values())
        carried = (driver.profile.get("portal_driver_id") for driver in everybody)
        return frozenset(PortalDriverId(each) for each in carried if each)

    def shown(self, key: Key | None) -> ObservedDriver | None:
        """The target driver of this key, if the target showed one."""
        found: Mapping[Key, ObservedDriver] = (
            self._by_identifier.get(key_identifier(self._target, key), {}) if key else {}
        )
        return next(iter(found.values()), None)

    def match(self, desired: Iterable[str]) -> Match | None:
        """Who answers to the first of these marks that anybody answers to."""
        for identifier in desired:
            if found := self._by_identifier.get(identifier):
                return Match(identifier=identifier, candidates=tuple(found[key] for key in sorted(found)))
        return None


_OWNED: Mapping[Target, tuple[str, ...]] = {
    Target.DRIVERI: (
        "first_name",
        "last_name",
        "email",
        "phone",
        "driveri_group",
        "licence_number",
        "licence_state",
        "licence_country",
    ),
    Target.MOTIVE: (
        "first_name",
        "last_name",
        "email",
        "phone",
        "ref_id",
        "licence_number",
        "licence_state",
        "time_zone",
        "portal_driver_id",
        "driveri_driver_id",
    ),
}
_UNREADABLE: Mapping[Target, frozenset[str]] = {Target.DRIVERI: frozenset({"phone"}), Target.MOTIVE: frozenset()}
_REMOVABLE: Mapping[Target, frozenset[str]] = {
    Target.DRIVERI: frozenset(),
    Target.MOTIVE: frozenset({"driveri_driver_id"}),
}
_LICENCE: Mapping[Target, tuple[str, ...]] = {
    Target.DRIVERI: ("licence_number", "licence_state", "licence_country"),
    Target.MOTIVE: ("licence_number", "licence_state"),
}
RECOGNISED_BY: Mapping[Target, tuple[str, ...]] = {
    Target.DRIVERI: ("driveri_driver_id",),
    Target.MOTIVE: ("ref_id", "email", "licence_number", "licence_state"),
}
"""The fields of the Portal by which a driver who is not linked yet is looked for on a target.

Driveri is asked by the RefID only for drivers without a Driveri DriverID.
"""

_YIELDING = "driveri_driver_id"
_KEY = "key:"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredDriver:
    """What one target shall show for one portal driver.

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
        return self.target is Target.DRIVERI and self.key is None

    def without_dispensable_identifier(self) -> "DesiredDriver":
        """The same desired state without the value that another driver holds."""
        profile = {field: text for field, text in self.profile.items() if field != _YIELDING}
        return replace(self, profile=profile, dispensable_identifier="", waits_for=self.dispensable_identifier)


def to_desired(
    account: AccountId, target: Target, driver: PortalDriverId, *, sequence: int, profile: Profile, is_wanted: bool
) -> DesiredDriver:
    """The desired state that a portal driver's profile means for one target."""
    stated = {**profile, "portal_driver_id": driver}
    key = _desired_key(profile) if target is Target.DRIVERI else None
    owned = _whole_licence(target, chosen(stated, _OWNED[target]))
    return DesiredDriver(
        account=account,
        target=target,
        driver=driver,
        sequence=sequence,
        is_wanted=is_wanted,
        key=key,
        profile=owned,
        identifiers=identifiers(target, key, owned),
        dispensable_identifier=dispensable_identifier(target, owned),
    )


def _desired_key(profile: Profile) -> Key | None:
    text = profile.get("driveri_driver_id") or profile.get("ref_id")
    return Key(text) if text else None


def _whole_licence(target: Target, profile: dict[str, str]) -> dict[str, str]:
    parts = _LICENCE[target]
    if all(part in profile for part in parts):
        return profile
    return {field: text for field, text in profile.items() if field not in parts}


def key_identifier(target: Target, key: Key) -> str:
    """The mark that the key itself is; Driveri's ids are compared cleaned, and without regard to case."""
    return f"{_KEY}{folded(key)}" if target is Target.DRIVERI else f"{_KEY}{key}"


def is_key_identifier(identifier: str) -> bool:
    """Whether this is the mark of a key: at most one target driver answers to it, whose own it is."""
    return identifier.startswith(_KEY)


_FIELDS: Mapping[str, str] = {"ref": "ref_id", "email": "email", "licence": "licence_number"}


def field_of(identifier: str) -> str:
    """The field that holds a mark and can have a temporary value for a while; empty if there is none."""
    return _FIELDS.get(identifier.partition(":")[0], "")


def temporary_value(field: str, temporary: str) -> str:
    """What a field holds while others of a circle move; an address nobody can have, in a domain of RFC 2606."""
    return f"{temporary}@driverlink.invalid" if field == "email" else temporary


def temporary_fields(profile: Profile, temporary: str) -> tuple[str, ...]:
    """The fields of the profile that hold a temporary value."""
    return tuple(field for field in _FIELDS.values() if profile.get(field) == temporary_value(field, temporary))


def has_temporary_value(profile: Profile, temporary: str) -> bool:
    """Whether a field of the profile holds a temporary value."""
    return bool(temporary_fields(profile, temporary))


def mark_of(target: Target, profile: Profile, field: str) -> str:
    """The mark that this field of a profile holds; empty if it holds none."""
    return next((identifier for identifier in identifiers(target, None, profile) if field_of(identifier) == field), "")


def identifiers(target: Target, key: Key | None, profile: Profile) -> tuple[str, ...]:
    """The marks by which a driver with this key and profile is recognised, the strongest first."""
    if target is Target.DRIVERI:
        return (key_identifier(target, key),) if key else ()
    found = (
        key and key_identifier(target, key),
        _identifier("portal", profile.get("portal_driver_id")),
        _identifier("ref", profile.get("ref_id")),
        _sealed_mark("email", profile.get("email")),
        _sealed_mark("licence", _licence(profile)),
    )
    return tuple(filter(None, found))


def dispensable_identifier(target: Target, profile: Profile) -> str:
    """The mark of the value that must be unique in Motive, though nobody is recognised by it: the DriverID."""
    return _identifier("driverid", profile.get(_YIELDING)) if target is Target.MOTIVE else ""


def claims(target: Target, key: Key | None, profile: Profile) -> frozenset[str]:
    """Every mark that one portal driver has for itself alone while a target shows, or shall show, this."""
    yielding = dispensable_identifier(target, profile)
    found = identifiers(target, key, profile)
    return frozenset((*found, yielding)) if yielding else frozenset(found)


def _identifier(kind: str, text: str | None) -> str:
    return f"{kind}:{text.casefold()}" if text else ""


def _sealed_mark(kind: str, text: str | None) -> str:
    """The mark of something personal: only a digest of it."""
    return f"{kind}:{sha256(text.casefold().encode()).hexdigest()[:24]}" if text else ""


def _licence(profile: Profile) -> str:
    """Number and state, in whichever spelling; blanks and hyphens in a number make no other licence."""
    number, state = profile.get("licence_number", ""), state_mark(profile.get("licence_state", ""))
    bare = "".join(filter(str.isalnum, number)) or number
    return f"{bare}/{state}" if number and state else ""


def to_change(target: Target, desired: Profile, shown: Profile) -> tuple[str, ...]:
    """The sorted names of the fields that a target which shows this has to change, as far as they can be read back."""
    surplus = _REMOVABLE[target] & (shown.keys() - desired.keys())
    return tuple(sorted({*differing(desired, shown, _UNREADABLE[target]), *surplus}))


def to_restate(target: Target, desired: Profile, stated: Profile) -> tuple[str, ...]:
    """The sorted names of the fields that we last stated otherwise, be it by a letter's case."""
    surplus = _REMOVABLE[target] & (stated.keys() - desired.keys())
    return tuple(sorted({*changed(desired, stated), *surplus}))


def unreadable(target: Target, desired: Profile) -> tuple[str, ...]:
    """The sorted names of the desired fields that the target never shows."""
    return tuple(sorted(_UNREADABLE[target] & desired.keys()))


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

    `wanted` are the portal drivers that the Portal has now, as far as they matter.
    """
    former = former_driver(desired, shown)
    if former is None:
        return ""
    if former in wanted:
        return STILL_THERE
    same, different = _compared(desired, shown)
    if "licence" in same:
        return ""
    against = next((words for kind, words in _DIFFERENT.items() if kind in different), "")
    return against or ("" if "ref" in same else UNPROVEN)


def _compared(desired: DesiredDriver, shown: ObservedDriver) -> tuple[set[str], set[str]]:
    """The kinds of identifiers that both have the same, and those that both have and that differ."""
    stated, carried = _by_kind(desired.identifiers), _by_kind(identifiers(desired.target, None, shown.profile))
    both = stated.keys() & carried.keys() & _DIFFERENT.keys()
    same = {kind for kind in both if stated[kind] == carried[kind]}
    return same, both - same


def _by_kind(found: Collection[str]) -> dict[str, str]:
    return {identifier.partition(":")[0]: identifier for identifier in found}
