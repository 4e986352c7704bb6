"""The meanings of the status codes, in whatever form the tenant's configurations have."""

import httpx
import pytest

from domain.failures import Reason, Rejected, TargetFailed
from domain.ports import Done
from tests.unit.adapters.driveri.tenant import A1, CONFIGURATIONS, DELETED, MESSAGE, driver, drivers, edit, tenant
from tests.unit.adapters.vendor import Answer, answer

pytestmark = pytest.mark.anyio

STATUSES = [{"status": 3, "description": "Active"}, {"status": DELETED, "description": "Deleted"}]
NESTED = {"data": {"configuration": {"driverStatus": STATUSES, "timezone": "UTC"}}}
FLAT = {"data": {"driverStatus": STATUSES, "groupAction": ["ADD"]}}
ADVICE = "correct DRIVERLINK_DRIVERI_URL, or ask Driveri which configurations this tenant has"


async def detail_of(configurations: Answer) -> str:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, configurations)
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).probe()
    assert isinstance(raised.value.failure, Rejected)
    assert raised.value.failure.reason is Reason.NOT_CONFIGURED
    return raised.value.failure.detail


@pytest.mark.parametrize(
    "body",
    [
        NESTED,
        FLAT,
        {"data": {"configuration": None, "driverStatus": STATUSES}},
        {"data": {"configuration": {"driverStatus": None}, "driverStatus": STATUSES}},
        {"data": {"configuration": {"driverStatus": [{**row, "status": str(row["status"])} for row in STATUSES]}}},
    ],
)
async def test_the_status_codes_are_read_in_either_form(body: object) -> None:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, answer(200, body))
    vendor.on(edit("A1"), MESSAGE)
    assert await drivers(vendor).delete(A1) == Done(seen=driver("A1", active=False, profile={}))
    assert vendor.body(edit("A1")) == {"status": DELETED}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"data": {"config": {}, "other": 1}, "error": None}, "the answer with data, error, data with config, other"),
        ({"data": {"configuration": {}}}, "the answer with data, data with configuration"),
        ({"data": {"driverStatus": []}}, "the answer with data, data with driverStatus"),
        ({"data": {"driverStatus": {"1": "Active"}}}, "the answer with data, data with driverStatus"),
        (
            {"data": {"\x1b[31m\u202e\x00": 1, **{f"field{number}": 1 for number in range(9)}, "x" * 999: 1}},
            "the answer with data, data with [31m, " + ", ".join(f"field{number}" for number in range(7)) + ", ...",
        ),
    ],
)
async def test_configurations_of_an_unknown_form_say_what_was_found_and_which_setting_to_look_at(
    body: object, found: str
) -> None:
    detail = await detail_of(answer(200, body))
    assert detail == f"the configurations have no data.configuration.driverStatus, but found {found}: {ADVICE}"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"data": [1]}, "the answer with data, data: list"),
        ({}, "the answer with nothing, no data"),
        ([], "the answer: list, no data"),
        ("hello", "the answer: str, no data"),
    ],
)
async def test_what_may_be_another_callers_answer_is_reported_too_and_may_pass(body: object, found: str) -> None:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, answer(200, body))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).probe()
    assert raised.value.failure.reason is Reason.DOWN
    assert f"but found {found}: {ADVICE}" in raised.value.failure.detail


@pytest.mark.parametrize("odd", [{"status": {}, "description": "Odd"}, {"status": 9, "description": []}, None, "text"])
async def test_a_status_of_an_odd_form_hides_no_others(odd: object) -> None:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, answer(200, {"data": {"configuration": {"driverStatus": [odd, *STATUSES]}}}))
    await drivers(vendor).probe()


async def test_statuses_of_an_unknown_form_say_what_was_found() -> None:
    body = {"data": {"configuration": {"driverStatus": [{"code": 3, "name": "Active"}]}}}
    detail = "the configurations list driver statuses of an unknown form: the first with code, name"
    assert await detail_of(answer(200, body)) == detail


def cut_off(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b'{"data": ')


@pytest.mark.parametrize("broken", [answer(200), cut_off])
async def test_configurations_that_are_cut_off_are_a_failure_that_passes(broken: Answer) -> None:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, broken)
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).probe()
    assert raised.value.failure.reason is Reason.DOWN


async def test_a_key_without_the_scope_for_configurations_is_reported_by_name() -> None:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, answer(403, {"error": {"status": 403}}))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).probe()
    detail = "answered 403: the API key may be another tenant's, or lack the scope View Fleet Configurations"
    assert raised.value.failure == Rejected(reason=Reason.CREDENTIALS, detail=detail)
