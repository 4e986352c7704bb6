"""A process does not look through what it remembers again and again."""

import gc
from collections.abc import Iterator

import pytest

from services.runtime.serving import collect_rarely


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_what_a_process_has_loaded_is_never_looked_through_again() -> None:
    collect_rarely()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] > 10_000


def test_what_forms_a_circle_is_still_found() -> None:
    collect_rarely()
    circle: list[object] = []
    circle.append(circle)
    del circle
    assert gc.collect() > 0
