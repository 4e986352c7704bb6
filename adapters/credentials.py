"""The credentials of accounts: their stored form, and where they are kept.

Embedded, each account has a file that only its owner can read; distributed, an encrypted row in a table.
"""

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import Annotated, ClassVar, Final, get_args
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, ValidationError

from domain.identity import PORTAL, Connectable, PushSender, Target
from domain.ports import CredentialsUnreadable, RenewableTokens, SigningSecrets
from domain.store import Position, Row, Store, Unit

_SENDERS: Final[tuple[str, ...]] = get_args(PushSender)

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _CredentialsForm(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class PortalCredentials(_CredentialsForm):
    """A user of the Portal, and the token of the API app by which the user is logged in."""

    username: _Text
    app_token: _Text = Field(repr=False)


class DriveriCredentials(_CredentialsForm):
    """An API key of one Driveri tenant."""

    tenant: _Text
    client_id: _Text
    client_secret: _Text = Field(repr=False)


class MotiveCredentials(_CredentialsForm):
    """The API key of one Motive company."""

    api_key: _Text = Field(repr=False)


class StoredTokens(_CredentialsForm):
    """See `RenewableTokens`."""

    refresh_token: _Text = Field(repr=False)
    access_token: str = Field(repr=False)
    expires_at: float


class MotiveGrantCredentials(_CredentialsForm):
    """What a Motive company granted to an OAuth application, as a person stated it, and its newest tokens."""

    client_id: _Text
    client_secret: _Text = Field(repr=False)
    refresh_token: _Text = Field(repr=False)
    renewed: StoredTokens | None = None

    def tokens(self) -> RenewableTokens:
        """The newest ones: until the first renewal, just the refresh token that was stated."""
        if self.renewed is None:
            return RenewableTokens(refresh_token=self.refresh_token)
        return RenewableTokens(**self.renewed.model_dump())


def _kind(stated: object) -> str:
    if isinstance(stated, BaseModel):
        return "grant" if isinstance(stated, MotiveGrantCredentials) else "key"
    is_grant = isinstance(stated, Mapping) and "api_key" not in stated and "refresh_token" in stated
    return "grant" if is_grant else "key"


_Motive = Annotated[
    Annotated[MotiveCredentials, Tag("key")] | Annotated[MotiveGrantCredentials, Tag("grant")], Discriminator(_kind)
]


class StoredSigningSecrets(_CredentialsForm):
    """See `SigningSecrets`."""

    secret: _Text = Field(repr=False)
    since: float
    former: str = Field(default="", repr=False)
    former_until: float = 0.0
    earlier: str = Field(default="", repr=False)
    earlier_until: float = 0.0


class AccountCredentials(_CredentialsForm):
    """What one account has, at the Portal and per target, and the secrets by which others sign what they push to us.

    `endpoints` are those by which we sign what we send, by the id of the endpoint that it goes to.
    """

    portal: PortalCredentials | None = None
    driveri: DriveriCredentials | None = None
    motive: _Motive | None = None
    portal_webhook: StoredSigningSecrets | None = None
    motive_webhook: StoredSigningSecrets | None = None
    endpoints: Mapping[str, StoredSigningSecrets] = Field(default_factory=dict)


def with_stated(known: AccountCredentials, target: Connectable, values: Mapping[str, str]) -> AccountCredentials:
    """What an account has once a person has stated these values; stating the same again changes nothing.

    Raises `CredentialsUnreadable` when they are not whole.
    """
    try:
        stated = AccountCredentials.model_validate({**known.model_dump(), str(target): dict(values)})
    except ValidationError as wrong:
        missing = ", ".join(str(each["loc"][-1]) for each in wrong.errors())
        raise CredentialsUnreadable(f"credentials for {target} need: {missing}") from None
    return known if _as_stated(known) == _as_stated(stated) else stated


def without(known: AccountCredentials, target: Connectable) -> AccountCredentials | None:
    """What an account has once it is not connected there any more; None if it is not anyway."""
    is_connected = getattr(known, str(target)) is not None
    return known.model_copy(update={str(target): None}) if is_connected else None


def connected_at(known: AccountCredentials) -> frozenset[str]:
    """Where an account has credentials."""
    return frozenset(place for place in (PORTAL, *map(str, Target)) if getattr(known, place) is not None)


def _as_stated(known: AccountCredentials) -> AccountCredentials:
    if not isinstance(known.motive, MotiveGrantCredentials):
        return known
    return known.model_copy(update={"motive": known.motive.model_copy(update={"renewed": None})})


def tokens_of(known: AccountCredentials, target: Target) -> RenewableTokens | None:
    """The newest tokens that an account has at a target; None where it is connected by nothing that is renewed."""
    grant = known.motive if target is Target.MOTIVE else None
    return grant.tokens() if isinstance(grant, MotiveGrantCredentials) else None


def with_tokens(
    known: AccountCredentials, target: Target, spent: str, tokens: RenewableTokens
) -> AccountCredentials | None:
    """What an account has once a spent refresh token is replaced; None if that is not its newest one.

    What is stored already stays: a caller that lost the answer of a store repeats it.
    """
    newest = tokens_of(known, target)
    if newest == tokens:
        return known
    if newest is None or newest.refresh_token != spent:
        return None
    return AccountCredentials.model_validate(
        {**known.model_dump(), str(target): {**known.model_dump()[str(target)], "renewed": asdict(tokens)}}
    )


def signing_secrets_of(known: AccountCredentials, sender: str) -> SigningSecrets | None:
    """By which secrets this sender signs, or we sign to this endpoint."""
    stored: StoredSigningSecrets | None
    stored = getattr(known, f"{sender}_webhook") if sender in _SENDERS else known.endpoints.get(sender)
    return SigningSecrets(**stored.model_dump()) if stored else None


def with_signing_secrets(known: AccountCredentials, sender: str, secrets: SigningSecrets | None) -> AccountCredentials:
    """What an account has once this is signed by other secrets, or by none."""
    stored = StoredSigningSecrets.model_validate(asdict(secrets)) if secrets else None
    if sender in _SENDERS:
        return known.model_copy(update={f"{sender}_webhook": stored})
    others = {name: each for name, each in known.endpoints.items() if name != sender}
    return known.model_copy(update={"endpoints": others | ({sender: stored} if stored else {})})


_Stamp = tuple[int, int, int]


class CredentialsFile:
    """A folder with one file for each account, read again whenever it has changed; of any thread, but of one process.

    So what one account costs does not depend on how many there are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = RLock()
        self._known: dict[Path, tuple[_Stamp, dict[str, AccountCredentials]]] = {}

    def of(self, account: str) -> AccountCredentials:
        """What an account has; nothing where it has no file. Raises `CredentialsUnreadable`."""
        with self._lock:
            self._check_folder()
            return self._read(self._path(account)).get(account, AccountCredentials())

    def all(self) -> Mapping[str, AccountCredentials]:
        """What every account has whose file can be read. Raises `CredentialsUnreadable` when none of them can be."""
        with self._lock:
            self._check_folder()
            found: dict[str, AccountCredentials] = {}
            unreadable: list[CredentialsUnreadable] = []
            try:
                paths = sorted(path for path in self._folder.iterdir() if path.suffix == ".json")
            except FileNotFoundError:
                return found
            except OSError as failure:
                raise self._cannot(self._folder, "read", failure) from None
            for path in paths:
                try:
                    found |= self._read(path)
                except CredentialsUnreadable as failure:
                    unreadable.append(failure)
            if unreadable and not found:
                raise unreadable[0]
            return found

    def keep(self, account: str, target: Connectable, values: Mapping[str, str]) -> None:
        """Store an account's credentials there. Raises `CredentialsUnreadable` when they are not whole."""
        with self._lock:
            self._replace(account, with_stated(self.of(account), target, values))

    def remove(self, account: str, target: Connectable) -> bool:
        """See `CredentialsKeeper.remove`."""
        with self._lock:
            left = without(self.of(account), target)
            if left is not None:
                self._replace(account, left)
            return left is not None

    def tokens(self, account: str, target: Target) -> RenewableTokens | None:
        """See `TokensKeeper.tokens`."""
        return tokens_of(self.of(account), target)

    def replace_tokens(self, account: str, target: Target, spent: str, tokens: RenewableTokens) -> bool:
        """See `TokensKeeper.replace_tokens`."""
        with self._lock:
            changed = with_tokens(self.of(account), target, spent, tokens)
            if changed is not None:
                self._replace(account, changed)
            return changed is not None

    def connected(self, account: str) -> frozenset[str]:
        """See `CredentialsKeeper.connected`."""
        return connected_at(self.of(account))

    def signing_secrets(self, account: str, sender: str) -> SigningSecrets | None:
        """See `CredentialsKeeper.signing_secrets`."""
        return signing_secrets_of(self.of(account), sender)

    def keep_signing_secrets(self, account: str, sender: str, secrets: SigningSecrets | None) -> None:
        """See `CredentialsKeeper.keep_signing_secrets`."""
        with self._lock:
            self._replace(account, with_signing_secrets(self.of(account), sender, secrets))

    def forget(self, account: str) -> None:
        """See `CredentialsKeeper.forget`."""
        path = self._path(account)
        with self._lock:
            try:
                for each in (path.with_suffix(".new"), path):
                    each.unlink(missing_ok=True)
            except OSError as failure:
                raise self._cannot(path, "removed", failure) from None
            self._known.pop(path, None)

    def _path(self, account: str) -> Path:
        """An account's file: the same in any letter case, as accounts are."""
        return self._folder / f"{quote(account.lower(), safe='')}.json"

    def _check_folder(self) -> None:
        with suppress(FileNotFoundError):
            if self._folder.stat().st_mode & 0o077:
                raise CredentialsUnreadable(f"{self._folder.name} can be read by others; run: chmod 700 {self._folder}")

    def _replace(self, account: str, credentials: AccountCredentials) -> None:
        path = self._path(account)
        beside = path.with_suffix(".new")
        try:
            if not self._folder.exists():
                self._folder.mkdir(mode=0o700)
                _make_last(self._folder.parent)
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps({account: credentials.model_dump(exclude_none=True)}, indent=1))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _make_last(self._folder)
        except OSError as failure:
            raise self._cannot(path, "written", failure) from None

    def _read(self, path: Path) -> dict[str, AccountCredentials]:
        """What is in a file, by the names of accounts."""
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._known.get(path)
            if status.st_mode & 0o077 == 0 and (known is None or known[0] != stamp):
                stored = json.loads(path.read_text("utf-8"))
                found = {str(name): AccountCredentials.model_validate(each) for name, each in stored.items()}
                known = self._known[path] = stamp, found
        except FileNotFoundError:
            self._known.pop(path, None)
            return {}
        except OSError as failure:
            raise self._cannot(path, "read", failure) from None
        except (ValueError, AttributeError, RecursionError):
            raise CredentialsUnreadable(
                f"{self._name(path)} is damaged: remove it, and connect the account again"
            ) from None
        if known is None or status.st_mode & 0o077:
            raise CredentialsUnreadable(f"{self._name(path)} can be read by others; run: chmod 600 {path}")
        return known[1]

    def _cannot(self, path: Path, what: str, failure: OSError) -> CredentialsUnreadable:
        return CredentialsUnreadable(f"{self._name(path)} cannot be {what}: {failure.strerror}")

    def _name(self, path: Path) -> str:
        """As people find it in the data folder."""
        return str(path.relative_to(self._folder.parent))


def _make_last(folder: Path) -> None:
    """Let no loss of power bring a former file back: its refresh tokens are spent."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_SHORTEST_KEY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRow(Row):
    """What an account is connected with, encrypted."""

    TABLE: ClassVar[str] = "credentials"
    KEY: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    encrypted: str


class CredentialsTable:
    """A table of a store, encrypted with a secret key; what was read is good for `keeping` seconds.

    Each change of an account takes the next position of its own, so that of two processes that have read the same,
    one changes it, and the other reads again.
    """

    def __init__(self, store: Store, secret_key: str, *, keeping: float = 5.0) -> None:
        self._store = store
        self._secret_key = secret_key
        self._keeping = keeping
        self._read: dict[str, tuple[float, AccountCredentials]] = {}

    def of(self, account: str) -> AccountCredentials:
        """What an account has; nothing where it has no row. Raises `CredentialsUnreadable` and `StoreFailed`."""
        at, known = self._read.get(account, (-self._keeping, AccountCredentials()))
        if monotonic() - at < self._keeping:
            return known
        known = self._stored(account)
        self._read[account] = (monotonic(), known)
        return known

    def all(self) -> Mapping[str, AccountCredentials]:
        """What every account has whose credentials can be read.

        Raises `CredentialsUnreadable` when none of them can be, and `StoreFailed`.
        """
        found: dict[str, AccountCredentials] = {}
        unreadable: list[CredentialsUnreadable] = []
        for row in self._store.select(CredentialsRow):
            try:
                found[row.account] = self._decrypted(row)
            except CredentialsUnreadable as failure:
                unreadable.append(failure)
        if unreadable and not found:
            raise unreadable[0]
        return found

    def keep(self, account: str, target: Connectable, values: Mapping[str, str]) -> None:
        """Store an account's credentials there; others that cannot be read any more are dropped.

        Raises `CredentialsUnreadable` when they are not whole.
        """
        self._cipher()

        def stated() -> AccountCredentials:
            try:
                known = self._stored(account)
            except CredentialsUnreadable:
                known = AccountCredentials()
            return with_stated(known, target, values)

        self._change(account, stated)

    def remove(self, account: str, target: Connectable) -> bool:
        """See `CredentialsKeeper.remove`."""
        return self._change(account, lambda: without(self._stored(account), target))

    def tokens(self, account: str, target: Target) -> RenewableTokens | None:
        """See `TokensKeeper.tokens`."""
        return tokens_of(self._stored(account), target)

    def replace_tokens(self, account: str, target: Target, spent: str, tokens: RenewableTokens) -> bool:
        """See `TokensKeeper.replace_tokens`."""
        return self._change(account, lambda: with_tokens(self._stored(account), target, spent, tokens))

    def connected(self, account: str) -> frozenset[str]:
        """See `CredentialsKeeper.connected`."""
        return connected_at(self._stored(account))

    def signing_secrets(self, account: str, sender: str) -> SigningSecrets | None:
        """See `CredentialsKeeper.signing_secrets`."""
        return signing_secrets_of(self._stored(account), sender)

    def keep_signing_secrets(self, account: str, sender: str, secrets: SigningSecrets | None) -> None:
        """See `CredentialsKeeper.keep_signing_secrets`."""
        self._change(account, lambda: with_signing_secrets(self._stored(account), sender, secrets))

    def forget(self, account: str) -> None:
        """See `CredentialsKeeper.forget`."""
        is_stored = False
        while not is_stored:
            unit = Unit(positions=[self._next(account)])
            unit.remove(CredentialsRow, {"account": account})
            is_stored = self._store.commit(unit)
        self._read.pop(account, None)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _change(self, account: str, changed: Callable[[], AccountCredentials | None]) -> bool:
        """Store what an account has then; False, with nothing stored, if that is None."""
        is_stored = False
        while not is_stored:
            position = self._next(account)
            credentials = changed()
            if credentials is None:
                return False
            unit = Unit(positions=[position])
            unit.keep([CredentialsRow(account=account, encrypted=self._encrypted(credentials))])
            is_stored = self._store.commit(unit)
        self._read.pop(account, None)
        return True

    def _next(self, account: str) -> Position:
        name = f"{CredentialsRow.TABLE}/{account}"
        return Position(name=name, at=self._store.position(name) + 1)

    def _stored(self, account: str) -> AccountCredentials:
        rows = self._store.select(CredentialsRow, {"account": account})
        return self._decrypted(rows[0]) if rows else AccountCredentials()

    def _decrypted(self, row: CredentialsRow) -> AccountCredentials:
        cipher = self._cipher()
        try:
            return AccountCredentials.model_validate_json(cipher.decrypt(row.encrypted.encode()))
        except (InvalidToken, ValidationError):
            raise CredentialsUnreadable(
                "the credentials were encrypted with another key: set the DRIVERLINK_SECRET_KEY of then, "
                "or connect the account again"
            ) from None

    def _encrypted(self, credentials: AccountCredentials) -> str:
        return self._cipher().encrypt(credentials.model_dump_json().encode()).decode()

    def _cipher(self) -> Fernet:
        if not self._secret_key:
            raise CredentialsUnreadable("neither DRIVERLINK_SECRET_KEY nor DRIVERLINK_SECRET_KEY_FILE is set: set one")
        if len(self._secret_key) < _SHORTEST_KEY:
            raise CredentialsUnreadable(f"DRIVERLINK_SECRET_KEY needs {_SHORTEST_KEY} characters or more")
        return Fernet(urlsafe_b64encode(sha256(self._secret_key.encode()).digest()))
