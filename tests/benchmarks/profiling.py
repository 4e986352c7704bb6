"""Where the processor time of a process goes, by function, in all threads that begin while it is looked at.

It is counted, not sampled: somebody who looks now and then would find a thread where it waits, because it is there that
it lets others look. Counting makes functions that are called often look dearer than they are.

`python -m tests.benchmarks.profiling FILE serve decider` runs that command, and counts again from a signal on; what was
counted is in the file at its end.
"""

import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from cProfile import Profile
from dataclasses import dataclass
from pathlib import Path

from services.cli.__main__ import main

BEGIN = signal.SIGUSR1
"""Resets the counts of a process."""

_ROOT = f"{Path(__file__).parents[2]}/"
_MOST = 40

_Function = tuple[str, int, str]
"""File, line and name, as `cProfile` has it."""


@dataclass(slots=True)
class _Used:
    """What a function used: how often it was called, and the seconds that it took alone and with its callees."""

    calls: int = 0
    alone: float = 0.0
    whole: float = 0.0


class Profiler:
    """Counts for the thread that starts it and for all that begin after that."""

    def __init__(self) -> None:
        self._profiles: list[Profile] = []

    def start(self) -> None:
        """Begin to count."""
        threading.setprofile(self._join)
        self._join()

    def stop(self) -> None:
        """Count no more for this thread and for those to come."""
        threading.setprofile(None)
        sys.setprofile(None)

    def begin_anew(self) -> None:
        """Forget what was counted so far."""
        for profile in self._profiles:
            profile.clear()

    def text(self) -> str:
        """The functions that used the most, with all that they call, and by themselves."""
        used = self._used()
        total = sum(each.alone for each in used.values())
        lines = [f"{total:.2f} seconds of processor time"]
        for title, order in (("with all that it calls", "whole"), ("by itself", "alone")):
            most = sorted(used.items(), key=lambda each: getattr(each[1], order), reverse=True)[:_MOST]
            lines += [
                f"{title}, and calls",
                *(_line(getattr(each, order), total, each.calls, name) for name, each in most),
            ]
        return "\n".join(lines)

    def _join(self, *_: object) -> None:
        """Count for the present thread too."""
        profile = Profile(time.thread_time)
        self._profiles.append(profile)
        profile.enable()

    def _used(self) -> dict[str, _Used]:
        found: dict[str, _Used] = defaultdict(_Used)
        for profile in self._profiles:
            profile.snapshot_stats()
            for function, (_, calls, alone, whole, _) in profile.stats.items():
                each = found[_named(function)]
                each.calls, each.alone, each.whole = each.calls + calls, each.alone + alone, each.whole + whole
        return found


def _line(seconds: float, total: float, calls: int, name: str) -> str:
    return f"  {seconds / total:6.1%}  {calls:>9,}  {name}"


def _named(function: _Function) -> str:
    path, line, name = function
    place = path.rpartition("site-packages/")[2].removeprefix(_ROOT)
    return f"{place}:{line} {name}" if line else name


@contextmanager
def profiled() -> Iterator[Profiler]:
    """While this lasts, this process is looked at."""
    profiler = Profiler()
    profiler.start()
    try:
        yield profiler
    finally:
        profiler.stop()


def _main(path: Path) -> None:
    with profiled() as profiler:
        signal.signal(BEGIN, lambda *_: profiler.begin_anew())
        try:
            main()
        finally:
            path.write_text(profiler.text(), "utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv.pop(1)))
