"""The credentials of accounts at targets, never in an event: in a file that only its owner can read, or encrypted."""

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Annotated, ClassVar

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from domain.identity import Target
from domain.ports import CredentialsUnreadable
from domain.storing import Row, Store, Unit

_SHORTEST_KEY = 32

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class DriveriCredentials(BaseModel):
    """An API key of one Driveri tenant."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    tenant: _Text
    client_id: _Text
    client_secret: _Text = Field(repr=False)


class MotiveCredentials(BaseModel):
    """The API key of one Motive company."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    api_key: _Text = Field(repr=False)


class AccountCredentials(BaseModel):
    """What one account has, per target."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    driveri: DriveriCredentials | None = None
    motive: MotiveCredentials | None = None


def _with(known: AccountCredentials, target: Target, values: Mapping[str, str]) -> AccountCredentials:
    try:
        return AccountCredentials.model_validate({**known.model_dump(), str(target): dict(values)})
    except ValidationError as wrong:
        missing = ", ".join(str(each["loc"][-1]) for each in wrong.errors())
        raise CredentialsUnreadable(f"credentials for {target} need: {missing}") from None


class CredentialsFile:
    """The file, read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._accounts: dict[str, AccountCredentials] = {}

    def of(self, account: str) -> AccountCredentials:
        """What an account has; nothing where it is not in the file. Raises `CredentialsUnreadable`."""
        return self._read().get(account, AccountCredentials())

    def keep(self, account: str, target: Target, values: Mapping[str, str]) -> None:
        """Store an account's credentials at a target. Raises `CredentialsUnreadable` when they are not whole."""
        accounts = dict(self._read())
        accounts[account] = _with(accounts.get(account, AccountCredentials()), target, values)
        try:
            self._write(accounts)
        except OSError as failure:
            raise CredentialsUnreadable(f"{self._path.name} cannot be written: {failure.strerror}") from None

    def _read(self) -> dict[str, AccountCredentials]:
        try:
            return self._current()
        except FileNotFoundError:
            return {}
        except OSError as failure:
            raise CredentialsUnreadable(f"{self._path.name} cannot be read: {failure.strerror}") from None

    def _current(self) -> dict[str, AccountCredentials]:
        status = self._path.stat()
        if status.st_mode & 0o077:
            raise CredentialsUnreadable(f"{self._path.name} can be read by others; run: chmod 600 {self._path}")
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._accounts = self._parse()
            self._stamp = stamp
        return self._accounts

    def _parse(self) -> dict[str, AccountCredentials]:
        try:
            stored = json.loads(self._path.read_text("utf-8"))
            return {str(name): AccountCredentials.model_validate(each) for name, each in stored.items()}
        except (ValueError, AttributeError):
            raise CredentialsUnreadable(
                f"{self._path.name} is damaged: remove it, and connect the accounts again"
            ) from None

    def _write(self, accounts: dict[str, AccountCredentials]) -> None:
        text = json.dumps({name: each.model_dump(exclude_none=True) for name, each in accounts.items()}, indent=1)
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRow(Row):
    """What an account is connected with, encrypted."""

    TABLE: ClassVar[str] = "credentials"
    KEY: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    encrypted: str


class CredentialsTable:
    """A table of a store, encrypted with a secret key; what was read is good for `keeping` seconds."""

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

    def keep(self, account: str, target: Target, values: Mapping[str, str]) -> None:
        """Store an account's credentials at a target; others that cannot be read any more are dropped.

        Raises `CredentialsUnreadable` when they are not whole.
        """
        cipher = self._cipher()
        try:
            known = self._stored(account)
        except CredentialsUnreadable:
            known = AccountCredentials()
        known = _with(known, target, values)
        encrypted = cipher.encrypt(known.model_dump_json().encode()).decode()
        unit = Unit()
        unit.keep([CredentialsRow(account=account, encrypted=encrypted)])
        self._store.commit(unit)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _cipher(self) -> Fernet:
        if len(self._secret_key) < _SHORTEST_KEY:
            raise CredentialsUnreadable(f"DRIVERLINK_SECRET_KEY needs {_SHORTEST_KEY} characters or more")
        return Fernet(urlsafe_b64encode(sha256(self._secret_key.encode()).digest()))

    def _stored(self, account: str) -> AccountCredentials:
        rows = self._store.select(CredentialsRow, {"account": account})
        if not rows:
            return AccountCredentials()
        cipher = self._cipher()
        try:
            return AccountCredentials.model_validate_json(cipher.decrypt(rows[0].encrypted.encode()))
        except (InvalidToken, ValidationError):
            raise CredentialsUnreadable(
                "the credentials were encrypted with another key: set the DRIVERLINK_SECRET_KEY of then, "
                "or connect the account again"
            ) from None
