"""The users of one company, found by id, external id and their other names, and listed by id."""

from collections.abc import Hashable, Iterable, Sequence

from services.sandbox.lagging import Lagging
from services.sandbox.motive.assumptions import Assumptions
from services.sandbox.motive.user import User, field_of
from services.sandbox.shelves import Shelves

LOOKUPS = ("email", "username", "driver_company_id", "phone")
UNIQUE_NAMES = ("email", "username")


class Company:
    """One customer of Motive and its users; a test-mode key answers as if, and changes nothing."""

    def __init__(self, *, name: str, api_key: str, test_mode: bool, assumptions: Assumptions) -> None:
        self.name = name
        self.api_key = api_key
        self.test_mode = test_mode
        self.assumptions = assumptions
        self._users: dict[int, User] = {}
        self._shelves = Shelves()
        self._records: dict[int, int] = {}
        self._late: Lagging[Company, User] | None = None
        if assumptions.shown_after:
            at_once = assumptions.model_copy(update={"shown_after": 0.0})
            copy = Company(name=name, api_key=api_key, test_mode=test_mode, assumptions=at_once)
            self._late = Lagging(copy, Company.put, 1000 * assumptions.shown_after)

    def shown(self, now: int) -> "Company":
        """What lists and look-ups show at this moment, in milliseconds since the epoch."""
        return self._late.at(now) if self._late else self

    def find(self, user_id: int) -> User | None:
        """The user of this id."""
        return self._users.get(user_id)

    def user(self, user_id: int) -> User:
        """The user of an id that is known."""
        return self._users[user_id]

    def with_name(self, field: str, value: str) -> User | None:
        """The user whose field (one of `LOOKUPS`) has this value; of several the one with the lowest id."""
        numbers = self._shelves.on(named(field, value))
        return self._users[numbers[0]] if numbers else None

    def holder(self, external_id: str, integration_name: str) -> User | None:
        """The user whom that integration calls so; of several the one with the lowest id."""
        numbers = self._shelves.on(_called(external_id, integration_name))
        return self._users[numbers[0]] if numbers else None

    def holder_of_record(self, record_id: int) -> User | None:
        """The user who has the external id with this record number."""
        return self._users.get(self._records.get(record_id, 0))

    def all(self) -> Iterable[User]:
        """Every user, by id."""
        return [self._users[number] for number in self._shelves.on(("list", None, None))]

    def listed(self, role: str | None, status: str | None) -> Sequence[int]:
        """The ids of the users with this role and status (None for any)."""
        return self._shelves.on(("list", role, status))

    def put(self, before: User | None, after: User, at: int = 0) -> None:
        """Take in a new user, or the new version of one, at this moment; of a seed it was long ago."""
        if self._late:
            self._late.add(before, after, at)
        self._users[after.id] = after
        self._shelves.move(after.id, _labels(before) if before else frozenset(), _labels(after))
        for record in before.external_ids if before else ():
            del self._records[record.id]
        for record in after.external_ids:
            self._records[record.id] = after.id


def _labels(user: User) -> frozenset[Hashable]:
    lists = (("list", role, status) for role in (user.role, None) for status in (user.status, None))
    names = ((field, str(field_of(user, field) or "")) for field in LOOKUPS)
    called = (_called(*record.pair) for record in user.external_ids)
    return frozenset((*lists, *called)) | {named(field, value) for field, value in names if value}


def named(field: str, value: str) -> str:
    """The label of a value in any letter case; a text, since a pair takes twice the memory."""
    return f"{field}:{value.casefold()}"


def _called(external_id: str, integration_name: str) -> str:
    return f"external id:{integration_name}\0{external_id}"


class TakenNames:
    """Which e-mail addresses and user names are taken, in all companies, also in those that nobody here sees."""

    def __init__(self, elsewhere: Iterable[str] = ()) -> None:
        self._owners = {named(field, name): 0 for name in elsewhere for field in UNIQUE_NAMES}

    def taken_for(self, user: User) -> str | None:
        """The first field of the user whose value somebody else has."""
        for field, label in _names(user).items():
            if self._owners.get(label, user.id) != user.id:
                return field
        return None

    def put(self, before: User | None, after: User) -> None:
        """Give up the names a user had, and take those the user has now."""
        for label in _names(before).values() if before else ():
            del self._owners[label]
        self._owners.update(dict.fromkeys(_names(after).values(), after.id))


def _names(user: User) -> dict[str, str]:
    names = ((field, getattr(user, field)) for field in UNIQUE_NAMES)
    return {field: named(field, value) for field, value in names if value}
