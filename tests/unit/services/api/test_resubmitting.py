"""Dead letters that are submitted again: exactly what the service will consume, and what becomes of it."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.store import Resubmission
from services.decider.read_models import DesiredRow
from tests.unit.services.api.api_stand import CHANGES, GOOD, ApiStand, Json, letter, name

pytestmark = pytest.mark.anyio

AS_IT_WAS = Resubmission(
    stream=CHANGES,
    position=7,
    log_position=5,
    id=f"{GOOD.originator_id}/1",
    topic=GOOD.topic,
    body=b64encode(GOOD.state).decode(),
)


async def shown(stand: ApiStand, position: int = 7) -> Json:
    """The document of a letter."""
    document: Json = (await stand.get("/dead-letters/letter", name=name(position))).json()
    return document


async def mend(stand: ApiStand, document: Mapping[str, object], position: int = 7) -> str:
    """Submit a letter as this document says; why it is refused, if it is."""
    body = {"name": name(position), "mended": json.dumps(document)}
    answer = await stand.post("/dead-letters/resubmission", body)
    return "" if answer.is_success else str(answer.json()["detail"])


async def test_a_letter_is_submitted_as_it_was_and_nothing_else_changes(stand: ApiStand) -> None:
    stand.keep(letter(7, log_position=5), letter(8))
    before = stand.letters()
    assert (await stand.post("/dead-letters/resubmission", {"name": name(7)})).json() == {"name": name(7)}
    assert (stand.submitted(), stand.letters(), stand.decider.log.end()) == ([AS_IT_WAS], before, 0)


async def test_a_record_without_a_sequence_gets_its_position(stand: ApiStand) -> None:
    stand.keep(letter(7, log_position=0))
    await stand.post("/dead-letters/resubmission", {"name": name(7)})
    assert [each.log_position for each in stand.submitted()] == [7]
    assert await mend(stand, await shown(stand)) == ""
    assert [each.log_position for each in stand.submitted()] == [7]


@pytest.mark.parametrize("body", [GOOD.state, b"", b"{", b' {"a": 1}', b'{"a":1,"a":2}', b"\xff\0", b" \n", b"{}"])
async def test_an_unchanged_document_stands_for_the_same_record(stand: ApiStand, body: bytes) -> None:
    stand.keep(letter(7, body, log_position=5))
    assert await mend(stand, await shown(stand)) == ""
    (submitted,) = stand.submitted()
    assert replace(submitted, body="") == replace(AS_IT_WAS, body="")
    assert b64decode(submitted.body) in (body, body.replace(b" ", b""))


async def test_what_was_mended_in_a_document_is_submitted(stand: ApiStand) -> None:
    stand.keep(letter(7, b"{"))
    other = uuid4()
    mended = {"id": f"{other}/12", "type": "PortalDriver.DriverUpdated", "sequence": 99, "body": {"a": "Zoë "}}
    assert await mend(stand, {**await shown(stand), **mended}) == ""
    expected = Resubmission(
        stream=CHANGES,
        position=7,
        log_position=99,
        id=f"{other}/12",
        topic="PortalDriver.DriverUpdated",
        body=b64encode('{"a":"Zoë "}'.encode()).decode(),
    )
    assert stand.submitted() == [expected]


async def test_an_id_is_submitted_as_the_services_write_it(stand: ApiStand) -> None:
    stand.keep(letter(7))
    odd = f"{{{str(GOOD.originator_id).upper()}}}/007"
    assert await mend(stand, {**await shown(stand), "id": odd}) == ""
    assert stand.submitted()[0].id == f"{GOOD.originator_id}/7"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": name(8)}, f"what is mended there is '{name(8)}', not {name(7)}"),
        ({"id": ""}, "id: "),
        ({"id": "nobody/1"}, "id: "),
        ({"id": str(GOOD.originator_id)}, "id: must end in a slash and the version"),
        ({"id": f"{GOOD.originator_id}/0"}, "id: must have a version from 1 on"),
        ({"id": f"{GOOD.originator_id}/{2**63}"}, "id: must have a version from 1 on"),
        ({"id": f"{GOOD.originator_id}/{'9' * 5000}"}, "id: must end in a slash and the version"),
        ({"type": ""}, "type: "),
        ({"type": "a\nb"}, "type: must not hold control characters"),
        ({"type": 7}, "type: "),
        ({"sequence": -1}, "sequence: "),
        ({"sequence": 2**63}, "sequence: "),
        ({"sequence": "soon"}, "sequence: "),
        ({"body": [1]}, "body: must be a JSON object, or text"),
        ({"body": None}, "must have a body or a body_base64, and not both"),
        ({"body_base64": "YQ=="}, "must have a body or a body_base64, and not both"),
        ({"body": None, "body_base64": "???"}, "body_base64: "),
        ({"body": {"a": float("nan")}}, "body: "),
    ],
    ids=range(18),
)
async def test_a_document_that_cannot_be_taken_is_refused_in_one_line_and_nothing_is_submitted(
    stand: ApiStand, wrong: Json, says: str
) -> None:
    stand.keep(letter(7))
    document = {key: value for key, value in {**await shown(stand), **wrong}.items() if value is not None}
    problem = await mend(stand, document)
    assert says in problem
    assert "\n" not in problem
    assert "Jane" not in problem
    assert stand.submitted() == []


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "null", '{"name":', "[" * 10_000])
async def test_what_is_not_a_document_is_refused(stand: ApiStand, text: str) -> None:
    stand.keep(letter(7))
    answer = await stand.post("/dead-letters/resubmission", {"name": name(7), "mended": text})
    assert (answer.status_code, stand.submitted()) == (400, [])
    assert answer.json()["detail"].startswith("what is mended cannot be taken: ")


@pytest.mark.parametrize("missing", ["name", "id", "type", "sequence", "body"])
async def test_a_document_needs_everything_that_makes_a_record(stand: ApiStand, missing: str) -> None:
    stand.keep(letter(7))
    document = await shown(stand)
    del document[missing]
    assert missing in await mend(stand, document)
    assert stand.submitted() == []


async def test_a_letter_that_is_consumed_is_settled(stand: ApiStand) -> None:
    stand.keep(letter(7))
    assert await outcome(stand) == ("kept", "LookupError: no such thing")
    await stand.post("/dead-letters/resubmission", {"name": name(7)})
    assert await outcome(stand) == ("waiting", "")
    stand.step()
    assert await outcome(stand) == ("settled", "")
    assert [row.driver for row in stand.decider.select(DesiredRow)] == ["417"]


async def test_a_letter_that_still_cannot_be_handled_is_kept_with_the_new_reason(stand: ApiStand) -> None:
    stand.keep(letter(7))
    await mend(stand, {**await shown(stand), "type": "PortalDriver.DriverPraised"})
    stand.step()
    assert await outcome(stand) == ("kept", "submitted again: unknown type 'PortalDriver.DriverPraised'")


async def test_many_are_submitted_page_by_page(stand: ApiStand) -> None:
    stand.keep(*(letter(position, reason="unknown type 'X'") for position in range(1, 151)))
    stand.keep(letter(151))
    stand.keep(letter(1, reason="unknown type 'X'"), service="projector-motive")
    first = (await stand.post("/dead-letters/resubmissions", {"reason": "unknown"})).json()
    assert first == {"submitted": 100, "next": name(100)}
    second = (await stand.post("/dead-letters/resubmissions", {"reason": "unknown", "after": first["next"]})).json()
    assert second == {"submitted": 51, "next": None}
    assert [each.position for each in stand.submitted()] == list(range(1, 151))
    assert [each.position for each in stand.submitted("projector-motive")] == [1]


async def test_all_are_submitted_where_nothing_else_is_said(stand: ApiStand) -> None:
    stand.keep(letter(1), letter(2, b'{"account":"beta"}'))
    assert (await stand.post("/dead-letters/resubmissions", {"account": "beta"})).json()["submitted"] == 1
    assert (await stand.post("/dead-letters/resubmissions", {})).json()["submitted"] == 2
    assert [each.position for each in stand.submitted()] == [1, 2]


async def outcome(stand: ApiStand) -> tuple[str, str]:
    """What became of the letter, and why."""
    told = (await stand.get("/dead-letters/outcome", name=name(7))).json()
    assert told["name"] == name(7)
    return told["became"], told["reason"]


async def test_a_field_that_a_mended_profile_leaves_out_stays_and_a_blank_one_is_taken_back(
    stand: ApiStand,
) -> None:
    said = json.loads(GOOD.state)
    profile = {"first_name": "Jane", "last_name": "Doe", "ref_id": "00417", "driveri_driver_id": "DRV-1", "phone": "1"}
    stand.keep(letter(7, json.dumps({**said, "profile": profile}).encode()))
    document = await shown(stand)
    document["body"]["profile"] = {"first_name": "Joan", "last_name": "Doe", "phone": ""}
    assert await mend(stand, document) == ""
    stand.step()
    (row,) = stand.decider.select(DesiredRow)
    assert row.profile == {
        "first_name": "Joan",
        "last_name": "Doe",
        "ref_id": "00417",
        "driveri_driver_id": "DRV-1",
    }
