"""The data folder of the embedded deployment, which one process owns at a time."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from domain.failures import ClearFailure
from domain.identity import Target

STORES = ("accounts", "intake", "decider", *(f"projector-{target}" for target in Target), "webhooks")
"""The services whose stores are the SQLite files of a data folder."""

DEFAULT_FOLDER = "driverlink-data"

_LONGEST_SOCKET_PATH = 100
"""Bytes that a local socket's path may have; systems allow little more."""


class FolderUnusable(ClearFailure):
    """The data folder cannot be used; the message says what to do."""


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

    def is_foreign(self) -> bool:
        """Whether there is a folder that holds other things, and nothing of ours."""
        try:
            found = {path.name for path in self.path.iterdir()}
        except (OSError, ValueError):
            return False
        return bool(found) and not found & {"owner", self.socket.name, *(self.file(name).name for name in STORES)}

    def check_whole(self) -> None:
        """Raise `FolderUnusable` where this is not a complete data folder, rather than make one by a slip."""
        try:
            found = {path.name for path in self.path.iterdir()}
        except (FileNotFoundError, ValueError):
            raise FolderUnusable(f"there is no data folder {self.path}: name another with --data") from None
        except OSError as failure:
            raise FolderUnusable(f"the data folder {self.path} cannot be used: {_why(failure)}") from None
        missing = [name for name in STORES if self.file(name).name not in found]
        if len(missing) == len(STORES):
            raise FolderUnusable(f"{self.path} is not a data folder of driverlink: name another with --data")
        if missing:
            raise FolderUnusable(
                f"the data folder {self.path} is not complete: {self.file(missing[0]).name} is missing; put back a "
                "copy of it or, if the folder was only just begun or is of an older version, complete it by "
                "`driverlink up`"
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
            raise FolderUnusable(f"the data folder {self.path} cannot be used: {_why(failure)}") from None
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
            raise FolderUnusable(
                f"{self.path} is in use by another driverlink process ({owner or 'just starting'}): stop that one first"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()}\n".encode(), 0)
        self.socket.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _why(failure: OSError) -> str | None:
    return "it is not a folder" if isinstance(failure, FileExistsError | NotADirectoryError) else failure.strerror
