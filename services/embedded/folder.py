"""The data folder, and who owns it: one process at a time."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_LONGEST_SOCKET_PATH = 100
"""Bytes that a local socket's path may have; systems allow little more."""


class FolderUnusable(Exception):
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

    def check_exists(self) -> None:
        """Raise `FolderUnusable` where there is no such folder, rather than make an empty one by a slip."""
        if not self.path.exists():
            raise FolderUnusable(
                f"there is no data folder {self.path}: name another with --data, "
                "or make it by `driverlink accounts add` or `driverlink up`"
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
