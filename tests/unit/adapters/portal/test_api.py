"""What the Portal's API may answer, and what is made of it."""

from collections.abc import Mapping

import httpx
import pytest

from adapters.portal.api import AttributeRow, PortalAccess, PortalApiDrivers, with_attributes
from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.identity import PortalDriverId
from domain.ports import NO_ID, PortalLine
from tests.support.stated import said
from tests.unit.adapters.vendor import Answer, Vendor, answer, failure, page

pytestmark = pytest.mark.anyio

LOGIN, LIST, ATTRIBUTES = (f"GET /v2/{method}" for method in ("userauth/login", "driver/list", "driver/getattributes"))
OK = {"status": "OK"}
NAMES = {"driveri_driver_id": "Driveri DriverID"}


def framed(data: object) -> Answer:
    return answer(200, {"head": OK, "data": data})


def error(code: object, status: int = 200) -> Answer:
    body = {"head": {"status": "ERROR"}, "errors": [{"code": code, "message": "maria hush-app"}], "data": None}
    return answer(status, body)


@pytest.fixture
def vendor() -> Vendor:
    vendor = Vendor()
    vendor.on(LOGIN, framed({"token": "session-1"}), framed({"token": "session-2"}))
    vendor.on(LIST, framed([]))
    vendor.on(ATTRIBUTES, framed([]))
    return vendor


def reached(vendor: Vendor) -> PortalApiDrivers:
    access = PortalAccess(base_url="https://portal.test", username="maria", app_token="hush-app", attributes=NAMES)
    return PortalApiDrivers(
        access, transport=vendor.transport, clock=vendor.clock, pause=vendor.pause, jitter=lambda: 0.0
    )


async def lines(vendor: Vendor, *rows: object) -> list[PortalLine]:
    vendor.on(LIST, framed(list(rows)))
    return [line for page in (await reached(vendor).list_all()).pages() for line in page]


async def attributed(vendor: Vendor, *rows: object, driver: str = "1") -> PortalLine:
    vendor.on(ATTRIBUTES, framed(list(rows)))
    line = PortalLine(driver=PortalDriverId(driver), profile=said(first_name="Jane"))
    (found,) = await reached(vendor).with_attributes([line])
    return found


def attribute(value: object, *, key: str = "Driveri DriverID", id: object = "1") -> Mapping[str, object]:  # noqa: A002
    return {"id": id, "key": key, "value": value, "input_type": "text"}


@pytest.mark.parametrize("number", [417, "417", " 417 "])
async def test_an_id_is_the_same_as_number_and_as_text(vendor: Vendor, number: object) -> None:
    (line,) = await lines(vendor, {"id": number, "firstname": "Jane", "lastname": "Doe"})
    assert line == PortalLine(driver=PortalDriverId("417"), profile=said(first_name="Jane", last_name="Doe"))


async def test_what_a_row_leaves_out_is_not_stated_and_null_is_blank(vendor: Vendor) -> None:
    (line,) = await lines(vendor, {"id": 1, "firstname": "Jane", "lastname": "Doe", "email": None, "phone": 5550101})
    assert line.profile == said(first_name="Jane", last_name="Doe", email="", phone="5550101")


@pytest.mark.parametrize(
    ("row", "flaw"),
    [
        ({"id": 1, "firstname": "", "lastname": "Doe"}, "its first_name is blank"),
        ({"id": 1, "firstname": "Jane", "lastname": None}, "its last_name is blank"),
        ({"id": 1, "firstname": "Jane", "lastname": "D\u0007oe"}, "its last_name holds a control character"),
        ({"id": 1, "firstname": "Jane", "lastname": "Doe", "email": "jane"}, "its email is not an e-mail address"),
    ],
)
async def test_a_line_with_a_flaw_says_which_without_quoting_it(vendor: Vendor, row: object, flaw: str) -> None:
    (line,) = await lines(vendor, row)
    assert (line.driver, line.flaw) == ("1", flaw)


@pytest.mark.parametrize("row", [{}, {"id": ""}, {"id": None}, {"id": "1\n2"}, {"id": [1]}, 7, None])
async def test_a_row_that_names_no_driver_is_refused_and_hides_no_other_driver(vendor: Vendor, row: object) -> None:
    good, odd = await lines(vendor, {"id": 1, "firstname": "Jane", "lastname": "Doe"}, row)
    assert (good.driver, good.flaw) == ("1", "")
    assert (odd.driver, odd.flaw) == (NO_ID, "line 2 has no id that can be read")


@pytest.mark.parametrize("rows", [[{}], [{"id": []}] * 12 + [{"id": 1, "firstname": "Jane", "lastname": "Doe"}] * 20])
async def test_a_list_of_which_many_rows_name_no_driver_is_not_believed(vendor: Vendor, rows: list[object]) -> None:
    with pytest.raises(TargetFailed) as failed:
        await lines(vendor, *rows)
    assert failed.value.failure.reason is Reason.DOWN


@pytest.mark.parametrize("phone", [{"mobile": "555"}, ["555"], True, 5.5])
async def test_a_row_of_which_one_field_has_an_odd_form_is_refused_alone(vendor: Vendor, phone: object) -> None:
    good, odd = await lines(
        vendor,
        {"id": 1, "firstname": "Jane", "lastname": "Doe"},
        {"id": 2, "firstname": "Joan", "lastname": "Doe", "phone": phone},
    )
    assert (good.driver, good.flaw) == ("1", "")
    assert (odd.driver, odd.flaw) == ("2", "its phone is neither text nor number")


async def test_a_row_is_cleaned_as_at_every_other_door(vendor: Vendor) -> None:
    (line,) = await lines(vendor, {"id": "4\u200b17", "firstname": "Jane\u00a0 ", "lastname": "Doe\ufeff"})
    assert line == PortalLine(driver=PortalDriverId("417"), profile=said(first_name="Jane", last_name="Doe"))


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (framed(None), Reason.DOWN),
        (framed({"drivers": []}), Reason.DOWN),
        (answer(200, []), Reason.DOWN),
        (answer(200), Reason.DOWN),
        (page(200), Reason.DOWN),
        (answer(200, {"data": []}), Reason.DOWN),
        (answer(200, {"head": {"status": "ERROR"}, "data": []}), Reason.INVALID),
        (answer(200, {"head": OK, "errors": [{"code": 500}], "data": []}), Reason.DOWN),
        (error("500"), Reason.DOWN),
        (error(503), Reason.DOWN),
        (error(429), Reason.LIMITED),
        (error("oops"), Reason.INVALID),
        (error(403), Reason.CREDENTIALS),
        (error(403, 403), Reason.CREDENTIALS),
        (error(404, 404), Reason.NOT_CONFIGURED),
        (error(400, 400), Reason.INVALID),
        (answer(500), Reason.DOWN),
        (failure(httpx.ReadTimeout), Reason.DOWN),
    ],
)
async def test_nothing_but_a_list_in_a_good_frame_is_a_list(vendor: Vendor, listed: Answer, reason: Reason) -> None:
    vendor.on(LIST, listed)
    with pytest.raises(TargetFailed) as failed:
        await reached(vendor).list_all()
    assert failed.value.failure.reason is reason
    assert not any(secret in str(failed.value) for secret in ("hush", "maria", "session"))


async def test_one_login_serves_all_calls(vendor: Vendor) -> None:
    drivers = reached(vendor)
    for _ in range(3):
        await drivers.list_all()
    assert vendor.calls == [LOGIN, *[LIST] * 3]
    assert vendor.queries(LOGIN) == [{"username": "maria", "app_token": "hush-app"}]
    assert vendor.queries(LIST) == [{"session_token": "session-1"}] * 3


@pytest.mark.parametrize("over", [error(403, 403), error(403), error(401, 401)])
async def test_a_session_that_is_over_is_followed_by_another(vendor: Vendor, over: Answer) -> None:
    vendor.on(LIST, over, framed([]))
    assert len(await reached(vendor).list_all()) == 0
    assert vendor.queries(LIST) == [{"session_token": "session-1"}, {"session_token": "session-2"}]


async def test_a_user_without_the_right_is_logged_in_once_more_and_then_refused(vendor: Vendor) -> None:
    vendor.on(LIST, error(403, 403))
    with pytest.raises(TargetFailed, match="credentials: answered 403"):
        await reached(vendor).list_all()
    assert vendor.calls == [LOGIN, LIST, LOGIN, LIST]


@pytest.mark.parametrize(
    "login", [framed({}), framed({"token": ""}), framed({"token": "hush\0"}), framed(None), answer(200, {})]
)
async def test_a_login_without_a_session_is_not_a_login(vendor: Vendor, login: Answer) -> None:
    vendor.on(LOGIN, login)
    with pytest.raises(TargetFailed, match="down"):
        await reached(vendor).list_all()
    assert vendor.calls == [LOGIN]


@pytest.mark.parametrize("id", [1, "1"])
async def test_an_attribute_states_its_field(vendor: Vendor, id: object) -> None:  # noqa: A002 - the row's word
    line = await attributed(vendor, attribute("B", key="Hazmat Certified", id=id), attribute(4711, id=id))
    assert (line.profile, line.flaw) == (said(first_name="Jane", driveri_driver_id="4711"), "")
    assert vendor.queries(ATTRIBUTES) == [{"driver": "1", "session_token": "session-1"}]


async def test_an_attribute_that_is_not_there_states_nothing_and_an_empty_one_a_blank(vendor: Vendor) -> None:
    assert (await attributed(vendor)).profile == said(first_name="Jane")
    assert (await attributed(vendor, attribute(None))).profile == said(first_name="Jane", driveri_driver_id="")


async def test_attributes_of_another_driver_are_not_taken_for_this_ones(vendor: Vendor) -> None:
    line = await attributed(vendor, attribute("D2", id="2"))
    assert line.profile == said(first_name="Jane")
    assert "another driver" in line.flaw


async def test_an_attribute_with_a_flaw_is_reported(vendor: Vendor) -> None:
    assert (await attributed(vendor, attribute("4.55E+06"))).flaw.startswith("its driveri_driver_id was shortened")


@pytest.mark.parametrize("unknown", [error(404), error(404, 404)])
async def test_a_driver_whose_attributes_are_unknown_is_reported(vendor: Vendor, unknown: Answer) -> None:
    vendor.on(ATTRIBUTES, unknown)
    line = PortalLine(driver=PortalDriverId("1"), profile=said())
    (found,) = await reached(vendor).with_attributes([line])
    assert "knows no attributes" in found.flaw


@pytest.mark.parametrize("odd", [{"a": 1}, [1], ["D1"]])
async def test_an_attribute_of_an_odd_form_is_the_trouble_of_its_driver_alone(vendor: Vendor, odd: object) -> None:
    vendor.on(ATTRIBUTES, framed([{"id": "1", "key": NAMES["driveri_driver_id"], "value": odd}]))
    line = PortalLine(driver=PortalDriverId("1"), profile=said(first_name="Jane"))
    (found,) = await reached(vendor).with_attributes([line])
    assert found.profile == line.profile
    assert found.flaw == "one of its attributes has a form that cannot be read"


@pytest.mark.parametrize("trouble", [error(500), page(404), framed(None), framed([{"id": 1}])])
async def test_attributes_that_cannot_be_read_fail(vendor: Vendor, trouble: Answer) -> None:
    vendor.on(ATTRIBUTES, trouble)
    with pytest.raises(TargetFailed):
        await reached(vendor).with_attributes([PortalLine(driver=PortalDriverId("1"), profile=said())] * 3)


def test_a_login_is_named_by_a_digest() -> None:
    one, same, other = (
        PortalAccess(base_url="https://portal.test", username=name, app_token=token).login
        for name, token in (("maria", "a"), ("maria", "b"), ("bob", "a"))
    )
    assert one == same != other
    assert "maria" not in one


async def test_a_phone_that_a_spreadsheet_shortened_says_nothing(vendor: Vendor) -> None:
    (line,) = await lines(vendor, {"id": 1, "firstname": "Jane", "lastname": "Doe", "phone": "4.55E+09"})
    assert (line.profile, line.flaw) == (said(first_name="Jane", last_name="Doe"), "")


def test_a_time_zone_of_an_attribute_is_reported_by_its_iana_name_or_not_at_all() -> None:
    line = PortalLine(driver=PortalDriverId("1"), profile=said(first_name="Jane"))
    for written, stated in (("Arizona", {"time_zone": "America/Phoenix"}), ("Mars", {})):
        rows = [AttributeRow(id="1", key="Zone", value=written)]
        found = with_attributes(line, rows, {"time_zone": "Zone"})
        assert (found.profile, found.flaw) == (said(first_name="Jane", **stated), "")


@pytest.mark.parametrize("asked_for", ["1767268860000", "3567268860", "9" * 400, "Fri, 01 Jan 2083 12:00:00 GMT"])
async def test_a_portal_that_is_limited_is_left_alone_for_a_day_at_most(vendor: Vendor, asked_for: str) -> None:
    vendor.on(LIST, answer(429, headers={"Retry-After": asked_for}))
    with pytest.raises(TargetFailed) as failed:
        await reached(vendor).list_all()
    limited = failed.value.failure
    assert isinstance(limited, Unavailable)
    assert (limited.reason, limited.retry_after) == (Reason.LIMITED, 86_400.0)


async def test_a_name_of_eleven_megabytes_is_refused_and_costs_no_other_driver_anything(vendor: Vendor) -> None:
    long, good = await lines(
        vendor,
        {"id": 1, "firstname": "J" * 11_000_000, "lastname": "Doe"},
        {"id": 2, "firstname": "Joan", "lastname": "Doe"},
    )
    assert (long.driver, long.flaw) == ("1", "its first_name is longer than 200 characters")
    assert (good.driver, good.flaw) == ("2", "")


@pytest.mark.parametrize("odd", [None, {}, "none", [{"id": 1}], ["text"], [None]])
async def test_attributes_of_an_odd_form_are_the_trouble_of_their_driver_alone(vendor: Vendor, odd: object) -> None:
    good = framed([attribute("D1", id="2")])
    vendor.on(ATTRIBUTES, framed(odd), good)
    asked = [PortalLine(driver=PortalDriverId(number), profile=said()) for number in ("1", "2")]
    found = await reached(vendor).with_attributes(asked)
    assert sorted(line.flaw for line in found) in (
        ["", "its attributes have a form that cannot be read"],
        ["its attributes are another driver's", "its attributes have a form that cannot be read"],
    )


@pytest.mark.parametrize("errors", [["text"], [None], [{"code": {}}], [{"code": None}, {"code": 403}], [7]])
async def test_a_refusal_with_an_odd_reason_is_a_refusal(vendor: Vendor, errors: list[object]) -> None:
    vendor.on(LIST, answer(200, {"head": {"status": "ERROR"}, "errors": errors, "data": None}))
    with pytest.raises(TargetFailed) as raised:
        await reached(vendor).list_all()
    assert isinstance(raised.value.failure, Rejected)
