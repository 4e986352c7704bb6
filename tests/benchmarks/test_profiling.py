from threading import Thread
from time import thread_time

from tests.benchmarks.profiling import profiled

_SECONDS = 0.05


def busy() -> None:
    until = thread_time() + _SECONDS
    while thread_time() < until:
        pass


def test_every_thread_that_begins_meanwhile_is_counted() -> None:
    with profiled() as profiler:
        thread = Thread(target=busy)
        thread.start()
        thread.join()
    counted = [line for line in profiler.text().splitlines() if line.endswith("busy")]
    assert counted
    assert all(" 1  tests/" in line for line in counted)
