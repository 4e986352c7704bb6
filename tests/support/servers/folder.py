"""A folder for a server's data that does not outlive its owner."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from pwd import getpwnam
from typing import TypeVar

_KEEPER = Path(__file__).with_name("keeper.py")

Made = TypeVar("Made")


class KeptFolder:
    """A temporary folder whose keeper removes it, and ends what runs on it, as soon as this process is gone.

    It does so after kill -9 too, which `atexit` could not; and unlike a parent-death signal it does not mind which
    thread has started a server.
    """

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"driverlink-{name}-"))
        self._keeper = subprocess.Popen(
            [sys.executable, "-IS", str(_KEEPER), str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def give_to(self, user: str | None) -> None:
        """Make the folder and all that is in it another user's; None leaves it ours."""
        if user is not None:
            for each in (self.path, *self.path.rglob("*")):
                os.chown(each, getpwnam(user).pw_uid, -1, follow_symlinks=False)

    def started(self, process: int, last_signal: signal.Signals) -> None:
        """A process works on the folder, as the leader of its own group; the signal is how it would be ended."""
        self._tell(f"+{process} {last_signal.value}")

    def ended(self, process: int) -> None:
        """That process is gone."""
        self._tell(f"-{process}")

    def close(self) -> None:
        """End what still runs on the folder, and remove it."""
        self._keeper.communicate()

    def _tell(self, line: str) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{line}\n")
        self._keeper.stdin.flush()


def in_kept_folder(name: str, make: Callable[[KeptFolder], Made]) -> Made:
    """What is made in a new folder, which goes again where that fails."""
    folder = KeptFolder(name)
    try:
        return make(folder)
    except BaseException:
        folder.close()
        raise
