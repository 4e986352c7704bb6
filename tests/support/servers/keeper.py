"""Tidies up after servers, whichever way their owner came to its end: `python keeper.py FOLDER`.

Each line on the standard input names a process: `+PID SIGNAL` when it has started, `-PID` when it has ended.
The end of the input means that the servers are not needed any more: those that are left get their signal, and after a
while SIGKILL; then the folder is removed. It is a script on its own, so that it starts at once.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

_PATIENCE = 10.0


def still_running(lines: Iterable[str]) -> dict[int, int]:
    """The processes that have started and not ended, each with the signal that ends it."""
    running: dict[int, int] = {}
    for line in lines:
        match line.split():
            case [started, number] if started.startswith("+"):
                running[int(started)] = int(number)
            case [ended]:
                running.pop(-int(ended), None)
    return running


def _end(running: dict[int, int]) -> None:
    for process, number in running.items():
        _send(process, number)
    deadline = time.monotonic() + _PATIENCE
    while any(_send(process, 0) for process in running) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in running:
        _send(process, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _main(folder: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _end(still_running(sys.stdin))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1])
