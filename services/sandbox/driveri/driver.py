"""A driver as Driveri keeps it, and what its status codes mean in one tenant."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from services.sandbox.driveri.assumptions import ASSUMED, Assumptions
from services.sandbox.journal import Effect, Seen, fingerprint_of

_BOOKKEEPING = frozenset({"createdDate", "updatedDate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The one group a driver is in."""

    group_name: str
    group_unique_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """All that is stored of a driver; dates are in milliseconds since the epoch.

    `invitations` counts the e-mails that Driveri would have sent to the driver. `further_groups` are those that the
    driver is in besides the one that is shown.
    Source of the fields: driveri-python-sdk 1.0.0.
    """

    driver_id: str
    first_name: str
    last_name: str | None = None
    status: int
    created_date: int
    updated_date: int
    licence_number: str | None = None
    license_country: str | None = None
    license_state: str | None = None
    user_name: str | None = None
    email: str | None = None
    group: Group | None = None
    enable_driveri_app: bool = False
    last_login: int | None = None
    authorized_to_drive: int = 1
    linked_user_name: str | None = None
    image_url: str | None = None
    driver_preferences: Mapping[str, object] | None = None
    phone: str | None = None
    invitations: int = 0
    further_groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """What the status codes of a tenant mean; only the descriptions say which of them stands for deleted."""

    descriptions: Mapping[int, str]

    @property
    def active(self) -> int:
        """The code of a new driver: the one described as active, else the lowest."""
        code = self._described_as("active")
        return min(self.descriptions) if code is None else code

    @property
    def deleted(self) -> int | None:
        """The code of a deleted driver; None in a tenant that describes none so."""
        return self._described_as("deleted")

    def _described_as(self, meaning: str) -> int | None:
        codes = (code for code, text in self.descriptions.items() if text.casefold() == meaning)
        return next(codes, None)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


_WIRE_NAMES = {field.name: _camel(field.name) for field in fields(Driver)}


def inspected(driver: Driver) -> dict[str, object]:
    """Everything that is stored, by its name on the wire."""
    shown = {wire_name: getattr(driver, name) for name, wire_name in _WIRE_NAMES.items()}
    further = [_group(group) for group in driver.further_groups]
    return shown | {"group": _group(driver.group), "furtherGroups": further or None}


def as_read(driver: Driver, *, preferences: bool, assumptions: Assumptions = ASSUMED) -> dict[str, object]:
    """The driver as the API shows it: with the preferences where they are asked for, and the phone where assumed."""
    hidden = {"invitations", "furtherGroups"}
    if not preferences:
        hidden.add("driverPreferences")
    if assumptions.phone == "hidden":
        hidden.add("phone")
    shown = {name: value for name, value in inspected(driver).items() if name not in hidden}
    return _unset(shown | {"licenseState": _license_state(driver, assumptions)}, assumptions)


def _license_state(driver: Driver, assumptions: Assumptions) -> str | None:
    country, state = driver.license_country, driver.license_state
    if country and state and assumptions.license_states == "shown_with_country" and "-" not in state:
        return f"{country}-{state}"
    if state and assumptions.license_states == "shown_without":
        return state.rpartition("-")[2]
    return state


_TEXTS = frozenset({"lastName", "licenceNumber", "licenseCountry", "licenseState", "userName", "email"})


def _unset(shown: dict[str, object], assumptions: Assumptions) -> dict[str, object]:
    if assumptions.unset_fields == "left_out":
        return {name: value for name, value in shown.items() if value is not None}
    if assumptions.unset_fields == "empty":
        return {name: "" if value is None and name in _TEXTS else value for name, value in shown.items()}
    return shown


def _group(group: Group | None) -> dict[str, str] | None:
    return {"groupName": group.group_name, "groupUniqueName": group.group_unique_name} if group else None


def effect_between(before: Driver | None, after: Driver) -> Effect:
    """What a write did, as the journal tells it."""
    changed = _changed(before, after)
    return Effect(
        before=seen(before) if before else None,
        after=seen(after),
        created=before is None,
        changed=changed,
        fingerprint=fingerprint_of(inspected(after), changed),
    )


def seen(driver: Driver) -> Seen:
    """The driver's key and status."""
    return Seen(key=driver.driver_id, status=driver.status)


def _changed(before: Driver | None, after: Driver) -> tuple[str, ...]:
    was = inspected(before) if before else {"invitations": 0, "enableDriveriApp": False}
    names = (name for name, value in inspected(after).items() if was.get(name) != value)
    return tuple(sorted(name for name in names if name not in _BOOKKEEPING))
