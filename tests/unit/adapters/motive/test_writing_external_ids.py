import json

import pytest
from structlog.testing import capture_logs

from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key
from domain.ports import Answer as PortAnswer
from domain.ports import Done, Missing
from tests.unit.adapters.vendor import Answer, Vendor, answer

pytestmark = pytest.mark.anyio

READ = "GET /v1/users/17"
EDIT = "PUT /v1/users/17"
ADD_ID = "POST /v1/external_ids"

KEY = Key("17")
PROFILE = {"portal_driver_id": "p-1", "driveri_driver_id": "A1"}
PORTAL = {"id": 1, "external_id": "p-1", "integration_name": "gps_portal"}
DRIVERI = {"id": 2, "external_id": "A1", "integration_name": "driveri"}
FORMER = {"id": 2, "external_id": "A0", "integration_name": "driveri"}
PAYROLL = {"id": 3, "external_id": "payroll-9", "integration_name": "payroll"}
LOST = Rejected(
    reason=Reason.NOT_RESTORED,
    detail="external ids of other integrations were lost and could not be restored: payroll",
)


def shown(*external_ids: dict[str, object]) -> Answer:
    return answer(200, {"user": {"id": 17, "role": "driver", "status": "active", "external_ids": list(external_ids)}})


def company(*reads: Answer) -> Vendor:
    vendor = Vendor()
    vendor.on(READ, *reads)
    vendor.on(EDIT, shown())
    vendor.on(ADD_ID, answer(201, {}))
    return vendor


def connected(vendor: Vendor) -> MotiveDrivers:
    access = MotiveAccess(base_url="https://motive.test", api_key="hush")
    return MotiveDrivers(access, transport=vendor.transport, pause=vendor.pause, jitter=lambda: 0.0)


async def updated(vendor: Vendor, profile: dict[str, str], target: MotiveDrivers | None = None) -> PortAnswer:
    return await (target or connected(vendor)).update(KEY, profile, ["portal_driver_id", "driveri_driver_id"])


def seen(answered: PortAnswer) -> dict[str, str]:
    assert isinstance(answered, Done)
    return dict(answered.seen.profile)


async def test_an_update_sends_everybodys_external_ids_by_the_guides_name_and_reads_back() -> None:
    vendor = company(shown(PAYROLL, FORMER), shown(PAYROLL, PORTAL, DRIVERI))
    assert seen(await updated(vendor, PROFILE)) == PROFILE
    added = {"external_id": "p-1", "integration_name": "gps_portal"}
    assert vendor.body(EDIT) == {"external_ids": [PAYROLL, added, DRIVERI]}
    assert vendor.calls == [READ, EDIT, READ]


async def test_external_ids_in_step_are_not_written_again() -> None:
    vendor = company(shown(PORTAL, PAYROLL, DRIVERI))
    assert seen(await updated(vendor, PROFILE)) == PROFILE
    assert vendor.calls == [READ]


async def test_an_entry_that_an_update_lost_is_restored() -> None:
    vendor = company(shown(PAYROLL), shown(PORTAL, DRIVERI), shown(PORTAL, DRIVERI, PAYROLL))
    with capture_logs() as logs:
        assert seen(await updated(vendor, PROFILE)) == PROFILE
    said = {"event": "external_id_restored", "log_level": "warning", "user": "17", "integration": "payroll"}
    assert logs == [said]
    assert vendor.body(ADD_ID) == {
        "external_id": "payroll-9",
        "integration_name": "payroll",
        "external_id_holder_id": 17,
        "external_id_holder_type": "User",
    }
    assert vendor.calls == [READ, EDIT, READ, ADD_ID, READ]


@pytest.mark.parametrize("refused", [answer(400, {"error_message": "no"}), answer(503), answer(201, {})])
async def test_an_entry_that_cannot_be_restored_is_reported(refused: Answer) -> None:
    vendor = company(shown(PAYROLL), shown(PORTAL, DRIVERI))
    vendor.on(ADD_ID, refused)
    assert await updated(vendor, PROFILE) == LOST


async def test_a_loss_is_reported_even_if_the_repair_cannot_be_read_back() -> None:
    vendor = company(shown(PAYROLL), shown(PORTAL, DRIVERI), answer(500))
    assert await updated(vendor, PROFILE) == LOST


async def test_a_driveri_id_that_the_portal_blanked_is_removed() -> None:
    vendor = company(shown(PORTAL, FORMER, PAYROLL), shown(PORTAL, FORMER, PAYROLL), shown(PORTAL, PAYROLL))
    vendor.on("DELETE /v1/external_ids/2", answer(204))
    assert seen(await updated(vendor, {"portal_driver_id": "p-1"})) == {"portal_driver_id": "p-1"}
    assert vendor.calls == [READ, EDIT, READ, "DELETE /v1/external_ids/2", READ]
    assert vendor.body(EDIT) == {"external_ids": [PAYROLL, PORTAL]}


async def test_a_removal_that_does_not_answer_may_be_tried_again() -> None:
    vendor = company(shown(PORTAL, FORMER))
    vendor.on("DELETE /v1/external_ids/2", answer(500))
    expected = Unavailable(reason=Reason.NO_ANSWER, detail="answered 500")
    assert await updated(vendor, {"portal_driver_id": "p-1"}) == expected


async def test_external_ids_that_take_under_neither_name_are_not_effective() -> None:
    vendor = company(shown(PAYROLL))
    answered = await updated(vendor, PROFILE)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_EFFECTIVE
    assert "neither as external_ids nor as external_ids_attributes" in answered.detail
    assert spelt(vendor) == ["external_ids", "external_ids_attributes"]


def spelt(vendor: Vendor) -> list[str]:
    """The names under which external ids were written, in order."""
    bodies = [json.loads(request.content) for request in vendor.requests if request.method == "PUT"]
    return [name for body in bodies for name in body if name.startswith("external_ids")]


async def test_a_name_that_is_ignored_is_followed_by_the_other_one_which_is_remembered() -> None:
    vendor = company(shown(PAYROLL), shown(PAYROLL), shown(PAYROLL), shown(PAYROLL, PORTAL, DRIVERI))
    target = connected(vendor)
    assert seen(await updated(vendor, PROFILE, target)) == PROFILE
    assert spelt(vendor) == ["external_ids", "external_ids_attributes"]
    vendor.on(READ, shown(PAYROLL, PORTAL, FORMER), shown(PAYROLL, PORTAL, DRIVERI))
    assert seen(await updated(vendor, PROFILE, target)) == PROFILE
    assert spelt(vendor)[2:] == ["external_ids_attributes"]


async def test_a_name_that_is_refused_is_followed_by_the_other_one() -> None:
    vendor = company(shown(PAYROLL), shown(PAYROLL), shown(PAYROLL, PORTAL, DRIVERI))
    vendor.on(EDIT, answer(400, {"error_message": "external_ids: unknown attribute"}), shown())
    assert seen(await updated(vendor, PROFILE)) == PROFILE
    assert spelt(vendor) == ["external_ids", "external_ids_attributes"]


async def test_a_name_that_worked_before_and_works_no_longer_is_followed_by_the_other_one() -> None:
    vendor = company(shown(PAYROLL), shown(PAYROLL, PORTAL, DRIVERI))
    target = connected(vendor)
    await updated(vendor, PROFILE, target)
    vendor.on(READ, shown(PORTAL, FORMER), shown(PORTAL, FORMER), shown(PORTAL, FORMER), shown(PORTAL, DRIVERI))
    assert seen(await updated(vendor, PROFILE, target)) == PROFILE
    assert spelt(vendor) == ["external_ids", "external_ids", "external_ids_attributes"]


async def test_a_former_id_stays_until_the_new_one_has_arrived() -> None:
    vendor = company(shown(PORTAL, FORMER))
    assert isinstance(await updated(vendor, PROFILE), Rejected)
    assert "DELETE /v1/external_ids/2" not in vendor.calls


async def test_a_refusal_about_a_value_that_is_taken_is_not_tried_under_another_name() -> None:
    vendor = company(shown(PAYROLL))
    vendor.on(EDIT, answer(400, {"error_message": "external_id has already been taken for this integration_name"}))
    answered = await updated(vendor, PROFILE)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.INVALID
    assert set(spelt(vendor)) == {"external_ids"}


async def test_a_value_that_its_holder_gives_up_meanwhile_is_written_once_more() -> None:
    vendor = company(shown(PAYROLL))
    taken = answer(400, {"error_message": "external_id has already been taken for this integration_name"})
    vendor.on(EDIT, taken, answer(200, {"error_message": "second try"}))
    await updated(vendor, PROFILE)
    assert spelt(vendor)[:2] == ["external_ids"] * 2
    assert vendor.calls.count("GET /v1/users/lookup_by_external_id") == 1, "one look tells who has it"


async def test_a_write_that_is_refused_under_both_names_says_both_reasons() -> None:
    vendor = company(shown(PAYROLL))
    refused = [answer(400, {"error_message": words}) for words in ("no such attribute", "not permitted")]
    vendor.on(EDIT, *refused)
    detail = "answered 400: no such attribute; with external_ids_attributes: answered 400: not permitted"
    assert await updated(vendor, PROFILE) == Rejected(reason=Reason.INVALID, detail=detail)


async def test_a_refusal_that_has_nothing_to_do_with_the_name_is_reported_though_the_other_name_is_ignored() -> None:
    vendor = company(shown(PAYROLL))
    vendor.on(EDIT, answer(400, {"error_message": "external_id is too long"}), shown())
    expected = Rejected(reason=Reason.INVALID, detail="answered 400: external_id is too long")
    assert await updated(vendor, PROFILE) == expected


async def test_a_user_who_vanishes_meanwhile_is_missing() -> None:
    gone = answer(404, {"error_message": "user not found"})
    assert await updated(company(shown(PAYROLL), gone), PROFILE) == Missing(key=KEY)
    assert await updated(company(shown(PAYROLL), shown(), gone), PROFILE) == Missing(key=KEY)


@pytest.mark.parametrize("refusal", [400, 404, 409])
async def test_an_update_whose_repeat_is_refused_is_read_back(refusal: int) -> None:
    vendor = company(shown(PAYROLL), shown(PORTAL, DRIVERI, PAYROLL))
    vendor.on(EDIT, answer(502), answer(refusal, {"error_message": "external id has already been taken"}))
    assert seen(await updated(vendor, PROFILE)) == PROFILE


@pytest.mark.parametrize("refusal", [400, 404, 409])
async def test_an_update_whose_repeat_is_refused_is_unknown_until_it_is_read_back(refusal: int) -> None:
    vendor = company(shown(PAYROLL), answer(503))
    vendor.on(EDIT, answer(502), answer(refusal, {"error_message": "no"}))
    answered = await updated(vendor, PROFILE)
    assert isinstance(answered, Unavailable)
    assert answered.reason is Reason.NO_ANSWER


async def test_a_removal_whose_repeat_finds_nothing_is_read_back() -> None:
    vendor = company(shown(PORTAL, FORMER), shown(PORTAL, FORMER), shown(PORTAL))
    vendor.on("DELETE /v1/external_ids/2", answer(502), answer(404, {"error_message": "not found"}))
    assert seen(await updated(vendor, {"portal_driver_id": "p-1"})) == {"portal_driver_id": "p-1"}
