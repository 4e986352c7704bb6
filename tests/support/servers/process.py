"""A server as a process of ours."""

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers.engines import Unavailable
from tests.support.servers.folder import KeptFolder

_PATIENCE = 600.0
_LAST_WORDS = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a server is run: its command, its user (None: ours), and the signals that end it.

    `leave` lets it tidy up, `abandon` is for data that is not needed any more.
    """

    command: Sequence[str]
    user: str | None = None
    leave: signal.Signals = signal.SIGTERM
    abandon: signal.Signals = signal.SIGKILL


class ProcessEngine:
    """Runs a program on a folder, in a group of its own so that Ctrl-C does not reach it."""

    def __init__(self, program: Program, folder: KeptFolder) -> None:
        self._program = program
        self._folder = folder
        self._log = folder.path / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program, unless it runs. Raises Unavailable."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end(self._program.abandon)
        with self._log.open("ab") as log:
            self._process = _started(self._program, self._folder.path, log.fileno())
        self._folder.started(self._process.pid, self._program.abandon)

    def stop(self, *, hard: bool) -> None:
        """End the process, and wait until it and its children are gone."""
        if hard:
            self._kill_with_children()
        else:
            self._end(self._program.leave)

    def ended(self) -> str | None:
        """The end of the log of a process that has ended unasked."""
        if self._process is None or self._process.poll() is None:
            return None
        return self._log.read_text(errors="replace")[-_LAST_WORDS:]

    def close(self) -> None:
        """End the process, and remove the folder."""
        self._end(self._program.abandon)
        self._folder.close()

    def _kill_with_children(self) -> None:
        if self._process is None:
            return
        children = _children_of(self._process.pid)
        self._end(signal.SIGKILL)
        for child in children:
            _kill(child)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.ended(self._process.pid)
        self._process = None


def run(program: Program, folder: Path, seconds: float = 120.0) -> None:
    """Run a program in a folder to its end. Raises Unavailable with what it said where it fails."""
    log = folder / "preparing.log"
    with log.open("ab") as output:
        process = _started(program, folder, output.fileno())
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired as late:
        raise Unavailable(f"{Path(program.command[0]).name} took more than {seconds:.0f} seconds") from late
    finally:
        process.kill()
        process.wait()
    if status != 0:
        said = log.read_text(errors="replace")[-_LAST_WORDS:]
        raise Unavailable(f"{Path(program.command[0]).name} ended with {status}: {said}")


def _started(program: Program, folder: Path, log: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            program.command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            user=program.user,
            extra_groups=None if program.user is None else [],
            start_new_session=True,
        )
    except OSError as failure:
        raise Unavailable(f"{program.command[0]} could not be run: {failure.strerror}") from failure


def _children_of(process: int) -> list[int]:
    """The direct children; each may have left the group of its parent, as PostgreSQL's do."""
    return [child for child in _processes() if _parent_of(child) == process]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _parent_of(process: int) -> int | None:
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(state.rpartition(")")[2].split()[1])


def _kill(process: int) -> None:
    """Kill a process that is not a child of ours, and wait until it is gone."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], _PATIENCE)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
