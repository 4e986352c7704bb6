"""Credentials in files that only their owner can read, one for each account."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from urllib.parse import quote

from adapters.credentials.forms import AccountCredentials, tokens_of, with_stated, with_tokens, without
from domain.identity import Connectable, Target
from domain.ports import CredentialsUnreadable, RenewableTokens

_Stamp = tuple[int, int, int]


class CredentialsFile:
    """A folder with one file for each account, read again whenever it has changed; of any thread, but of one process.

    So what one account costs does not depend on how many there are. Before there was one file for all of them, with
    the folder's name and `.json`: it is taken apart when it is found.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._of_all = folder.with_suffix(".json")
        self._turn = RLock()
        self._known: dict[Path, tuple[_Stamp, dict[str, AccountCredentials]]] = {}

    def of(self, account: str) -> AccountCredentials:
        """What an account has; nothing where it has no file. Raises `CredentialsUnreadable`."""
        with self._turn:
            self._look()
            return self._read(self._path(account)).get(account, AccountCredentials())

    def all(self) -> Mapping[str, AccountCredentials]:
        """What every account has whose file can be read. Raises `CredentialsUnreadable` when nobody's can be."""
        with self._turn:
            self._look()
            found: dict[str, AccountCredentials] = {}
            unreadable: list[CredentialsUnreadable] = []
            for path in self._files():
                try:
                    found |= self._read(path)
                except CredentialsUnreadable as failure:
                    unreadable.append(failure)
            if unreadable and not found:
                raise unreadable[0]
            return found

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

    def _path(self, account: str) -> Path:
        """An account's file: the same in any letter case, as accounts are."""
        return self._folder / f"{quote(account.lower(), safe='')}.json"

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return []
        except OSError as failure:
            raise self._cannot(self._folder, "read", failure) from None

    def _look(self) -> None:
        """See that the folder is for its owner alone, and take the file of former days apart. Raises as `of` does."""
        with suppress(FileNotFoundError):
            if self._folder.stat().st_mode & 0o077:
                raise CredentialsUnreadable(f"{self._folder.name} can be read by others; run: chmod 700 {self._folder}")
        for account, credentials in self._read(self._of_all).items():
            if not self._path(account).exists():
                self._replace(account, credentials)
        self._of_all.unlink(missing_ok=True)

    def _replace(self, account: str, credentials: AccountCredentials) -> None:
        path = self._path(account)
        try:
            if not self._folder.exists():
                self._folder.mkdir(mode=0o700)
                _make_last(self._folder.parent)
            _write(path, {account: credentials})
        except OSError as failure:
            raise self._cannot(path, "written", failure) from None

    def _read(self, path: Path) -> dict[str, AccountCredentials]:
        """What is in a file, by the names of accounts."""
        try:
            return self._current(path)
        except FileNotFoundError:
            self._known.pop(path, None)
            return {}
        except OSError as failure:
            raise self._cannot(path, "read", failure) from None

    def _current(self, path: Path) -> dict[str, AccountCredentials]:
        status = path.stat()
        if status.st_mode & 0o077:
            raise CredentialsUnreadable(f"{self._name(path)} can be read by others; run: chmod 600 {path}")
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = self._known[path] = stamp, self._parse(path)
        return known[1]

    def _parse(self, path: Path) -> dict[str, AccountCredentials]:
        try:
            stored = json.loads(path.read_text("utf-8"))
            return {str(name): AccountCredentials.model_validate(each) for name, each in stored.items()}
        except (ValueError, AttributeError, RecursionError):
            whose = "the accounts" if path == self._of_all else "the account"
            raise CredentialsUnreadable(
                f"{self._name(path)} is damaged: remove it, and connect {whose} again"
            ) from None

    def _cannot(self, path: Path, what: str, failure: OSError) -> CredentialsUnreadable:
        return CredentialsUnreadable(f"{self._name(path)} cannot be {what}: {failure.strerror}")

    def _name(self, path: Path) -> str:
        """As people find it in the data folder."""
        return str(path.relative_to(self._folder.parent))


def _write(path: Path, accounts: Mapping[str, AccountCredentials]) -> None:
    text = json.dumps({name: each.model_dump(exclude_none=True) for name, each in accounts.items()}, indent=1)
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _make_last(path.parent)


def _make_last(folder: Path) -> None:
    """Let no loss of power bring a former file back: its refresh tokens are spent."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
