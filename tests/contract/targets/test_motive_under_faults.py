"""The adapter for Motive, over a sandbox that fails."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.targets.faults import REQUESTS, TRIES, ListMoves, UnderFaults, strike
from tests.contract.targets.sandboxes import Company, GrantedCompany, company, granted_company, in_process, over_http


@pytest.fixture
async def stand() -> AsyncIterator[Company]:
    """A few drivers, because most calls are about one."""
    async with company(in_process, seeded=3) as stand:
        yield stand


@pytest.fixture
async def wide() -> AsyncIterator[Company]:
    """More drivers than there are on a page."""
    async with company(over_http) as stand:
        yield stand


class TestMotiveUnderFaults(UnderFaults, ListMoves):
    """The adapter says nothing but what is true."""


@pytest.fixture
async def granted(tmp_path: Path) -> AsyncIterator[GrantedCompany]:
    async with granted_company(in_process, tmp_path / "credentials", seeded=3) as stand:
        yield stand


@pytest.mark.anyio
@pytest.mark.parametrize("call", TRIES)
async def test_an_access_token_that_ends_early_is_renewed_and_nothing_is_done_twice(
    granted: GrantedCompany, call: str
) -> None:
    for number in REQUESTS:
        if not await strike(granted, TRIES[call], {"fault": "expired_token", "every": number, "times": 1}):
            break
    assert number > 1
