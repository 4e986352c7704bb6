"""The whole state of the Portal's sandbox: accounts, sessions, journal.

What the Portal's texts leave open, as switches of an account's seed: the first value of each is the default.

They are described in docs/reference/sandbox.md; the contract tests run the product under each of them.

What the Portal's sandbox starts from: accounts with their users and drivers.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.sandbox.journal import Effect, Journal, Seen
from services.sandbox.state import Ids, Now, SeedRefused, check_unique, first_problem, iso_time
from services.sandbox.webhooks import Pusher, WebhookSeed, standard_signature


class Assumptions(BaseModel):
    """How one account of the Portal behaves where the texts are silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ended_session: Literal[403, 401, 400, 404] = 403
    head_status: Literal["capitals", "small", "capitalised"] = "capitals"
    errors: Literal["by_status", "with_200"] = "by_status"
    other_sessions: Literal["kept", "ended"] = "kept"
    list_ids: Literal["numbers", "texts"] = "numbers"
    attribute_ids: Literal["texts", "numbers"] = "texts"
    unset_fields: Literal["null", "left_out", "empty"] = "null"
    empty_attributes: Literal["shown", "null", "left_out"] = "shown"
    list_order: Literal["by_id", "newest_first"] = "by_id"
    empty_list: Literal["list", "null"] = "list"
    driver_named_by: Literal["ref_id_first", "id_first", "id_only"] = "ref_id_first"


ASSUMED = Assumptions()


_WEEK = 7 * 24 * 3600 * 1000


class DriverSeed(BaseModel):
    """A driver. `attributes` are custom attributes by name; a `ref_id` is found by, and never shown in the list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(gt=0)
    firstname: str = ""
    lastname: str = Field(min_length=1)
    email: str | None = None
    phone: str | None = None
    ref_id: str | None = None
    attributes: Mapping[str, str] = Field(default_factory=dict)


_PUSHED = {"firstname": "first_name", "lastname": "last_name", "email": "email", "phone": "phone", "ref_id": "ref_id"}
_DRIVER_ID = "Driveri DriverID"


def as_pushed(driver: DriverSeed) -> dict[str, str]:
    """A driver as the Portal pushes it: every field that it has, blank where it is empty."""
    profile = {name: getattr(driver, field) or "" for field, name in _PUSHED.items()}
    driver_id = {"driveri_driver_id": driver.attributes[_DRIVER_ID]} if _DRIVER_ID in driver.attributes else {}
    return {**profile, **driver_id}


class UserSeed(BaseModel):
    """Who may log in; `sees` are the ids of the drivers the user has a right to see; None: all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    username: str = Field(min_length=1)
    app_token: str = Field(min_length=1)
    session_lifetime: int = Field(default=_WEEK, ge=1)
    sees: frozenset[int] | None = None


class AccountSeed(BaseModel):
    """One customer of the Portal. `session_lifetime` of its users is in milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: str = Field(min_length=1)
    users: tuple[UserSeed, ...] = ()
    drivers: tuple[DriverSeed, ...] = ()
    assumptions: Assumptions = ASSUMED
    webhook: WebhookSeed | None = None


class PortalSeed(BaseModel):
    """All accounts of one sandbox."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accounts: tuple[AccountSeed, ...] = ()

    @model_validator(mode="after")
    def _check_accounts(self) -> Self:
        check_unique("account", (each.account for each in self.accounts))
        check_unique("username", (user.username for each in self.accounts for user in each.users))
        check_unique("driver id", (driver.id for each in self.accounts for driver in each.drivers))
        return self


def parsed_seed(document: object) -> PortalSeed:
    """The seed in a JSON document; raises `SeedRefused`."""
    try:
        return PortalSeed.model_validate(document)
    except ValidationError as error:
        raise SeedRefused(first_problem(error)) from None


_LISTED = "listed"
_FIRST_ID = 100_001


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who has logged in. `ends_at` is in milliseconds since the epoch."""

    account: str
    user: UserSeed
    ends_at: int


class PortalState:
    """Several accounts in one place, seeded from a JSON document; raises `SeedRefused` if that is not valid."""

    def __init__(self, document: object, now: Now, first_id: int = 0) -> None:
        self.now = now
        self._ids = Ids(first_id)
        self.journal = Journal("account")
        self._sessions: dict[str, Session] = {}
        self._owners: dict[str, str] = {}
        self.seed(document)

    def seed(self, document: object) -> None:
        """Replace everything but the sessions of users who stay. Raises `SeedRefused`."""
        self._seed = parsed_seed(document)
        self.reset()

    def reset(self) -> None:
        """Go back to what was seeded last, and forget the journal; ids that were given meanwhile never come again."""
        self._accounts = {each.account: each for each in self._seed.accounts}
        self._drivers = {each.account: {driver.id: driver for driver in each.drivers} for each in self._seed.accounts}
        self._pushers = {each.account: Pusher(each.webhook) for each in self._seed.accounts if each.webhook}
        users = {user.username: user for each in self._seed.accounts for user in each.users}
        kept = ((token, session, users.get(session.user.username)) for token, session in self._sessions.items())
        self._sessions = {
            token: Session(account=session.account, user=user, ends_at=session.ends_at)
            for token, session, user in kept
            if user and user.app_token == session.user.app_token
        }
        seeded = (driver.id for each in self._seed.accounts for driver in each.drivers)
        self._ids.leave_out(max(seeded, default=_FIRST_ID - 1))
        self.journal.forget()

    def log_in(self, username: str, app_token: str) -> str | None:
        """The token of a new session; None for a user who is unknown, or names another token."""
        for account in self._accounts.values():
            for user in account.users:
                if (user.username, user.app_token) == (username, app_token):
                    return self._begin(account, user)
        return None

    def session(self, token: str) -> Session | None:
        """The session of this token, while it lasts."""
        session = self._sessions.get(token)
        return session if session and session.ends_at > self.now() else None

    def end(self, token: str) -> None:
        """Forget a session before its time."""
        self._sessions.pop(token, None)

    def owner(self, username: str) -> str | None:
        """The account of this user."""
        accounts = self._accounts.values()
        return next((each.account for each in accounts if any(user.username == username for user in each.users)), None)

    def seen_by(self, session: Session) -> Sequence[DriverSeed]:
        """The drivers the user has a right to see, by id."""
        sees = session.user.sees
        drivers = self._drivers[session.account]
        numbers = sorted(drivers, reverse=self.assumptions(session.account).list_order == "newest_first")
        return [drivers[number] for number in numbers if sees is None or number in sees]

    def assumptions(self, account: str) -> Assumptions:
        """How this account behaves."""
        return self._accounts[account].assumptions

    def assumptions_of_call(self, session: str, username: str) -> Assumptions:
        """How the account behaves that a call is about, by the token of its session, or by who logs in."""
        known = self._sessions.get(session)
        account = known.account if known else self._owners.get(session) or self.owner(username)
        return self.assumptions(account) if account in self._accounts else ASSUMED

    def found(self, session: Session, text: str) -> DriverSeed | None:
        """The driver that a text names: by RefID before id, unless the account behaves otherwise."""
        seen = self.seen_by(session)
        by_ref = next((driver for driver in seen if driver.ref_id == text), None)
        by_id = next((driver for driver in seen if str(driver.id) == text), None)
        match self.assumptions(session.account).driver_named_by:
            case "id_first":
                return by_id or by_ref
            case "id_only":
                return by_id
        return by_ref or by_id

    def put(self, account: str, before: DriverSeed | None, after: DriverSeed) -> Effect:
        """Let an account have this driver in the place of another one, and say what that did."""
        self._drivers[account][after.id] = after
        known = before.model_dump() if before else {}
        changed = tuple(name for name, value in after.model_dump().items() if known.get(name) != value)
        seen = Seen(key=str(after.id), status=_LISTED)
        if changed:
            self._push(account, "driver.changed", after.id, as_pushed(after))
        return Effect(before=seen if before else None, after=seen, created=before is None, changed=changed)

    def remove(self, account: str, driver: DriverSeed) -> Effect:
        """Let an account have this driver no more, and say what that did."""
        del self._drivers[account][driver.id]
        self._push(account, "driver.deleted", driver.id, {})
        return Effect(before=Seen(key=str(driver.id), status=_LISTED))

    def _push(self, account: str, kind: str, driver: int, profile: Mapping[str, str]) -> None:
        """Push a change where the account has a webhook."""
        webhook = self._accounts[account].webhook
        if webhook:
            data = {"driver": str(driver), "profile": profile}
            self._pushers[account].push(
                {"type": kind, "timestamp": iso_time(self.now()), "data": data},
                standard_signature(webhook.secret, self.now),
            )

    def free_id(self) -> int:
        """An id that no driver has or ever had."""
        return next(self._ids)

    def shown(self) -> dict[str, object]:
        """Everything; it can be seeded again as it is."""
        return {
            "accounts": [
                {
                    "account": name,
                    "assumptions": account.assumptions.model_dump(),
                    "webhook": account.webhook.model_dump() if account.webhook else None,
                    "users": [user.model_dump(mode="json") for user in account.users],
                    "drivers": [self._drivers[name][number].model_dump() for number in sorted(self._drivers[name])],
                }
                for name, account in self._accounts.items()
            ]
        }

    def _begin(self, account: AccountSeed, user: UserSeed) -> str:
        token = secrets.token_hex(16)
        if account.assumptions.other_sessions == "ended":
            kept = self._sessions.items()
            self._sessions = {each: session for each, session in kept if session.user.username != user.username}
        self._owners[token] = account.account
        self._sessions[token] = Session(account=account.account, user=user, ends_at=self.now() + user.session_lifetime)
        return token
