"""Credentials in a table of a store, encrypted."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import ClassVar

from cryptography.fernet import Fernet, InvalidToken
from pydantic import ValidationError

from adapters.credentials.forms import AccountCredentials, tokens_of, with_stated, with_tokens, without
from domain.identity import Connectable, Target
from domain.ports import CredentialsUnreadable, RenewableTokens
from domain.storing import Position, Row, Store, Unit

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

        Raises `CredentialsUnreadable` when nobody's can be, and `StoreFailed`.
        """
        rows = self._store.select(CredentialsRow)
        found = {row.account: readable for row in rows if (readable := self._if_readable(row))}
        if rows and not found:
            self._decrypted(rows[0])
        return found

    def keep(self, account: str, target: Connectable, values: Mapping[str, str]) -> None:
        """Store an account's credentials there; others that cannot be read any more are dropped.

        Raises `CredentialsUnreadable` when they are not whole.
        """
        self._cipher()
        self._change(account, lambda: with_stated(self._readable(account), target, values))

    def remove(self, account: str, target: Connectable) -> bool:
        """See `CredentialsKeeper.remove`."""
        return self._change(account, lambda: without(self._stored(account), target))

    def tokens(self, account: str, target: Target) -> RenewableTokens | None:
        """See `TokensKeeper.tokens`."""
        return tokens_of(self._stored(account), target)

    def replace_tokens(self, account: str, target: Target, spent: str, tokens: RenewableTokens) -> bool:
        """See `TokensKeeper.replace_tokens`."""
        return self._change(account, lambda: with_tokens(self._stored(account), target, spent, tokens))

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _change(self, account: str, changed: Callable[[], AccountCredentials | None]) -> bool:
        """Store what an account has then; False, with nothing stored, if that is None."""
        is_stored = False
        while not is_stored:
            position = Position(name=f"{CredentialsRow.TABLE}/{account}", at=self._next(account))
            credentials = changed()
            if credentials is None:
                return False
            unit = Unit(positions=[position])
            unit.keep([CredentialsRow(account=account, encrypted=self._encrypted(credentials))])
            is_stored = self._store.commit(unit)
        self._read.pop(account, None)
        return True

    def _next(self, account: str) -> int:
        return self._store.position(f"{CredentialsRow.TABLE}/{account}") + 1

    def _readable(self, account: str) -> AccountCredentials:
        try:
            return self._stored(account)
        except CredentialsUnreadable:
            return AccountCredentials()

    def _stored(self, account: str) -> AccountCredentials:
        rows = self._store.select(CredentialsRow, {"account": account})
        return self._decrypted(rows[0]) if rows else AccountCredentials()

    def _if_readable(self, row: CredentialsRow) -> AccountCredentials | None:
        try:
            return self._decrypted(row)
        except CredentialsUnreadable:
            return None

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
