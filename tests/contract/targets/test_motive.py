"""The adapter for Motive, over its sandbox."""

from collections.abc import AsyncIterator

import pytest

from domain.failures import Reason, Rejected
from domain.identity import Key
from tests.contract.targets.drivers import MotiveContract, seen_in
from tests.contract.targets.failing import assert_failing
from tests.contract.targets.sandboxes import Company, company, over_http
from tests.contract.targets.stands import MOTIVE_JANE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stand() -> AsyncIterator[Company]:
    async with company(over_http) as stand:
        yield stand


class TestMotiveDrivers(MotiveContract):
    """The adapter keeps the contract."""


async def test_a_wrong_api_key_is_a_matter_of_credentials(stand: Company) -> None:
    await assert_failing(stand.another(api_key="wrong"), Reason.CREDENTIALS)


async def test_external_ids_of_others_are_kept(stand: Company) -> None:
    drivers, bob = stand.drivers, stand.people.bob
    both = {"portal_driver_id": "p-bob", "driveri_driver_id": "B-2"}
    assert stand.is_shown(both, seen_in(await drivers.update(bob, both, tuple(both))))
    other = {"portal_driver_id": "p-bob", "driveri_driver_id": "B-3"}
    assert stand.is_shown(other, seen_in(await drivers.update(bob, other, ["driveri_driver_id"])))
    one = {"portal_driver_id": "p-bob"}
    assert "driveri_driver_id" not in seen_in(await drivers.update(bob, one, ["driveri_driver_id"])).profile
    user = next(user for user in (await stand.state())["companies"][0]["users"] if user["id"] == 2)
    pairs = {(entry["integration_name"], entry["external_id"]) for entry in user["external_ids"]}
    assert pairs == {("payroll", "payroll-9"), ("gps_portal", "p-bob")}


async def test_users_of_another_role_are_never_touched(stand: Company) -> None:
    office = Key("4")
    assert await stand.drivers.find(office, {}) is None
    assert await stand.drivers.gone([office]) == [office]
    calls = [
        stand.drivers.update(office, MOTIVE_JANE, []),
        stand.drivers.update(office, MOTIVE_JANE, ["email", "portal_driver_id"]),
        stand.drivers.delete(office),
        stand.drivers.reinstate(office, MOTIVE_JANE),
        stand.drivers.create(None, {**MOTIVE_JANE, "email": "olga@fleet.test"}),
    ]
    reasons = [answered.reason for call in calls if isinstance(answered := await call, Rejected)]
    assert reasons == [Reason.FOREIGN_ROLE] * len(calls)
    assert await stand.effects() == 0


async def test_an_email_address_taken_in_another_company_is_a_result_of_its_own(stand: Company) -> None:
    answered = await stand.drivers.create(None, {**MOTIVE_JANE, "email": "taken@other.test"})
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.TAKEN_ELSEWHERE


async def test_a_key_in_test_mode_has_no_effect(stand: Company) -> None:
    drivers = stand.another(api_key="test-key")
    answered = await drivers.create(None, MOTIVE_JANE)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_EFFECTIVE
