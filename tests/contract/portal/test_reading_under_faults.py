"""Whatever goes wrong while a list is read: no driver is taken as deleted, and the next good reading goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.failures import TargetFailed, Unavailable
from services.intake.handlers import SnapshotRefused
from tests.support.portal_fleet import PortalFleet, fleet

pytestmark = pytest.mark.anyio

LIST = "/v2/driver/list"
ATTRIBUTES = "/v2/driver/getattributes"

FAULTS: Mapping[str, dict[str, Any]] = {
    "an error in place of the list": {"fault": "failing", "status": 500, "path": LIST},
    "a web page": {"fault": "web_page", "status": 200, "path": LIST},
    "a list cut in half": {"fault": "truncated", "path": LIST},
    "something else than JSON": {"fault": "malformed", "path": LIST},
    "an answer without a frame": {"fault": "senseless", "path": LIST},
    "no body": {"fault": "empty", "path": LIST},
    "a connection that breaks": {"fault": "reset_after", "path": LIST},
    "an error in mid-read": {"fault": "failing", "status": 500, "path": ATTRIBUTES, "every": 30},
    "a cut answer in mid-read": {"fault": "truncated", "path": ATTRIBUTES, "every": 30},
    "no right to attributes": {"fault": "failing", "status": 403, "path": ATTRIBUTES},
    "no login": {"fault": "failing", "status": 500, "path": "/v2/userauth/login"},
    "a long limit": {"fault": "limited", "retry_after": 600},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_reading_that_fails_decides_nothing_about_unseen_drivers(tmp_path: Path, fault: str) -> None:
    everybody = fleet(40)
    async with PortalFleet(tmp_path, everybody) as acme:
        await acme.read()
        await acme.state(everybody[4:])
        await acme.fail(FAULTS[fault])
        for _ in range(3):
            with pytest.raises(TargetFailed):
                await acme.read(acme.login())
        assert len(acme.changes) == 40
        await acme.fail()
        await acme.read()
        assert acme.changes[40:] == [f"DriverMissed {number}" for number in (1, 2, 3, 4)]


async def test_a_list_that_lost_one_driver_on_its_way_deletes_no_driver_when_it_is_whole_again(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, fleet(40)) as acme:
        await acme.read()
        await acme.fail({"fault": "reordered", "path": LIST}, {"fault": "shifted", "path": LIST})
        for _ in range(2):
            await acme.read()
        assert len(acme.changes) == 40


async def test_blips_are_got_over(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, fleet(40)) as acme:
        await acme.fail(
            {"fault": "failing", "status": 503, "times": 2},
            {"fault": "limited", "retry_after": 0, "path": ATTRIBUTES, "every": 9},
            {"fault": "reset_before", "path": ATTRIBUTES, "every": 11},
        )
        await acme.read()
        assert len(acme.changes) == 40


async def test_a_list_that_is_limited_says_for_how_long(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, fleet(4)) as acme:
        await acme.fail({"fault": "limited", "retry_after": 600})
        with pytest.raises(TargetFailed) as failed:
            await acme.read()
        assert isinstance(failed.value.failure, Unavailable)
        assert failed.value.failure.retry_after == 600


async def test_a_driver_twice_in_the_list_is_one(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, fleet(4)) as acme:
        await acme.read()
        await acme.fail({"fault": "reordered", "path": LIST})
        await acme.read()
        assert len(acme.changes) == 4


async def test_nothing_but_an_empty_list_is_an_empty_list(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, []) as acme:
        with pytest.raises(SnapshotRefused):
            await acme.read()
        assert acme.changes == []
