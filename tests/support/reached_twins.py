"""Twins of the targets in the place of what a projector reaches by a connection."""

import pytest

from domain.identity import AccountId, Target
from services.projector.service import ProjectorApp
from tests.support.target_twin import TargetTwin

Twins = dict[Target, TargetTwin]


def reached_twins(monkeypatch: pytest.MonkeyPatch) -> Twins:
    """The targets, as every account reaches them from now on."""
    twins = {target: TargetTwin(target) for target in Target}

    async def reach(app: ProjectorApp, _: AccountId) -> TargetTwin:
        return twins[app._target]

    monkeypatch.setattr(ProjectorApp, "reach", reach)
    return twins
