"""Credentials in a file that only its owner can read."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import RLock

from adapters.credentials.forms import AccountCredentials, tokens_of, with_stated, with_tokens, without
from domain.identity import Connectable, Target
from domain.ports import CredentialsUnreadable, RenewableTokens


class CredentialsFile:
    """The file, read again whenever it has changed; of any thread, but of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = RLock()
        self._stamp: tuple[int, int, int] | None = None
        self._accounts: dict[str, AccountCredentials] = {}

    def of(self, account: str) -> AccountCredentials:
        """What an account has; nothing where it is not in the file. Raises `CredentialsUnreadable`."""
        with self._turn:
            return self._read().get(account, AccountCredentials())

    def all(self) -> Mapping[str, AccountCredentials]:
        """What every account has. Raises `CredentialsUnreadable`."""
        with self._turn:
            return self._read()

    def keep(self, account: str, target: Connectable, values: Mapping[str, str]) -> None:
        """Store an account's credentials there. Raises `CredentialsUnreadable` when they are not whole."""
        with self._turn:
            self._replace(account, with_stated(self.of(account), target, values))

    def remove(self, account: str, target: Connectable) -> bool:
        """See `CredentialsKeeper.remove`."""
        with self._turn:
            left = without(self.of(account), target)
            if left is not None:
                self._replace(account, left)
            return left is not None

    def tokens(self, account: str, target: Target) -> RenewableTokens | None:
        """See `TokensKeeper.tokens`."""
        return tokens_of(self.of(account), target)

    def replace_tokens(self, account: str, target: Target, spent: str, tokens: RenewableTokens) -> bool:
        """See `TokensKeeper.replace_tokens`."""
        with self._turn:
            changed = with_tokens(self.of(account), target, spent, tokens)
            if changed is not None:
                self._replace(account, changed)
            return changed is not None

    def _replace(self, account: str, credentials: AccountCredentials) -> None:
        try:
            self._write({**self._read(), account: credentials})
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
        _make_last(self._path.parent)


def _make_last(folder: Path) -> None:
    """Let no loss of power bring a former file back: its refresh tokens are spent."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
