"""The data folder of the embedded deployment, which one process owns at a time."""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from domain.failures import ClearFailure
from domain.identity import Target

STORES = ("accounts", "intake", "decider", *(f"projector-{target}" for target in Target))
"""The services whose stores are the SQLite files of a data folder."""

_LONGEST_SOCKET_PATH = 100
"""Bytes that a local socket's path may have; systems allow little more."""


class FolderUnusable(ClearFailure):
    """The data folder cannot be used; the message says what to do."""


class FolderOwned(FolderUnusable):
    """Another process owns the data folder."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(f"{folder} is in use by another driverlink process ({owner}): stop that one first")


class DataFolder:
    """A folder that is owned while it is open: `with DataFolder(path): ...`. Raises `FolderUnusable`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def socket(self) -> Path:
        """Where the owner listens for other commands."""
        return self.path / "control.sock"

    def file(self, name: str) -> Path:
        """The file of one of `STORES`."""
        return self.path / f"{name}.sqlite"

    def check_whole(self) -> None:
        """Raise `FolderUnusable` where this is no data folder that is complete, rather than make one by a slip.

        A folder that another process owns passes: that process may be making it.
        """
        if not self._is_there():
            raise FolderUnusable(
                f"there is no data folder {self.path}: name another with --data, "
                "or make it by `driverlink accounts add` or `driverlink up`"
            )
        missing = [name for name in STORES if not self.file(name).is_file()]
        if missing and not self._is_owned():
            raise FolderUnusable(self._said_of(missing))

    def _is_there(self) -> bool:
        """Whether it is a folder that can be looked into. Raises `FolderUnusable` where there is something else."""
        try:
            next(self.path.iterdir(), None)
        except (FileNotFoundError, ValueError):
            return False
        except NotADirectoryError:
            raise FolderUnusable(f"the data folder {self.path} cannot be used: it is no folder") from None
        except OSError as failure:
            raise FolderUnusable(f"the data folder {self.path} cannot be used: {failure.strerror}") from None
        return True

    def _is_owned(self) -> bool:
        try:
            lock = os.open(self.path / "owner", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _said_of(self, missing: Sequence[str]) -> str:
        if len(missing) == len(STORES):
            return (
                f"{self.path} is no data folder of driverlink: name another with --data, "
                "or make it one by `driverlink accounts add` or `driverlink up`"
            )
        return (
            f"the data folder {self.path} is not complete: {self.file(missing[0]).name} is missing; put back a copy "
            "of it or, if the folder was only just begun, complete it by `driverlink accounts add` or `driverlink up`"
        )

    def __enter__(self) -> "DataFolder":
        if len(os.fsencode(self.socket.absolute())) > _LONGEST_SOCKET_PATH:
            raise FolderUnusable(
                f"the path of the data folder {self.path} is too long for a local socket; use a shorter one"
            )
        try:
            self._own()
        except OSError as failure:
            self._release()
            why = "it is no folder" if isinstance(failure, FileExistsError) else failure.strerror
            raise FolderUnusable(f"the data folder {self.path} cannot be used: {why}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):
            self.socket.unlink()
        self._release()

    def _own(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 100).decode("ascii", "replace").strip()
            self._release()
            raise FolderOwned(self.path, owner or "just starting") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()}\n".encode(), 0)
        self.socket.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
