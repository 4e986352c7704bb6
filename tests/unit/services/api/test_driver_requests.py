"""What a command says of a driver goes through the same checks as what comes by every other door."""

import pytest

from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio

JANE: Json = {"first_name": "Jane", "last_name": "Doe"}


@pytest.fixture
async def stand(tmp_path_factory: pytest.TempPathFactory) -> ApiStand:
    stand = ApiStand(tmp_path_factory.mktemp("data"))
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "mode": "full", "master_user": "jane"})
    return stand


async def stated(stand: ApiStand, action: str, driver: str, **profile: str) -> tuple[int, Json]:
    body = {"action": action, "driver": driver, "profile": profile}
    answer = await stand.post("/accounts/acme/drivers", body)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("email", "notanemail", "email is not an e-mail address"),
        ("time_zone", "Mars", "time_zone is not a time zone that we know; give its IANA name, as America/Chicago"),
        ("ref_id", "4.55E+06", "ref_id was shortened by Excel"),
        ("ref_id", "#REF!", "ref_id holds the error of a spreadsheet"),
        ("driveri_driver_id", "12-Mar", "driveri_driver_id was made a date by a spreadsheet"),
        ("phone", "1\n2", "phone holds a line break"),
        ("last_name", "D\0oe", "last_name holds a control character"),
        ("first_name", "J" * 11_000_000, "first_name is longer than 200 characters"),
        ("first_name", "\u200b", "first_name is blank"),
        ("shoe\u202e_size", "9", "unknown field shoe_size; there are: first_name"),
    ],
)
async def test_what_cannot_stand_in_a_field_is_refused_in_words(
    stand: ApiStand, field: str, text: str, words: str
) -> None:
    status, answer = await stated(stand, "create", "417", **{**JANE, field: text})
    assert (status, answer["detail"][: len(words)]) == (400, words)
    assert (await stated(stand, "delete", "417"))[0] == 404


@pytest.mark.parametrize("driver", ["4,550", "12-\u200bMar", "=A1", "#N/A", "x" * 205])
async def test_an_id_that_no_list_may_state_is_refused(stand: ApiStand, driver: str) -> None:
    status, answer = await stated(stand, "create", driver, **JANE)
    assert (status, answer["detail"].startswith("driver")) == (400, True), answer


async def test_what_is_only_dressed_or_unseen_is_cleaned(stand: ApiStand) -> None:
    status, _ = await stated(
        stand, "create", "00\u200b417", **{**JANE, "ref_id": '="00417"', "time_zone": "Arizona", "email": ""}
    )
    assert status == 200
    found = await stand.get("/accounts/acme/explanation", driver="\u00a000417\u2060")
    assert found.json()["explanation"]["driver"] == "00417"


@pytest.mark.parametrize(
    "named", ["00417", "00\u200b417", "\ufeff00417", " 00417\u3000", "0\u00ad0417", '="00417"', "'00417"]
)
async def test_who_is_stored_can_be_named_by_every_text_that_looks_the_same(stand: ApiStand, named: str) -> None:
    assert (await stated(stand, "create", "00417", **JANE))[0] == 200
    assert await stated(stand, "update", named, phone="555 0100") == (
        200,
        {"account": "acme", "driver": "00417", "change": "DriverUpdated"},
    )
    assert (await stated(stand, "delete", named))[0] == 200


async def test_lines_of_a_list_are_cleaned_too(stand: ApiStand) -> None:
    line = {"line": 2, "driver": "4\u200b17", "profile": {**JANE, "first_name": "Ja\0ne", "phone": "5\u00a06"}}
    answer = await stand.post("/accounts/acme/lists", {"lines": [line]})
    assert answer.json()["changes"] == {"DriverCreated": 1}
    found = (await stand.get("/accounts/acme/explanation", driver="417")).json()["explanation"]
    assert found["driver"] == "417"


@pytest.mark.parametrize("person", ["", "\u200b", "ja\0ne", "jane\x1b[2J"])
async def test_a_person_without_a_name_that_can_be_stored_is_refused(stand: ApiStand, person: str) -> None:
    answer = await stand.post("/accounts/acme/sync", {"by": person, "on": True})
    assert (answer.status_code, answer.json()["detail"].startswith("by: ")) == (400, True)
