"""The drivers of one tenant, found by id, e-mail and user name, and listed in the order they were created in.

Driveri's API keys and the tokens they are exchanged for.

Source: driveri-python-sdk 1.0.0 for the rules; how long a token lives is not public, so each key says it.

What is not public about Driveri, as switches of a tenant's seed: what the sandbox assumes, and the other readings.

Everything else comes from driveri-python-sdk 1.0.0. The switches are described in docs/reference/sandbox.md; the
contract tests run the product under each of them.

A driver as Driveri keeps it, and what its status codes mean in one tenant.
"""

import secrets
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.sandbox.faults.faults import Arrangement, as_it_is
from services.sandbox.journal import Effect, Seen, effect_of
from services.sandbox.state import Lagging, Shelves

MOST_ACTIVE_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An API key of one tenant. `token_lifetime` is in milliseconds."""

    client_id: str
    client_secret: str
    tenant: str
    scopes: tuple[str, ...]
    token_lifetime: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of one key; its times are in milliseconds since the epoch."""

    access_token: str
    token_id: str
    client: Client
    created_on: int
    expires_on: int

    def shown(self) -> dict[str, object]:
        """The token as the API shows it."""
        return {
            "accessToken": self.access_token,
            "tokenType": "Bearer",
            "expiresOn": self.expires_on,
            "scope": ",".join(self.client.scopes),
            "accessTokenId": self.token_id,
            "createdOn": self.created_on,
        }


class Keys:
    """All API keys, and their tokens."""

    def __init__(self, clients: Iterable[Client] = (), tokens: Iterable[Token] = ()) -> None:
        self._clients = {client.client_id: client for client in clients}
        kept = (token for token in tokens if token.client in self._clients.values())
        self._tokens = {token.access_token: token for token in kept}

    def replaced(self, clients: Iterable[Client]) -> "Keys":
        """Other keys; tokens of keys that stay as they are stay valid."""
        return Keys(clients, self._tokens.values())

    def client(self, client_id: str, client_secret: str) -> Client | None:
        """The key with this id and secret."""
        client = self._clients.get(client_id)
        return client if client and client.client_secret == client_secret else None

    def of_tenant(self, tenant: str) -> Sequence[Client]:
        """The keys of one tenant."""
        return [client for client in self._clients.values() if client.tenant == tenant]

    def active(self, client: Client, at: int) -> Sequence[Token]:
        """The key's tokens that have neither expired nor been revoked, oldest first."""
        return [token for token in self._tokens.values() if token.client == client and token.expires_on > at]

    def issue(self, client: Client, at: int) -> Token | None:
        """A new token, or None while the key has as many active ones as it may have."""
        self._tokens = {text: token for text, token in self._tokens.items() if token.expires_on > at}
        if len(self.active(client, at)) >= MOST_ACTIVE_TOKENS:
            return None
        token = Token(
            access_token=secrets.token_urlsafe(24),
            token_id=secrets.token_hex(8),
            client=client,
            created_on=at,
            expires_on=at + client.token_lifetime,
        )
        self._tokens[token.access_token] = token
        return token

    def token(self, access_token: str, at: int) -> Token | None:
        """The token of this text, if it is still active."""
        token = self._tokens.get(access_token)
        return token if token and token.expires_on > at else None

    def revoke(self, token: Token) -> None:
        """Make the token worthless."""
        del self._tokens[token.access_token]


LicenseStates = Literal["as_written", "shown_with_country", "shown_without", "with_country", "without"]


class Assumptions(BaseModel):
    """How one tenant behaves where the vendor says nothing; the defaults are the sandbox's own readings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    configurations: Literal["nested", "flat"] = "nested"
    ids: Literal["any_case", "exact"] = "any_case"
    taken_id: Literal[400, 409] = 409
    deleted_id: Literal["kept", "freed"] = "kept"
    reinstating_unknown: Literal["created", "refused"] = "created"
    reinstating_live: Literal["refused", "updated"] = "refused"
    phone: Literal["hidden", "shown"] = "hidden"
    status_in_updates: Literal["changes", "ignored", "refused"] = "changes"
    reinstated_fields: Literal["written", "kept"] = "written"
    reinstated_status: Literal["active", "kept"] = "active"
    blank_text: Literal["clears", "ignored", "refused"] = "clears"
    partial_licence: Literal["refused", "taken"] = "refused"
    license_states: Literal["as_written", "shown_with_country", "shown_without", "with_country", "without"] = (
        "as_written"
    )
    emails: Literal["shared", "unique"] = "shared"
    group_named_by: Literal["unique_name", "name"] = "unique_name"
    group_unknown: Literal["made", "refused"] = "made"
    other_group: Literal["left", "refused", "kept_first"] = "left"
    listed_deleted: Literal["shown", "hidden"] = "shown"
    unset_fields: Literal["null", "left_out", "empty"] = "null"
    links: Literal["absolute", "relative", "left_out"] = "absolute"
    total_count: Literal["stated", "left_out"] = "stated"
    look_up_deleted: Literal["shown", "hidden"] = "shown"
    look_up_miss: Literal["not_found", "empty"] = "not_found"
    longest_page: int = Field(default=200, ge=1, le=200)
    long_limit: Literal["refused", "cut"] = "refused"
    longest_bulk: int | None = Field(default=None, ge=1)
    errors: Literal["below_error", "at_the_top"] = "below_error"
    write_answers: Literal["message", "empty"] = "message"
    third_token: Literal["refused", "oldest_revoked"] = "refused"  # noqa: S105 - what happens to it
    listed_tokens: Literal["whole", "without_secrets"] = "whole"
    shown_after: float = Field(default=0.0, ge=0.0, le=3600.0)


ASSUMED = Assumptions()


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
    """What a write did, as the journal shows it."""
    return effect_of(seen(before) if before else None, seen(after), inspected(after), _changed(before, after))


def seen(driver: Driver) -> Seen:
    """The driver's key and status."""
    return Seen(key=driver.driver_id, status=driver.status)


def _changed(before: Driver | None, after: Driver) -> tuple[str, ...]:
    was = inspected(before) if before else {"invitations": 0, "enableDriveriApp": False}
    names = (name for name, value in inspected(after).items() if was.get(name) != value)
    return tuple(sorted(name for name in names if name not in _BOOKKEEPING))


_ALL = "all"
_PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which drivers a list is about. Dates are of the last update, inclusive, in milliseconds since the epoch."""

    states: frozenset[int] = frozenset()
    show_all: bool = False
    group: str | None = None
    from_date: int | None = None
    to_date: int | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for more than one shelf can answer."""
        return self.group is not None or self.from_date is not None or self.to_date is not None or len(self.states) > 1

    @property
    def shelf(self) -> Hashable:
        """The shelf to look on; a state asked for by its code is shown, be it the one of deleted drivers."""
        if len(self.states) == 1:
            return ("state", *self.states)
        return _ALL if self.show_all or self.states else _PRESENT

    def admits(self, driver: Driver) -> bool:
        """Whether a driver from that shelf is asked for."""
        return (
            (not self.states or driver.status in self.states)
            and (self.group is None or self.group in group_names(driver))
            and (self.from_date is None or driver.updated_date >= self.from_date)
            and (self.to_date is None or driver.updated_date <= self.to_date)
        )


def group_names(driver: Driver) -> Sequence[str]:
    """Both names of the group that the driver is in, if any."""
    return (driver.group.group_name, driver.group.group_unique_name) if driver.group else ()


def _named(field: str, value: str) -> str:
    """The label of a value in any letter case; a text, since a pair takes twice the memory."""
    return f"{field}:{value.casefold()}"


class Tenant:
    """One fleet's drivers. A driver's id is unique in it, deleted drivers included; letter case is an assumption."""

    def __init__(
        self, name: str, statuses: Statuses, drivers: Iterable[Driver] = (), assumptions: Assumptions = ASSUMED
    ) -> None:
        self.name = name
        self.statuses = statuses
        self.assumptions = assumptions
        self._groups: dict[str, Group] = {}
        self._rows: list[Driver] = []
        self._numbers: dict[str, int] = {}
        self._shelves = Shelves()
        self._late: Lagging[Tenant, Driver] | None = None
        known = tuple(drivers)
        for driver in known:
            self.add(driver)
        if assumptions.shown_after:
            copy = Tenant(name, statuses, known, assumptions.model_copy(update={"shown_after": 0.0}))
            self._late = Lagging(copy, Tenant.put, 1000 * assumptions.shown_after)

    def shown(self, now: int) -> "Tenant":
        """What lists and look-ups show at this moment, in milliseconds since the epoch."""
        return self._late.at(now) if self._late else self

    def put(self, before: Driver | None, after: Driver) -> None:
        """Take in a driver, or the new version of one."""
        if before is None:
            self.add(after)
        else:
            self.replace(before, after)

    def find(self, driver_id: str) -> Driver | None:
        """The driver of this id."""
        number = self._numbers.get(self._id(driver_id))
        return None if number is None else self._rows[number]

    def with_email(self, email: str) -> list[Driver]:
        """The drivers with this e-mail address, deleted ones included."""
        return self._on(_named("email", email))

    def with_user_name(self, user_name: str) -> list[Driver]:
        """The drivers with this user name, deleted ones included."""
        return self._on(_named("userName", user_name))

    def all(self) -> Sequence[Driver]:
        """Every driver, deleted ones included."""
        return self._rows

    def page(
        self, query: Query, offset: int, limit: int, arrangement: Arrangement = as_it_is
    ) -> tuple[list[Driver], int]:
        """The drivers asked for, from `offset`, at most `limit`; and how many there are in all."""
        numbers = self._shelves.on(query.shelf)
        if self.assumptions.listed_deleted == "hidden":
            numbers = [number for number in numbers if self._rows[number].status != self.statuses.deleted]
        if query.is_narrowed:
            numbers = [number for number in numbers if query.admits(self._rows[number])]
        numbers = arrangement(numbers)
        return [self._rows[number] for number in numbers[offset : offset + limit]], len(numbers)

    def group(self, name: str) -> Group | None:
        """The group that a write calls so, among those that some driver is or was in."""
        return self._groups.get(name)

    def called(self, group: Group) -> str:
        """What a write calls a group."""
        return group.group_name if self.assumptions.group_named_by == "name" else group.group_unique_name

    def add(self, driver: Driver) -> None:
        """Take in a driver whose id is free."""
        number = len(self._rows)
        self._rows.append(driver)
        self._numbers[self._id(driver.driver_id)] = number
        self._keep_group(driver)
        self._shelves.move(number, frozenset(), self._labels(driver))
        self._show_later(None, driver)

    def replace(self, before: Driver, after: Driver) -> None:
        """Put the new version of a driver in the place of the one before; its new id, if any, is free."""
        number = self._numbers.pop(self._id(before.driver_id))
        self._numbers[self._id(after.driver_id)] = number
        self._keep_group(after)
        self._rows[number] = after
        self._shelves.move(number, self._labels(before), self._labels(after))
        self._show_later(before, after)

    def _show_later(self, before: Driver | None, after: Driver) -> None:
        if self._late:
            self._late.add(before, after, after.updated_date)

    def _id(self, driver_id: str) -> str:
        return driver_id if self.assumptions.ids == "exact" else driver_id.casefold()

    def _keep_group(self, driver: Driver) -> None:
        if driver.group:
            self._groups.setdefault(self.called(driver.group), driver.group)

    def _on(self, label: Hashable) -> list[Driver]:
        return [self._rows[number] for number in self._shelves.on(label)]

    def _labels(self, driver: Driver) -> set[Hashable]:
        labels: set[Hashable] = {_ALL, ("state", driver.status)}
        if driver.status != self.statuses.deleted:
            labels.add(_PRESENT)
        if driver.email:
            labels.add(_named("email", driver.email))
        if driver.user_name:
            labels.add(_named("userName", driver.user_name))
        return labels
