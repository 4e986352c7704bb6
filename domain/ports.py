"""The roles that the outside plays for the services; adapters implement them."""

from collections.abc import AsyncGenerator, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from domain.failures import Rejected, Unavailable
from domain.identity import Connectable, Key, PortalDriverId, Target
from domain.matching import ObservedDriver, UnreadableRecords
from domain.profile import DataSubject, Profile, StatedProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The target now shows what was desired.

    `is_shown` is false where the answer did not show the driver: `seen` is then what the write makes true, in our form.
    """

    seen: ObservedDriver
    is_shown: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exists:
    """The target has a driver with the desired key already. Nothing was written."""

    seen: ObservedDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The target does not know the driver that the call was about. Nothing was written."""

    key: Key


Answer = Done | Exists | Missing | Rejected | Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to a target and its answer, without anything about anybody.

    `route` is the path with names in place of ids. `status` is 0 where there was no answer, and `code` the vendor's own
    word for an error, where it has one.
    """

    method: str
    route: str
    status: int
    code: str
    milliseconds: int

    def to_json(self) -> dict[str, Any]:
        """What is stored."""
        return {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "code": self.code,
            "milliseconds": self.milliseconds,
        }


MOST_EXCHANGES: Final = 50
"""Exchanges that are kept of one attempt."""

_exchanges: ContextVar[list[Exchange] | None] = ContextVar("exchanges", default=None)


@contextmanager
def noted_exchanges() -> Iterator[list[Exchange]]:
    """What is exchanged with a target while this lasts, in order, by the task in which it lasts."""
    found: list[Exchange] = []
    token = _exchanges.set(found)
    try:
        yield found
    finally:
        _exchanges.reset(token)


def note_exchange(exchange: Exchange) -> None:
    """Note an exchange, where somebody wants to know of it."""
    if (found := _exchanges.get()) is not None and len(found) < MOST_EXCHANGES:
        found.append(exchange)


class TargetDrivers(Protocol):
    """The drivers of one account on one target. Calls answer with values; only reading the roster raises.

    Every call states the whole desired state and may be repeated. A short blip (429, 5xx, a connection that fails
    before anything was sent) is retried at once a few times; what is left is `Unavailable`.
    """

    def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:
        """The whole roster page by page, deleted and deactivated ones included.

        Records that cannot be read, or only in part, are added to `unreadable`.
        Raises `TargetFailed` when a page cannot be read.
        """
        ...

    async def find(self, key: Key | None, profile: Profile) -> ObservedDriver | None:
        """The driver of this key or, without a key, the one that a create with this profile would have made.

        None if there is none.
        Raises `TargetFailed` when the target cannot say.
        """
        ...

    async def gone(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Which of these, which a scan that has just ended did not show, are really not there.

        All of them, where a scan cannot leave anybody out; otherwise each is looked up.
        Raises `TargetFailed` when the target cannot say.
        """
        ...

    async def create(self, key: Key | None, profile: Profile) -> Answer:
        """Make a new driver: `Done`, or `Exists` when the key (or our own external id) is taken."""
        ...

    async def update(self, key: Key, profile: Profile, fields: Sequence[str]) -> Answer:
        """Bring the named fields of this driver to the profile; without fields only look that it is there."""
        ...

    async def rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:
        """Give the driver with this key the desired key and the profile; `Exists` is about the desired key."""
        ...

    async def delete(self, key: Key) -> Answer:
        """Delete (Driveri) or deactivate (Motive); `Done` as well if it is so already."""
        ...

    async def reinstate(self, key: Key, profile: Profile) -> Answer:
        """Bring a deleted or deactivated driver back, with this profile."""
        ...

    async def probe(self) -> None:
        """Make the cheapest call that the target answers only to this account.

        Raises `TargetFailed` when it cannot be answered.
        """
        ...

    def slots(self) -> int:
        """How many calls may be under way now without one having to wait, those under way included.

        0 while the target accepts no calls.
        """
        ...

    def free_in(self, calls: int) -> float:
        """Seconds until this many calls may be under way, if none of them ends first; infinite where one has to."""
        ...

    def close(self) -> Coroutine[Any, Any, None]:
        """Let go of connections and tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalLine:
    """A driver as one line of a list states it; `line` is its number, 0 where lines are not numbered.

    `flaw` says why it cannot be stored, without quoting it; empty if it can.
    """

    driver: PortalDriverId
    profile: StatedProfile
    line: int = 0
    flaw: str = ""


NO_ID: Final = PortalDriverId("")
"""The driver of a line without an id.

In an export the driver is then known by the RefID; in the Portal's own list it may be any, so that no driver counts as
missing in it.
"""


class PortalList(Protocol):
    """The Portal's whole list of an account's drivers, as far as the login sees them."""

    def __len__(self) -> int:
        """How many lines it has."""
        ...

    def pages(self) -> Iterator[Sequence[PortalLine]]:
        """The lines, some at a time. Raises `TargetFailed` when many of them have no id."""
        ...


class PortalDrivers(Protocol):
    """The drivers of one account in the Portal. A driver that is not in the list may be hidden from the login."""

    @property
    def login(self) -> str:
        """By whose rights the Portal is read, as a digest."""
        ...

    @property
    def has_attributes(self) -> bool:
        """Whether there is more to be read of a driver than the list has."""
        ...

    async def list_all(self) -> PortalList:
        """The whole list. Raises `TargetFailed`."""
        ...

    async def with_attributes(self, lines: Sequence[PortalLine]) -> Sequence[PortalLine]:
        """The same lines with what the attributes of their drivers state. Raises `TargetFailed`."""
        ...

    def close(self) -> Coroutine[Any, Any, None]:
        """Let go of the connections."""
        ...


class CredentialsUnreadable(Exception):
    """Credentials are there but cannot be used; the message says why, without quoting them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecrets:
    """By which secrets something is signed for an account: the newest, and two before it until a moment each.

    The second of these is there because the answer with a new secret may be lost: a person who asks for another one
    still uses the one before both. Moments are in seconds since the epoch.
    """

    secret: str = field(repr=False)
    since: float
    former: str = field(default="", repr=False)
    former_until: float = 0.0
    earlier: str = field(default="", repr=False)
    earlier_until: float = 0.0

    def valid(self, now: float) -> tuple[str, ...]:
        """The secrets that are good now."""
        former = (self.former, self.former_until), (self.earlier, self.earlier_until)
        return (self.secret, *(secret for secret, until in former if secret and now < until))

    def rotated(self, secret: str, now: float, until: float) -> "SigningSecrets | None":
        """With a new secret, while those that are good now stay so, this one `until` then; None: there are too many."""
        if self.earlier and now < self.earlier_until:
            return None
        is_good = bool(self.former) and now < self.former_until
        return SigningSecrets(
            secret=secret,
            since=now,
            former=self.secret,
            former_until=until,
            earlier=self.former if is_good else "",
            earlier_until=self.former_until if is_good else 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAnswer:
    """What a receiver answered to a message: a status, or 0 and in `detail` why there is none.

    `retry_after` are the seconds that it asks to be spared for; 0 if it does not.
    """

    status: int = 0
    detail: str = ""
    seconds: float = 0.0
    retry_after: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the receiver has it now."""
        return 200 <= self.status < 300


class WebhookReceivers(Protocol):
    """Those who receive webhooks, wherever they are."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Send one message; a redirect is not followed, and of the answer only the status counts."""
        ...


class CredentialsKeeper(Protocol):
    """Where an account's credentials at the Portal and at targets are kept, apart from every store."""

    def keep(self, account: str, target: Connectable, values: Mapping[str, str]) -> None:
        """Store an account's credentials there. Raises `CredentialsUnreadable` when they are not whole."""
        ...

    def remove(self, account: str, target: Connectable) -> bool:
        """Keep an account's credentials there no longer; False if there are none. Raises `CredentialsUnreadable`."""
        ...

    def connected(self, account: str) -> frozenset[str]:
        """Where an account has credentials, as they are stored now. Raises `CredentialsUnreadable`, `StoreFailed`."""
        ...

    def signing_secrets(self, account: str, sender: str) -> SigningSecrets | None:
        """By which secrets this sender of pushes signs, or we sign to this endpoint, as stored; None if there are none.

        Raises `CredentialsUnreadable` and `StoreFailed`.
        """
        ...

    def keep_signing_secrets(self, account: str, sender: str, secrets: SigningSecrets | None) -> None:
        """Store by which secrets this sender signs, or we sign to this endpoint, from now on; None: by none.

        Raises `CredentialsUnreadable`.
        """
        ...

    def forget(self, account: str) -> None:
        """Keep nothing of an account any longer, even what cannot be read. Raises `CredentialsUnreadable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewableTokens:
    """An access token, good until `expires_at` (in seconds since the epoch), and what the next one can be had for.

    The refresh token is good for one use. Without an access token there is none yet.
    """

    refresh_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    expires_at: float = 0.0


class TokensKeeper(Protocol):
    """Where the tokens that an account is connected by are kept, so that they outlive the process that got them."""

    def tokens(self, account: str, target: Target) -> RenewableTokens | None:
        """The newest ones, as they are stored now; None where the account is connected by nothing that is renewed.

        Raises `CredentialsUnreadable` and `StoreFailed`.
        """
        ...

    def replace_tokens(self, account: str, target: Target, spent: str, tokens: RenewableTokens) -> bool:
        """Store what came for a spent refresh token; False, with nothing stored, if it is not the newest any more.

        Raises `CredentialsUnreadable` and `StoreFailed`.
        """
        ...


class ProfileCipher(Protocol):
    """The key of one data subject, by which their profile is sealed: AES-GCM with 256 bits."""

    @property
    def id(self) -> str:
        """The id of the key, as it stands beside what is sealed."""
        ...

    @property
    def secret(self) -> bytes:
        """The key."""
        ...

    def seal(self, text: bytes, place: str) -> str:
        """A text sealed for this place, as base64: nonce and ciphertext."""
        ...

    def open(self, sealed: str, place: str) -> bytes:
        """The text; raises `ValueError` where it was sealed by another key, for another place, or was altered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyUse:
    """How many keys are wrapped by one master key.

    `is_known` is false where that master key is not at hand, so that nothing can be read that they seal.
    """

    master: str
    keys: int
    is_current: bool
    is_known: bool


class ProfileSealer(Protocol):
    """Opens and seals the profile in the bytes of one event, for people who look at these bytes and mend them."""

    def opened(self, id: str, body: bytes) -> bytes:  # noqa: A002 - the record's word
        """The same with the profile as it is read; as it was where none is sealed, or none can be read.

        Raises `StoreFailed`.
        """
        ...

    def sealed(self, id: str, topic: str, body: bytes) -> bytes:  # noqa: A002 - as above
        """The same with the profile sealed; as it was where there is none that is plain. Raises `StoreFailed`."""
        ...


class ProfileKeys(Protocol):
    """The keys by which profiles are sealed, one for each data subject, and each wrapped by a master key.

    Every call raises `StoreFailed`, also where a key is wrapped by a master key that is not at hand.
    """

    def sealing(self, subjects: Mapping[DataSubject, bool]) -> Mapping[DataSubject, ProfileCipher | None]:
        """The key of each of these, made and stored where there is none; None where the subject is erased.

        True beside a subject that is erased: they are stated again, so a key of the next generation is made.
        """
        ...

    def opening(self, ids: Collection[str], account: str | None = None) -> Mapping[str, ProfileCipher | None]:
        """The keys of these ids: None for one that is destroyed, and nothing for one that never was.

        With an account only those that it has.
        """
        ...

    def destroy(self, subjects: Collection[DataSubject]) -> int:
        """Destroy all keys of these for good, and make none for them until they are stated again; how many there were.

        What another process remembers of them it forgets within a second or two.
        """
        ...

    def destroy_all(self, account: str) -> int:
        """Destroy all keys of an account for good, and forget whose they were; how many there were."""
        ...

    def masters(self) -> Sequence[MasterKeyUse]:
        """How many keys each master key wraps, the current one first."""
        ...

    def rotate(self, limit: int) -> int:
        """Wrap up to this many keys by the current master key; how many are left that another one wraps.

        Where none are left, and a master key can be made here, the former ones are removed for good.
        """
        ...

    def renew_master(self) -> bool:
        """Make another master key the current one, where the former one wraps everything; False where that is set up.

        After that `rotate` has to be called until nothing is left.
        """
        ...

    def close(self) -> None:
        """Let go of the file or the connections."""
        ...
