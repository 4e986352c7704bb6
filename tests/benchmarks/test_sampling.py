from threading import Thread
from time import process_time

from tests.benchmarks.sampling import Sampler, sampled

_SECONDS = 0.1


def busy() -> None:
    until = process_time() + _SECONDS
    while process_time() < until:
        pass


def test_the_time_of_every_thread_is_put_down_to_who_used_it() -> None:
    with sampled() as sampler:
        thread = Thread(target=busy)
        thread.start()
        thread.join()
    alone = sampler.text().partition("alone")[2].splitlines()
    assert alone[1].endswith("busy")


def test_who_was_never_told_to_look_has_seen_nothing() -> None:
    sampler = Sampler()
    sampler.stop()
    assert sampler.text().startswith("0.00 seconds")
