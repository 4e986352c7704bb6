"""The adapter for Driveri, over its sandbox."""

from collections.abc import AsyncIterator

import pytest

from domain.failures import Reason
from tests.contract.targets.drivers import DriveriContract
from tests.contract.targets.failing import assert_failing
from tests.contract.targets.sandboxes import Tenant, over_http, tenant
from tests.contract.targets.stands import JANE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stand() -> AsyncIterator[Tenant]:
    async with tenant(over_http) as stand:
        yield stand


class TestDriveriDrivers(DriveriContract):
    """The adapter keeps the contract."""


async def test_no_driver_is_ever_invited(stand: Tenant) -> None:
    jane = stand.people.jane
    await stand.drivers.create(stand.people.desired_key, jane)
    await stand.drivers.update(stand.people.bob, jane, tuple(jane))
    await stand.drivers.reinstate(stand.people.departed, jane)
    drivers = (await stand.state())["tenants"][0]["drivers"]
    assert {driver["invitations"] for driver in drivers} == {0}
    assert [driver["phone"] for driver in drivers if driver["email"] == JANE["email"]] == [JANE["phone"]] * 3


async def test_adapters_of_one_api_key_get_along_with_two_tokens(stand: Tenant) -> None:
    several = [stand.another() for _ in range(4)]
    for drivers in several:
        assert await drivers.find(stand.people.bob, {}) is not None
    await several[0].close()
    for drivers in several[1:]:
        assert await drivers.find(stand.people.bob, {}) is not None


async def test_a_wrong_secret_is_a_matter_of_credentials(stand: Tenant) -> None:
    await assert_failing(stand.another(client_secret="wrong"), Reason.CREDENTIALS)
    await assert_failing(stand.another(tenant="other"), Reason.CREDENTIALS)


async def test_a_status_word_that_the_tenant_lacks_is_a_matter_of_configuration(stand: Tenant) -> None:
    await assert_failing(stand.another(deleted_status="Removed"), Reason.NOT_CONFIGURED)
