"""What waits for a person is shown as it is, and judged as it was seen: other identifiers, and dead letters."""

import re
from collections.abc import Mapping

import httpx
import pytest

from domain.store import Unit
from services.intake.read_models import ReKeyingRow
from tests.unit.services.api.api_stand import ApiStand, letter, name
from tests.unit.services.console.test_pages import browser, seen

__all__ = ["browser"]
pytestmark = pytest.mark.anyio


def rekey(stand: ApiStand, others: Mapping[str, str]) -> None:
    """Let these drivers wait with another RefID."""
    at = stand.now.isoformat()
    unit = Unit()
    unit.keep(
        ReKeyingRow(
            account="acme", driver=driver, state="held", at=at, before={"ref_id": "R1"}, after={"ref_id": after}
        )
        for driver, after in others.items()
    )
    stand.stores["intake"].commit(unit)


async def test_exactly_the_other_identifiers_that_were_shown_are_approved(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.set_some_aside()
    rekey(stand, {"1": "S1", "2": "S2"})
    page = await browser.get("accounts/acme/approvals")
    assert re.search(r"Jane Doe 1 RefID R1 S1 .*Jane Doe 2 RefID R1 S2", seen(page))
    digest = re.search(r'name="digest" value="(\w+)"', page.text)
    assert digest
    rekey(stand, {"3": "S3"})
    late = await browser.post("accounts/acme/rekeyings", data={"digest": digest[1]})
    assert (late.status_code, "is not what is held now" in seen(late)) == (409, True)
    digest = re.search(r'name="digest" value="(\w+)"', (await browser.get("accounts/acme/approvals")).text)
    assert digest
    sent = await browser.post("accounts/acme/rekeyings", data={"digest": digest[1]})
    assert sent.headers["location"] == "/console/accounts/acme/approvals?done=rekeyed"
    states = {row.driver: (row.state, row.by) for row in stand.stores["intake"].select(ReKeyingRow)}
    assert states == dict.fromkeys(("1", "2", "3"), ("approved", "operator"))


GROUP = {"service": "decider", "type": letter().topic, "reason": "LookupError: no such thing"}


async def test_dead_letters_of_one_cause_are_one_group(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    assert "every record that came was handled" in seen(await browser.get("dead-letters"))
    stand.keep(letter(1), letter(2), letter(3, reason="LookupError: no such thing at all"))
    stand.keep(letter(4), service="projector-motive")
    groups = (await stand.get("/dead-letters/groups")).json()
    assert [(each["service"], each["reason"][-5:], each["letters"]) for each in groups] == [
        ("decider", "thing", 2),
        ("decider", "t all", 1),
        ("projector-motive", "thing", 1),
    ]
    shown = await browser.get("dead-letters", params=GROUP)
    assert name(1) in shown.text
    assert name(2) in shown.text
    assert name(3) not in shown.text


async def test_a_group_of_dead_letters_is_resubmitted_or_dropped_and_no_other(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    stand.keep(letter(1), letter(2), letter(3, reason="LookupError: no such thing at all"))
    assert (await browser.post("dead-letters/resubmitted-group", data=GROUP)).status_code == 303
    assert [each.position for each in stand.submitted()] == [1, 2]
    assert "resubmitted" in seen(await browser.get("dead-letters", params=GROUP))
    assert (await browser.post("dead-letters/dropped-group", data=GROUP)).status_code == 303
    assert [each.position for each in stand.letters()] == [3]


async def test_one_dead_letter_is_looked_at_mended_and_dropped(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    stand.keep(letter(1), letter(2))
    page = await browser.get("dead-letters/letter", params={"name": name(1)})
    document = re.search(r"<textarea[^>]*>(.*?)</textarea>", page.text, re.DOTALL)
    assert document
    mended = document[1].replace("&#34;", '"').replace("Jane", "June")
    sent = await browser.post("dead-letters/resubmitted", data={"name": name(1), "mended": mended})
    assert sent.status_code == 303
    assert [each.position for each in stand.submitted()] == [1]
    wrong = await browser.post("dead-letters/resubmitted", data={"name": name(2), "mended": "{"})
    assert wrong.status_code == 400
    assert (await browser.post("dead-letters/dropped", data={"name": name(2)})).status_code == 303
    assert [each.position for each in stand.letters()] == [1]


async def test_the_tier_and_the_people_of_an_account_are_set_with_the_reason(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.set_some_aside()
    form = {"tier": "pro", "master_user": "june", "account_manager": "", "note": "Jane has left"}
    assert (await browser.post("accounts/acme/people", data=form)).status_code == 303
    settings = (await stand.get("/accounts/acme")).json()
    assert (settings["master_user"], settings["account_manager"]) == ("june", "")
    assert "“Jane has left”" in seen(await browser.get("accounts/acme/history?kind=setting"))
