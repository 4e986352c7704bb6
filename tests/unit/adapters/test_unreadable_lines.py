"""One line of an odd form hides no other: strictness is for each driver, not for the list."""

import json

import httpx
import pytest
from structlog.testing import capture_logs

from adapters.driveri.wire import DRIVERS, DriversPage
from adapters.http.response import OddLine, UnexpectedForm, read_lines, read_one
from adapters.motive.wire import USERS, UserAnswer, UsersPage, user_of
from domain.failures import LONGEST_DETAIL, Reason, Rejected, Unavailable, redacted

GOOD = {"driverId": "D1", "status": 1, "firstName": "Ann"}
USER = {"id": 1, "role": "driver", "status": "active", "first_name": "Ann", "external_ids": []}


def driveri(*rows: object) -> httpx.Response:
    return httpx.Response(200, content=json.dumps({"data": {"drivers": rows}}))


def motive(*users: object) -> httpx.Response:
    return httpx.Response(200, content=json.dumps({"users": [{"user": user} for user in users]}))


@pytest.mark.parametrize(
    ("odd", "value"), [("email", {"a": 1}), ("firstName", ["x"]), ("group", "north"), ("group", {"groupName": []})]
)
def test_a_field_of_an_odd_form_is_taken_as_not_shown(odd: str, value: object) -> None:
    read = read_lines(driveri(GOOD, {**GOOD, "driverId": "D2", odd: value}), DriversPage, DRIVERS)
    assert [row.driver_id for row in read.answer.drivers] == ["D1", "D2"]
    assert (read.answer.drivers[1].email, read.answer.drivers[1].group, read.left_out) == (None, None, 0)


@pytest.mark.parametrize(
    "row",
    [
        {**GOOD, "driverId": None},
        {**GOOD, "driverId": "D\0002"},
        {**GOOD, "driverId": "\x1b[2J"},
        {**GOOD, "driverId": "D" * 1_000},
        {**GOOD, "status": {}},
        "odd",
    ],
)
def test_a_line_that_names_no_driver_is_left_out(row: object) -> None:
    read = read_lines(driveri(GOOD, row), DriversPage, DRIVERS)
    assert ([each.driver_id for each in read.answer.drivers], read.left_out) == (["D1"], 1)


def test_a_user_whose_phone_is_an_object_is_read_without_it() -> None:
    read = read_lines(motive(USER, {**USER, "id": 2, "phone": {"mobile": "1"}}), UsersPage, USERS)
    assert [(each.user.id, each.user.phone) for each in read.answer.users] == [(1, None), (2, None)]


@pytest.mark.parametrize(
    ("odd", "value"), [("id", 2**63), ("id", "x"), ("role", []), ("status", {}), ("external_ids", "x")]
)
def test_a_user_who_is_not_known_well_enough_is_left_out(odd: str, value: object) -> None:
    read = read_lines(motive(USER, {**USER, "id": 2, odd: value}), UsersPage, USERS)
    assert ([each.user.id for each in read.answer.users], read.left_out) == ([1], 1)


def test_one_user_is_read_without_a_field_of_an_odd_form() -> None:
    reply = httpx.Response(200, json={"user": {**USER, "phone": {"mobile": "1"}}})
    assert read_one(reply, UserAnswer, USERS).user.phone is None
    assert user_of(reply) == read_one(reply, UserAnswer, USERS).user
    odd = httpx.Response(200, json={"user": {**USER, "role": []}})
    assert user_of(odd) is None
    with pytest.raises(OddLine):
        read_one(odd, UserAnswer, USERS)
    with pytest.raises(UnexpectedForm) as raised:
        read_one(httpx.Response(200, json={}), UserAnswer, USERS)
    assert not isinstance(raised.value, OddLine)


@pytest.mark.parametrize("name", [b"Jos\xe9", b"Jos\\ud83d", b"Jos\x01"])
def test_a_text_that_is_cut_in_a_character_hides_no_others(name: bytes) -> None:
    body = b'{"data": {"drivers": [{"driverId": "D1", "status": 1, "firstName": "%s"}]}}' % name
    (row,) = read_lines(httpx.Response(200, content=body), DriversPage, DRIVERS).answer.drivers
    assert (row.first_name or "").startswith("Jos")


@pytest.mark.parametrize(
    "reply",
    [
        driveri({**GOOD, "status": {}}),
        driveri(*[GOOD] * 12, *[{**GOOD, "email": {}}] * 11),
        httpx.Response(200, json={"data": {"drivers": "none"}}),
        httpx.Response(200, json={"data": {"drivers": [GOOD, {}]}, "links": 7}),
        httpx.Response(200, content=b'{"data": {"drivers": ['),
        httpx.Response(200, content=b"[" * 100_000),
    ],
)
def test_a_list_is_doubted_when_its_frame_or_many_lines_are_odd(reply: httpx.Response) -> None:
    with pytest.raises(UnexpectedForm) as raised:
        read_lines(reply, DriversPage, DRIVERS)
    assert raised.value.failure.reason is Reason.DOWN


def test_what_a_target_says_of_a_failure_is_cleaned_and_cut() -> None:
    for failure in (
        Rejected(reason=Reason.INVALID, detail="a\0b\x1b[2J\nc\ud800" + "x" * 5_000),
        Unavailable(reason=Reason.DOWN, detail="a\0b\x1b[2J\nc\ud800" + "x" * 5_000),
    ):
        assert failure.detail.startswith("ab[2J c\ufffdxx")
        assert len(failure.detail) == LONGEST_DETAIL


def test_unseen_characters_do_not_keep_personal_data_from_being_hidden() -> None:
    assert redacted("Ja\u200bne\0 is taken", {"first_name": "Jane"}) == "<first_name> is taken"


def test_a_field_of_an_odd_form_is_reported_with_its_place_and_whose_it_is() -> None:
    with capture_logs() as logs:
        read_lines(motive(USER, {**USER, "id": 2, "phone": {"mobile": "303-555-0142"}}), UsersPage, USERS)
    expected = {"event": "line_unreadable", "log_level": "warning", "at": "users.1", "fields": ["phone"], "id": "2"}
    assert logs == [expected]


def test_a_number_of_any_length_hides_no_other_line() -> None:
    body = json.dumps({"users": [{"user": USER}, {"user": {**USER, "id": 2, "phone": 0}}, {"user": {**USER, "id": 3}}]})
    long = body.replace('"phone": 0', '"phone": ' + "9" * 5_000).replace('"id": 3', '"id": ' + "9" * 5_000)
    read = read_lines(httpx.Response(200, content=long), UsersPage, USERS)
    assert ([each.user.id for each in read.answer.users], read.left_out) == ([1, 2], 1)


def test_a_byte_order_mark_before_an_answer_says_nothing() -> None:
    marked = httpx.Response(200, content=b"\xef\xbb\xbf" + motive(USER, {**USER, "id": 2}).content)
    odd = httpx.Response(200, content=b"\xef\xbb\xbf" + motive(USER, {**USER, "id": 2, "phone": []}).content)
    for reply in (marked, odd):
        read = read_lines(reply, UsersPage, USERS)
        assert [each.user.id for each in read.answer.users] == [1, 2]
