"""Whether both targets agree with the Portal, driver by driver, in the vendors' own data.

Reads the sandboxes' whole state, so that no code of the product checks itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.identity import Target
from domain.profile import Profile
from services.sandbox.story import Fleet, desired_id

Json = dict[str, Any]

_OURS = ("gps_portal", "driveri")
_DRIVERI = {
    "first_name": "firstName",
    "last_name": "lastName",
    "email": "email",
    "phone": "phone",
    "licence_number": "licenceNumber",
    "licence_state": "licenseState",
    "licence_country": "licenseCountry",
}
_MOTIVE = {
    "first_name": "first_name",
    "last_name": "last_name",
    "email": "email",
    "phone": "phone",
    "ref_id": "driver_company_id",
    "licence_number": "drivers_license_number",
    "licence_state": "drivers_license_state",
}
_LEFT = "deleted in the Portal, active there"
_LICENCE = {
    "driveri": ("licence_number", "licence_state", "licence_country"),
    "motive": ("licence_number", "licence_state"),
}


@dataclass(slots=True)
class Comparison:
    """How many drivers agree, who waits for a person and why, and what disagrees."""

    agreeing: Counter[str] = field(default_factory=Counter)
    waiting: list[tuple[str, str, str]] = field(default_factory=list)
    disagreements: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def is_agreed(self) -> bool:
        """Whether nothing disagrees."""
        return not self.disagreements

    def judge(self, target: str, driver: str, problem: str | None, waits: Mapping[tuple[str, str], str]) -> None:
        """Count one driver on one target; one that waits for a person is neither in agreement nor in the way."""
        if reason := waits.get((target, driver)):
            self.waiting.append((target, driver, reason))
        elif problem:
            self.disagreements.append((target, driver, problem))
        else:
            self.agreeing[target] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsState:
    """Everything that both sandboxes hold: the drivers of one Driveri tenant, the users of one Motive company."""

    active_status: int
    drivers: tuple[Json, ...]
    users: tuple[Json, ...]


def to_shown(driveri: Json, motive: Json) -> TargetsState:
    """What the sandboxes' state, or their seeds, show."""
    tenant, company = driveri["tenants"][0], motive["companies"][0]
    codes = {each["description"]: each["status"] for each in tenant["statuses"]}
    return TargetsState(active_status=codes["Active"], drivers=tuple(tenant["drivers"]), users=tuple(company["users"]))


def compare(fleet: Fleet, now: TargetsState, waits: Mapping[tuple[str, str], str]) -> Comparison:
    """Every portal driver on both targets; `waits` has the reason for each parked one, by target and driver."""
    found = Comparison()
    by_id = {driver["driverId"].casefold(): driver for driver in now.drivers}
    by_external = {_external(user, "gps_portal"): user for user in now.users}
    shared = _shared_ids(fleet)
    for driver, profile in fleet.there.items():
        found.judge("driveri", driver, _driveri_problem(profile, by_id, now.active_status), waits)
        found.judge("motive", driver, _motive_problem(profile, by_external.get(driver), shared), waits)
    wanted = {desired_id(profile).casefold() for profile in fleet.there.values()}
    for driver, profile in fleet.gone.items():
        left = by_id.get(desired_id(profile).casefold())
        is_left = (
            left is not None and left["status"] == now.active_status and desired_id(profile).casefold() not in wanted
        )
        found.judge("driveri", driver, _LEFT if is_left else None, waits)
        user = by_external.get(driver)
        is_user_left = user is not None and user["status"] == "active"
        found.judge("motive", driver, _LEFT if is_user_left else None, waits)
    return found


def untouched(fleet: Fleet, before: TargetsState, now: TargetsState) -> list[tuple[str, str, str]]:
    """What of other people's the product changed.

    Unmanaged drivers, users of other roles, other integrations' external ids.
    """
    desired = {desired_id(profile).casefold() for profile in (*fleet.there.values(), *fleet.gone.values())}
    unmanaged = [driver for driver in before.drivers if driver["driverId"].casefold() not in desired | fleet.former]
    driveri = _changed("driveri", "driverId", unmanaged, now.drivers)
    claimed = {user["id"] for user in now.users if _external(user, "gps_portal")}
    others = [user for user in before.users if user["id"] not in claimed or user["role"] != "driver"]
    return [*driveri, *_changed("motive", "id", others, now.users), *_lost_external_ids(before, now)]


def in_sync(links: Iterable[Json]) -> list[str]:
    """The drivers who are in sync with every target."""
    count = Counter(link["driver"] for link in links if link["state"] == "in_sync")
    return [driver for driver, targets in count.items() if targets == len(Target)]


def unmanaged(fleet: Fleet, shown: TargetsState) -> list[str]:
    """The DriverIDs of Driveri's active drivers that no portal driver wants."""
    desired = {desired_id(profile).casefold() for profile in fleet.there.values()}
    ids = (driver["driverId"] for driver in shown.drivers if driver["status"] == shown.active_status)
    return [each for each in ids if each.casefold() not in desired]


def left_alone(keys: Iterable[str], before: TargetsState, now: TargetsState) -> list[tuple[str, str, str]]:
    """Which of these Driveri drivers, left behind by a relink, were changed since."""
    wanted = {key.casefold() for key in keys}
    former = [driver for driver in before.drivers if driver["driverId"].casefold() in wanted]
    return _changed("driveri", "driverId", former, now.drivers)


def _changed(target: str, key: str, before: Iterable[Json], now: Iterable[Json]) -> list[tuple[str, str, str]]:
    shown = {each[key]: each for each in now}
    return [
        (target, str(each[key]), "is not ours, and was changed")
        for each in before
        if any(shown.get(each[key], {}).get(name) != value for name, value in each.items())
    ]


def _lost_external_ids(before: TargetsState, now: TargetsState) -> list[tuple[str, str, str]]:
    shown = {user["id"]: _foreign(user) for user in now.users}
    return [
        ("motive", str(user["id"]), "lost another integration's external id")
        for user in before.users
        if _foreign(user) - shown[user["id"]]
    ]


def _foreign(user: Json) -> set[tuple[str, str]]:
    entries = user["external_ids"] or []
    return {
        (each["external_id"], each["integration_name"]) for each in entries if each["integration_name"] not in _OURS
    }


def _external(user: Json, integration: str) -> str | None:
    entries = user["external_ids"] or []
    return next((each["external_id"] for each in entries if each["integration_name"] == integration), None)


def _shared_ids(fleet: Fleet) -> set[str]:
    counted = Counter(profile.get("driveri_driver_id", "").casefold() for profile in fleet.there.values())
    return {text for text, count in counted.items() if count > 1}


def _driveri_problem(profile: Profile, by_id: Mapping[str, Json], active_status: int) -> str | None:
    shown = by_id.get(desired_id(profile).casefold())
    if shown is None:
        return "is not there"
    if shown["status"] != active_status:
        return "is not active"
    if shown["driverId"] != desired_id(profile):
        return "has its id in other letters"
    group = (shown.get("group") or {}).get("groupName", "")
    if profile.get("driveri_group", group) != group:
        return "driveri_group differs"
    return _field_problem("driveri", profile, shown, _DRIVERI)


def _motive_problem(profile: Profile, shown: Json | None, shared: set[str]) -> str | None:
    if shown is None:
        return "no user has its external id"
    if shown["status"] != "active":
        return "is not active"
    desired = profile.get("driveri_driver_id", "")
    if desired.casefold() not in shared and (_external(shown, "driveri") or "") != desired:
        return "its DriverID as an external id differs"
    return _field_problem("motive", profile, shown, _MOTIVE)


def _field_problem(target: str, profile: Profile, shown: Json, names: Mapping[str, str]) -> str | None:
    has_licence = all(part in profile for part in _LICENCE[target])
    for ours, theirs in names.items():
        is_stated = ours in profile and (has_licence or ours not in _LICENCE[target])
        if is_stated and _plain(ours, profile[ours]) != _plain(ours, shown.get(theirs) or ""):
            return f"{ours} differs"
    return None


def _plain(name: str, text: str) -> str:
    if name == "phone":
        return "".join(each for each in text if each.isdigit())[-10:]
    return text.casefold() if name == "email" else text
