"""Processes beside the measuring one: how they are started, and what they have used."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[tuple[int, Callable[[], str]]]:
    """While this lasts, a module runs as a process, which ends with its input; its id, and the next line it says."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        said = process.stdout
        assert said is not None
        try:
            yield process.pid, lambda: said.readline().strip()
        finally:
            process.stdin.close()


def seconds_of(process: int) -> float:
    """The processor time that a process has used. Source: proc(5), /proc/pid/stat, fields 14 and 15."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_of(process: int) -> float:
    """The most memory that a process has had, in megabytes. Source: proc(5), /proc/pid/status, VmHWM in kilobytes."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def seconds_of_machine() -> float:
    """The processor time that all processes of this machine have used. Source: proc(5), /proc/stat."""
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text("utf-8").splitlines()[0].split()[1:])
    return (user + nice + system) / _TICKS
