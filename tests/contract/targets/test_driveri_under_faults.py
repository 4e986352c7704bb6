"""The adapter for Driveri, over a sandbox that fails."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.targets.faults import ListMoves, UnderFaults
from tests.contract.targets.sandboxes import Tenant, in_process, over_http, tenant


@pytest.fixture
async def stand() -> AsyncIterator[Tenant]:
    """A few drivers, because most calls are about one."""
    async with tenant(in_process, seeded=3) as stand:
        yield stand


@pytest.fixture
async def wide() -> AsyncIterator[Tenant]:
    """More drivers than there are on a page."""
    async with tenant(over_http) as stand:
        yield stand


class TestDriveriUnderFaults(UnderFaults, ListMoves):
    """The adapter says nothing but what is true."""
