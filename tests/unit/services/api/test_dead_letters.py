"""Dead letters, as commands ask for them: listed, and shown with all that they say."""

from base64 import b64encode
from dataclasses import replace

import pytest

from domain.store import Resubmission
from tests.unit.services.api.api_stand import CHANGES, GOOD, NOW, ApiStand, Json, letter, name

pytestmark = pytest.mark.anyio

OUTCOMES = "1/targets.outcomes.v1.motive/0"


async def all_names(stand: ApiStand, **query: str) -> list[str]:
    """Every dead letter that is listed, over all pages."""
    page: Json = (await stand.get("/dead-letters", **query)).json()
    names = [each["name"] for each in page["letters"]]
    return names if page["next"] is None else [*names, *await all_names(stand, **{**query, "after": page["next"]})]


async def test_without_dead_letters_nothing_is_listed(stand: ApiStand) -> None:
    assert (await stand.get("/dead-letters")).json() == {"letters": [], "next": None}
    assert (await stand.get("/dead-letters/count")).json() == {"letters": 0, "waiting": 0}


async def test_a_letter_is_listed_with_its_place_and_reason_and_without_what_it_says(stand: ApiStand) -> None:
    stand.keep(letter(7))
    answer = await stand.get("/dead-letters")
    assert answer.json()["letters"] == [
        {
            "name": name(7),
            "type": "PortalDriver.DriverCreated",
            "account": "acme",
            "reason": "LookupError: no such thing",
            "since": NOW.isoformat(),
            "is_waiting": False,
        }
    ]
    assert "Jane" not in answer.text


async def test_letters_come_by_service_stream_and_position(stand: ApiStand) -> None:
    stand.keep(
        letter(10),
        letter(9),
        letter(2, stream=OUTCOMES),
        letter(1, stream="2/accounts.v1/0"),
        letter(3, stream="accounts.v1/0"),
    )
    stand.keep(letter(1), service="projector-motive")
    stand.keep(letter(1), service="projector-driveri")
    expected = [
        name(9),
        name(10),
        name(2, OUTCOMES),
        name(1, "2/accounts.v1/0"),
        name(3, "accounts.v1/0"),
        name(1, service="projector-driveri"),
        name(1, service="projector-motive"),
    ]
    assert await all_names(stand) == expected
    assert [await all_names(stand, after=each) for each in expected] == [
        expected[place:] for place in range(1, len(expected) + 1)
    ]


async def test_many_letters_come_in_pages(stand: ApiStand) -> None:
    stand.keep(*(letter(position) for position in range(1, 151)))
    stand.keep(*(letter(position, stream=OUTCOMES) for position in range(1, 51)))
    stand.keep(letter(1), service="projector-motive")
    first = (await stand.get("/dead-letters")).json()
    assert (len(first["letters"]), first["next"]) == (100, name(100))
    assert await all_names(stand) == [
        *(name(position) for position in range(1, 151)),
        *(name(position, OUTCOMES) for position in range(1, 51)),
        name(1, service="projector-motive"),
    ]
    assert (await stand.get("/dead-letters/count")).json() == {"letters": 201, "waiting": 0}


async def test_letters_are_found_by_service_account_and_reason_on_any_page(stand: ApiStand) -> None:
    stand.keep(*(letter(position) for position in range(1, 130)))
    stand.keep(letter(130, b'{"account":"beta"}', reason="Unknown type 'X'"), letter(131, reason="unknown type 'Y'"))
    stand.keep(letter(1, reason="unknown type 'X'"), service="projector-motive")
    assert await all_names(stand, reason="UNKNOWN") == [name(130), name(131), name(1, service="projector-motive")]
    assert await all_names(stand, reason="unknown", service="decider") == [name(130), name(131)]
    assert await all_names(stand, account="beta") == [name(130)]
    assert await all_names(stand, service="projector-motive") == [name(1, service="projector-motive")]
    assert await all_names(stand, service="decider", after=name(1, service="projector-motive")) == []
    assert (await stand.get("/dead-letters/count", service="projector-motive")).json()["letters"] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b'"acme"', b"{}", b'{"account":7}', b'{"account":"\\u001b[31m"}', b'{"account":"a\\nb"}'],
)
async def test_an_account_that_cannot_be_made_out_stays_blank(stand: ApiStand, body: bytes) -> None:
    stand.keep(letter(1, body))
    assert (await stand.get("/dead-letters")).json()["letters"][0]["account"] == ""


async def test_what_was_submitted_again_is_marked_until_it_is_looked_at(stand: ApiStand) -> None:
    stand.keep(letter(1), letter(2), letter(1, stream=OUTCOMES))
    await stand.post("/dead-letters/resubmission", {"name": name(1)})
    listed = (await stand.get("/dead-letters")).json()["letters"]
    assert [each["name"] for each in listed if each["is_waiting"]] == [name(1)]
    assert (await stand.get("/dead-letters/letter", name=name(1))).json()["is_waiting"] is True
    assert (await stand.get("/dead-letters/count")).json() == {"letters": 3, "waiting": 1}


async def test_a_letter_is_shown_with_everything(stand: ApiStand) -> None:
    headers = [["ce_id", b64encode("Zoë".encode()).decode()], ["odd", b64encode(b"\xff").decode()]]
    stand.keep(letter(7, b'{"account":"acme","profile":{"first_name":"Jane"}}', headers=headers, log_position=5))
    assert (await stand.get("/dead-letters/letter", name=name(7))).json() == {
        "name": name(7),
        "reason": "LookupError: no such thing",
        "since": NOW.isoformat(),
        "is_waiting": False,
        "headers": [{"name": "ce_id", "value": "Zoë"}, {"name": "odd", "value_base64": "/w=="}],
        "id": f"{GOOD.originator_id}/1",
        "type": "PortalDriver.DriverCreated",
        "sequence": 5,
        "body": {"account": "acme", "profile": {"first_name": "Jane"}},
    }


@pytest.mark.parametrize(
    ("key", "shown"),
    [(None, {}), ("", {"key": ""}), (b64encode(b"acme").decode(), {"key": "acme"}), ("/w==", {"key_base64": "/w=="})],
    ids=["none", "empty", "text", "bytes"],
)
async def test_the_key_is_shown_where_there_is_one(stand: ApiStand, key: str | None, shown: Json) -> None:
    stand.keep(replace(letter(7), key=key))
    document: Json = (await stand.get("/dead-letters/letter", name=name(7))).json()
    assert {field: value for field, value in document.items() if field.startswith("key")} == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        " {'a': 1}\n",
        "[1]",
        '"text"',
        "7",
        '{"a":1,"a":2}',
        '{"a":NaN}',
        '{"a":1e999}',
        '{"a":"\\ud800"}',
        '{"a":' * 40 + "1" + "}" * 40,
        "[" * 100_000,
        '{"a":' + "9" * 5000 + "}",
        "\0\x1b[31m\u2028",
    ],
    ids=range(14),
)
async def test_a_body_that_an_object_would_not_keep_whole_is_shown_as_text(stand: ApiStand, text: str) -> None:
    stand.keep(letter(1, text.encode()))
    assert (await stand.get("/dead-letters/letter", name=name(1))).json()["body"] == text


async def test_a_body_that_is_not_text_is_shown_in_base64(stand: ApiStand) -> None:
    stand.keep(letter(1, b"\xff\0"))
    shown = (await stand.get("/dead-letters/letter", name=name(1))).json()
    assert (shown["body_base64"], "body" in shown) == ("/wA=", False)


async def test_an_unknown_letter_is_not_found(stand: ApiStand) -> None:
    stand.keep(letter(1))
    for answer in (
        await stand.get("/dead-letters/letter", name=name(2)),
        await stand.post("/dead-letters/resubmission", {"name": name(2)}),
        await stand.post("/dead-letters/discard", {"name": name(2)}),
    ):
        assert (answer.status_code, name(2) in answer.json()["detail"]) == (404, True)


BAD_NAMES = (
    "",
    "42",
    "decider",
    CHANGES,
    f"decider/{CHANGES}",
    f"decider/{CHANGES}/",
    f"decider/{CHANGES}/-1",
    f"decider/{CHANGES}/one",
    f"decider/{CHANGES}/٣",
    f"decider/{CHANGES}/{2**63}",
    f"decider/{CHANGES}/1/2",
    "decider/1/\0/0/1",
)


@pytest.mark.parametrize("bad", BAD_NAMES, ids=range(len(BAD_NAMES)))
async def test_what_is_not_a_name_is_refused(stand: ApiStand, bad: str) -> None:
    answers = [
        await stand.get("/dead-letters/letter", name=bad),
        await stand.get("/dead-letters/outcome", name=bad),
        await stand.post("/dead-letters/resubmission", {"name": bad}),
        await stand.post("/dead-letters/discard", {"name": bad}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 4
    said = ("`driverlink dead-letters list` prints them", "the address must not hold the character NUL")
    assert all(answer.json()["detail"].endswith(said) for answer in answers)


async def test_an_unknown_service_is_named_with_those_that_there_are(stand: ApiStand) -> None:
    for answer in (
        await stand.get("/dead-letters", service="gossip"),
        await stand.get("/dead-letters/count", service="gossip"),
        await stand.get("/dead-letters", after=name(service="gossip")),
        await stand.get("/dead-letters/letter", name=name(service="gossip")),
        await stand.post("/dead-letters/resubmissions", {"service": "gossip"}),
    ):
        assert answer.status_code == 400
        assert answer.json()["detail"] == (
            "there is no service 'gossip'; there are: accounts, intake, decider, projector-driveri, projector-motive, "
            "webhooks"
        )


async def test_the_largest_position_is_looked_for(stand: ApiStand) -> None:
    assert (await stand.get("/dead-letters/letter", name=name(2**63 - 1))).status_code == 404


async def test_a_discarded_letter_is_gone_with_what_was_submitted_of_it(stand: ApiStand) -> None:
    stand.keep(letter(1), letter(2), letter(1, stream=OUTCOMES))
    for position in (1, 2):
        await stand.post("/dead-letters/resubmission", {"name": name(position)})
    assert (await stand.post("/dead-letters/discard", {"name": name(1)})).json() == {"discarded": name(1)}
    assert [(each.stream, each.position) for each in stand.letters()] == [(OUTCOMES, 1), (CHANGES, 2)]
    assert [each.position for each in stand.decider.select(Resubmission)] == [2]
    stand.step()
    assert stand.decider.log.end() == 0
