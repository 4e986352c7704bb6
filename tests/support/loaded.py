"""Processes of the product that are forked from one that has loaded it, as loading takes each of them a second.

Each is a process like any other: it has an environment and an output of its own, and can be killed at any moment.
How the command itself begins is seen by the tests that start it.
"""

import json
import os
import select
import signal
import socket
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from subprocess import TimeoutExpired
from threading import Lock
from typing import IO, Any, Final

from services.cli.__main__ import main

_MODULES: Final = (
    "aiokafka",
    "faststream.kafka",
    "services.api.app",
    "services.cli.app",
    "services.cli.run",
    "services.cli.sandbox",
    "services.cli.serve",
    "services.wiring.distributed",
    "services.wiring.embedded",
)
_MOST_BYTES: Final = 200_000
"""Of an order, most of which is the environment."""

_WORD: Final = 20
"""Bytes of a number that is passed on."""

Order = dict[str, Any]


class Loaded:
    """`driverlink` with these arguments and this environment, which prints to a file; or else what begins it."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: IO[bytes],
        begin: Callable[[], None] = main,
    ) -> None:
        beginning = [begin.__module__, begin.__name__]
        order = json.dumps({"begin": beginning, "arguments": list(arguments), "environment": dict(environment)})
        self._answers, answering = os.pipe()
        socket.send_fds(_door(), [order.encode()], [output.fileno(), answering])
        os.close(answering)
        self.pid = self._answer()
        self.returncode: int | None = None
        self._asking = Lock()
        weakref.finalize(self, os.close, self._answers)

    def poll(self) -> int | None:
        """Its exit status once it has ended, or the negative number of the signal that ended it."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The same at its end. Raises `TimeoutExpired` when that does not come within this many seconds."""
        if self._ended(timeout) is None:
            raise TimeoutExpired("driverlink", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._answers], [], [], seconds)[0]:
            # Two threads may learn of its end at once, and its answer comes once.
            with self._asking:
                if self.returncode is None:
                    self.returncode = os.waitstatus_to_exitcode(self._answer())
        return self.returncode

    def _answer(self) -> int:
        return int(os.read(self._answers, _WORD))


@cache
def _door() -> socket.socket:
    """Where the process that has loaded everything takes orders; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        its.set_inheritable(True)
        command = [sys.executable, "-m", __name__, str(its.fileno())]
        os.posix_spawn(sys.executable, command, os.environ)
    return ours


def _ordered(door: socket.socket) -> Order:
    """Fork a process for each order, and return in each with the order that it is for."""
    while True:
        order, descriptors, *_ = socket.recv_fds(door, _MOST_BYTES, 2)
        if not order:
            sys.exit()
        if _is_forked():
            door.close()
            return _watched(json.loads(order), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watched(order: Order, output: int, answering: int) -> Order:
    """Fork the process itself, and return in it; how it ends is seen by its parent, which lasts as long."""
    if process := os.fork():
        os.write(answering, str(process).ljust(_WORD).encode())
        _, status = os.waitpid(process, 0)
        os.write(answering, str(status).ljust(_WORD).encode())
        os._exit(0)
    os.close(answering)
    for standard in (sys.stdout, sys.stderr):
        os.dup2(output, standard.fileno())
    os.close(output)
    # Those that were there believe that they write to whatever the first process writes to.
    sys.stdout = os.fdopen(sys.stdout.fileno(), "w", closefd=False)
    sys.stderr = os.fdopen(sys.stderr.fileno(), "w", buffering=1, errors="backslashreplace", closefd=False)
    return order


def _is_forked() -> bool:
    if os.fork():
        return False
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return True


def _reap(*_: object) -> None:
    """Let go of the parents of processes that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _main(door: int) -> None:
    for module in _MODULES:
        import_module(module)
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reap)
    order = _ordered(socket.socket(fileno=door))
    signal.signal(signal.SIGINT, interrupted)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["driverlink", *order["arguments"]]
    module, function = order["begin"]
    getattr(import_module(module), function)()


if __name__ == "__main__":
    _main(int(sys.argv[1]))
