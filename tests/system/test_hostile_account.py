"""Whatever one account's exports and targets say, no process ends, no unstated value changes, and others go on."""

import asyncio
from pathlib import Path

import pytest

from tests.support.hostile_fleet import Findings, play

MOST_MEGABYTES = 200


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """How the others fare by themselves."""
    return asyncio.run(play(tmp_path_factory.mktemp("alone") / "data", 0, alone=None))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 7))])
def test_a_hostile_account_is_noticed_by_no_other(tmp_path: Path, alone: Findings, seed: int) -> None:
    findings = asyncio.run(play(tmp_path / "data", seed, alone=alone))

    assert findings.tracebacks == []
    assert findings.unsaid == []
    assert findings.settled == alone.settled
    assert findings.calls == alone.calls
    assert findings.disagreements == []
    assert findings.megabytes < MOST_MEGABYTES
