"""Twins of the targets in the place of what services reach by a connection."""

import pytest

from domain.identity import AccountId, Target
from services.wiring.connections import Connections
from tests.support.target_twin import TargetTwin

Twins = dict[Target, TargetTwin]


def reached_twins(monkeypatch: pytest.MonkeyPatch) -> Twins:
    """The targets, as every account of an installation that is opened from now on reaches them."""
    twins = {target: TargetTwin(target) for target in Target}

    def connect(_: Connections, target: Target, __: AccountId) -> TargetTwin:
        return twins[target]

    monkeypatch.setattr(Connections, "connect", connect)
    return twins
