"""What the network does to calls, and kill -9 at any moment, lose nothing, double nothing, and keep the order."""

import asyncio
from pathlib import Path

import pytest

from tests.support.storm import Storm

pytestmark = pytest.mark.long


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_storm_loses_nothing_doubles_nothing_and_keeps_the_order(tmp_path: Path, seed: int) -> None:
    aftermath = asyncio.run(Storm(seed=seed, kills=6, changes=60).play(tmp_path / "data"))

    assert aftermath.met.total() > 0
    assert aftermath.comparison.disagreements == []
    assert aftermath.doubled == []
    assert aftermath.temporary == []
    assert aftermath.out_of_order == []
    assert aftermath.touched == []
