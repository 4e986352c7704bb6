"""Where the time of a process goes, by function, in all its threads.

A thread looks at every other one some hundred times a second, and puts the processor time that each has used since the
last look down to the functions in which it finds it. What waits uses none, so it does not count.

`python -m tests.benchmarks.sampling FILE serve decider` runs that command and looks from a signal on; what was seen is
in the file at its end.
"""

import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from heapq import nlargest
from operator import itemgetter
from pathlib import Path
from traceback import walk_stack
from types import CodeType

from services.cli.start import main

LOOK = signal.SIGUSR1
"""Tells a process to look from now on."""

_EVERY = 0.003
"""Seconds between looks."""

_SWITCH = 0.0005
"""Seconds after which a busy thread lets us look."""

_ROOT = f"{Path(__file__).parents[2]}/"
_MOST = 40


class Sampler:
    """Looks from `start` to `stop`; `text` tells what it saw."""

    def __init__(self) -> None:
        self._own: dict[CodeType, float] = defaultdict(float)
        self._with_callees: dict[CodeType, float] = defaultdict(float)
        self._used: dict[int, float] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        sys.setswitchinterval(_SWITCH)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._is_over.set()
        if self._thread.ident:
            self._thread.join()

    def text(self) -> str:
        """The functions that used the most, alone and with all that they call."""
        total = sum(self._own.values())
        lines = [f"{total:.2f} seconds of processor time"]
        for title, counted in (("with all that it calls", self._with_callees), ("alone", self._own)):
            most = nlargest(_MOST, counted.items(), key=itemgetter(1))
            lines += [title, *(f"  {seconds / total:6.1%}  {_named(code)}" for code, seconds in most)]
        return "\n".join(lines)

    def _look_on(self) -> None:
        while not self._is_over.wait(_EVERY):
            running = _running()
            for thread, used in _used().items():
                if thread in running and thread != self._thread.ident:
                    self._note(running[thread], used - self._used.get(thread, used))
                self._used[thread] = used

    def _note(self, running: Sequence[CodeType], seconds: float) -> None:
        if seconds:
            self._own[running[0]] += seconds
            for code in set(running):
                self._with_callees[code] += seconds


def _running() -> Mapping[int, Sequence[CodeType]]:
    """What runs in each thread, the innermost first; no frame is kept, for it would keep alive all that it holds."""
    return {thread: [each.f_code for each, _ in walk_stack(frame)] for thread, frame in sys._current_frames().items()}


def _used() -> Mapping[int, float]:
    """The processor time that each thread has used, in seconds. Source: Linux, Documentation/scheduler/sched-stats."""
    used = {}
    for thread in threading.enumerate():
        with suppress(OSError):
            times = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text("ascii")
            used[thread.ident or 0] = int(times.split()[0]) / 1e9
    return used


def _named(code: CodeType) -> str:
    place = code.co_filename.rpartition("site-packages/")[2].removeprefix(_ROOT)
    return f"{place}:{code.co_firstlineno} {code.co_name}"


@contextmanager
def sampled() -> Iterator[Sampler]:
    """While this lasts, this process is looked at."""
    sampler = Sampler()
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.stop()


def _main(path: Path) -> None:
    sampler = Sampler()
    signal.signal(LOOK, lambda *_: sampler.start())
    try:
        main()
    finally:
        sampler.stop()
        path.write_text(sampler.text(), "utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv.pop(1)))
