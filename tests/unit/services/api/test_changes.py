"""What the Portal pushes is stored whole and once, if it is signed; the official library signs it here."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from domain.portal import PortalDriverEvent
from services.api import push_secrets
from services.api.changes import MOST_CHANGES, to_changes
from services.intake.pushing import KEPT
from services.intake.read_models import KnownDriver, PushRow, RefusedPushRow, ReKeyingRow
from tests.unit.services.api.api_stand import NOW, ApiStand, Json

pytestmark = pytest.mark.anyio

JANE: Json = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test", "phone": "555 0100"}


class Portal:
    """The Portal as it pushes to an account, by the secret that it was given."""

    def __init__(self, stand: ApiStand, secret: str, account: str = "acme") -> None:
        self.stand = stand
        self.secret = secret
        self.path = f"/accounts/{account}/changes"
        self.pushed = 0

    def signed(self, body: bytes, push: str, age: timedelta = timedelta()) -> dict[str, str]:
        at = self.stand.now - age
        signature = Webhook(self.secret).sign(push, at.replace(tzinfo=UTC), body.decode())
        return {"webhook-id": push, "webhook-timestamp": f"{at.timestamp():.0f}", "webhook-signature": signature}

    async def push(self, *changes: Json, push: str = "", age: timedelta = timedelta()) -> httpx.Response:
        self.pushed += 1
        body = json.dumps(changes[0] if len(changes) == 1 else changes).encode()
        return await self.stand.send(self.path, body, self.signed(body, push or f"msg_{self.pushed}", age))

    def facts(self) -> list[str]:
        events = [record.event for record in self.stand.stores["intake"].log.read(0, 1000)]
        return [f"{type(event).__name__} {event.driver}" for event in events if isinstance(event, PortalDriverEvent)]

    def profile(self, driver: str) -> dict[str, str]:
        (row,) = self.stand.stores["intake"].select(KnownDriver, {"driver": driver})
        return row.profile

    def refused(self) -> dict[tuple[str, str, str], int]:
        rows = self.stand.stores["intake"].select(RefusedPushRow)
        return {(row.account, row.sender, row.reason): row.refused for row in rows}


def changed(driver: str, **profile: str | int | None) -> Json:
    return {"type": "driver.changed", "data": {"driver": driver, "profile": profile}}


def deleted(driver: str, **profile: str) -> Json:
    return {"type": "driver.deleted", "data": {"driver": driver, "profile": profile}}


async def secret_of(stand: ApiStand, action: str = "", sender: str = "portal", **body: str | bool) -> Json:
    path = f"/accounts/acme/push-secrets/{sender}{action}"
    answer = await stand.post(path, body)
    assert answer.status_code in (200, 201), answer.text
    found: Json = answer.json()
    return found


@pytest.fixture
async def portal(stand: ApiStand) -> Portal:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    return Portal(stand, (await secret_of(stand))["secret"])


async def test_what_is_accepted_is_committed(portal: Portal) -> None:
    answer = await portal.push(changed("417", **JANE))
    assert (answer.status_code, answer.json()) == (202, {"changes": {"DriverCreated": 1}})
    assert portal.facts() == ["DriverCreated 417"]
    assert portal.profile("417") == JANE


async def test_changes_of_one_push_count_one_after_the_other(portal: Portal) -> None:
    answer = await portal.push(
        changed("417", **JANE),
        changed("417", phone="1"),
        changed("418", **JANE),
        deleted("417"),
        deleted("nobody"),
    )
    counted = {"DriverCreated": 2, "DriverUpdated": 1, "DriverDeleted": 1, "unchanged": 1}
    assert (answer.status_code, answer.json()) == (202, {"changes": counted})
    assert portal.facts() == ["DriverCreated 417", "DriverUpdated 417", "DriverCreated 418", "DriverDeleted 417"]


async def test_what_is_absent_or_null_stays_and_an_empty_text_clears(portal: Portal) -> None:
    await portal.push(changed("417", **JANE))
    assert (await portal.push(changed("417"))).json() == {"changes": {"unchanged": 1}}
    assert (await portal.push(changed("417", email=None, phone="  555  0100 "))).json() == {"changes": {"unchanged": 1}}
    await portal.push(changed("417", email="", ref_id=417))
    assert portal.profile("417") == {**{field: JANE[field] for field in JANE if field != "email"}, "ref_id": "417"}


async def test_the_same_push_again_is_answered_the_same_and_changes_nothing(portal: Portal) -> None:
    first = await portal.push(changed("417", **JANE), push="msg_a")
    await portal.push(changed("417", phone="1"), push="msg_b")
    portal.stand.now += timedelta(hours=70)
    again = await portal.push(changed("417", **JANE), push="msg_a")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert portal.facts() == ["DriverCreated 417", "DriverUpdated 417"]
    assert portal.profile("417")["phone"] == "1"


async def test_two_pushes_with_the_same_id_at_once_are_stored_once(portal: Portal) -> None:
    answers = await asyncio.gather(*(portal.push(changed("417", **JANE), push="msg_a") for _ in range(8)))
    assert {(each.status_code, each.content) for each in answers} == {(202, b'{"changes":{"DriverCreated":1}}')}
    assert portal.facts() == ["DriverCreated 417"]


async def test_another_body_under_the_same_id_is_refused_so_that_it_is_not_lost_silently(portal: Portal) -> None:
    await portal.push(changed("417", **JANE), push="msg_a")
    answer = await portal.push(changed("418", **JANE), push="msg_a")
    assert answer.status_code == 409
    assert portal.facts() == ["DriverCreated 417"]


async def test_the_ids_of_pushes_are_forgotten_after_some_days(portal: Portal) -> None:
    await portal.push(changed("417", **JANE))
    portal.stand.now += KEPT - timedelta(hours=1)
    await portal.push(changed("418", **JANE))
    store = portal.stand.stores["intake"]
    (intake,) = (each for each in portal.stand.services if each.name == "intake")
    intake.step()
    assert len(store.select(PushRow)) == 2
    portal.stand.now += timedelta(hours=3)
    intake.step()
    assert [row.push for row in store.select(PushRow)] == ["msg_2"]


@pytest.mark.parametrize("age", [timedelta(seconds=299), timedelta(seconds=-299)])
async def test_a_signature_is_good_for_five_minutes(portal: Portal, age: timedelta) -> None:
    assert (await portal.push(changed("417", **JANE), age=age)).status_code == 202


async def refusal_of(portal: Portal, body: bytes, headers: dict[str, str], path: str = "") -> tuple[int, str]:
    answer = await portal.stand.send(path or portal.path, body, headers)
    assert portal.facts() == []
    return answer.status_code, answer.text


BODY = json.dumps(changed("417", **JANE)).encode()


@pytest.mark.parametrize("age", [timedelta(seconds=301), timedelta(seconds=-301)])
async def test_one_that_was_signed_long_ago_or_ahead_is_refused(portal: Portal, age: timedelta) -> None:
    assert (await refusal_of(portal, BODY, portal.signed(BODY, "msg_a", age)))[0] == 401
    assert portal.refused() == {("acme", "portal", "outdated"): 1}


@pytest.mark.parametrize("lacking", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_one_that_is_not_signed_is_refused(portal: Portal, lacking: str) -> None:
    headers = portal.signed(BODY, "msg_a")
    assert (await refusal_of(portal, BODY, {name: headers[name] for name in headers if name != lacking}))[0] == 401
    assert portal.refused() == {("acme", "portal", "unsigned"): 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_b"},
        {"webhook-timestamp": f"{NOW.timestamp() + 1:.0f}"},
        {"webhook-timestamp": "1e9"},
        {"webhook-id": "a b"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1a,abc v2 \u00ff"},
    ],
)
async def test_a_header_that_was_tampered_with_is_refused(portal: Portal, changes: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in {**portal.signed(BODY, "msg_a"), **changes}.items()}
    assert (await refusal_of(portal, BODY, encoded))[0] == 401  # type: ignore[arg-type]  # httpx takes bytes, too


async def test_a_body_that_was_tampered_with_is_refused_and_counted_without_its_data(portal: Portal) -> None:
    for _ in range(3):
        status, words = await refusal_of(portal, BODY.replace(b"Jane", b"Eve"), portal.signed(BODY, "msg_a"))
        assert (status, "Eve" in words, "417" in words) == (401, False, False)
    assert portal.refused() == {("acme", "portal", "wrong"): 3}
    assert "Eve" not in repr(portal.stand.stores["intake"].select(RefusedPushRow))


@pytest.mark.parametrize("account", ["nobody", "%01", "x" * 300, "bolt"])
async def test_an_unknown_account_cannot_be_told_from_a_wrong_signature(portal: Portal, account: str) -> None:
    """Nor can one that is there, and has no secret."""
    await portal.stand.post("/accounts", {"account": "bolt", "tier": "pro", "master_user": "jane"})
    headers = portal.signed(BODY, "msg_a")
    wrong = await refusal_of(portal, BODY + b" ", headers)
    unknown = await refusal_of(portal, BODY, headers, portal.path.replace("acme", account))
    assert unknown == wrong
    counted = "bolt" if account == "bolt" else ""
    assert portal.refused() == {("acme", "portal", "wrong"): 1, (counted, "portal", "wrong"): 1}


async def test_an_account_may_be_named_in_any_letter_case(portal: Portal) -> None:
    answer = await portal.stand.send(portal.path.replace("acme", "ACME"), BODY, portal.signed(BODY, "msg_a"))
    assert answer.status_code == 202
    assert await portal.push(changed("417", **JANE), push="msg_b")
    assert portal.facts() == ["DriverCreated 417"]


async def test_a_flood_of_wrong_signatures_is_counted_in_few_commits(portal: Portal) -> None:
    headers = portal.signed(BODY, "msg_a")
    await asyncio.gather(*(portal.stand.send(portal.path, BODY + b" ", headers) for _ in range(50)))
    assert portal.refused() == {("acme", "portal", "wrong"): 50}


async def test_both_secrets_are_good_while_one_is_rotated(portal: Portal) -> None:
    former = portal.secret
    portal.secret = (await secret_of(portal.stand, "/rotation"))["secret"]
    assert portal.secret != former
    assert (await portal.push(changed("417", **JANE))).status_code == 202
    old = Portal(portal.stand, former)
    assert (await old.push(changed("417", phone="1"), push="msg_old")).status_code == 202
    portal.stand.now += timedelta(hours=24)
    assert (await old.push(changed("417", phone="2"), push="msg_older")).status_code == 401
    assert (await portal.push(changed("417", phone="3"))).status_code == 202


async def test_a_secret_that_is_rotated_twice_within_a_day_stays_good_and_a_third_time_is_refused(
    portal: Portal,
) -> None:
    in_use = Portal(portal.stand, portal.secret)
    for _ in range(2):
        await secret_of(portal.stand, "/rotation")
    assert (await in_use.push(changed("417", **JANE))).status_code == 202
    path = portal.path.replace("/changes", "/push-secrets") + "/portal/rotation"
    refused = await portal.stand.post(path, {})
    assert (refused.status_code, "--at-once" in refused.json()["detail"]) == (409, True)


async def test_the_former_secret_ends_at_once_where_that_is_asked_for(portal: Portal) -> None:
    old = Portal(portal.stand, portal.secret)
    await secret_of(portal.stand, "/rotation", at_once=True)
    assert (await old.push(changed("417", **JANE))).status_code == 401


async def test_nothing_is_accepted_by_a_secret_that_was_revoked(portal: Portal) -> None:
    assert (await secret_of(portal.stand, "/revocation"))["revoked"]
    assert (await portal.push(changed("417", **JANE))).status_code == 401
    assert not (await secret_of(portal.stand, "/revocation"))["revoked"]


async def test_a_secret_is_shown_once_and_is_not_made_twice(portal: Portal) -> None:
    path = portal.path.replace("/changes", "/push-secrets")
    assert (await portal.stand.post(f"{path}/portal", {})).status_code == 409
    assert (await portal.stand.post(f"{path}/motive/rotation", {})).status_code == 409
    shown = await portal.stand.get(path)
    assert portal.secret not in shown.text
    assert [(each["sender"], each["since"]) for each in shown.json()] == [("portal", NOW.isoformat()), ("motive", None)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "body: is not JSON"),
        (b"[]", "body: has 0 changes, and may have 1 to 500: where nothing has changed"),
        (b"[" * 100_000, "body: is not JSON"),
        (json.dumps([changed("1")] * (MOST_CHANGES + 1)).encode(), "body: has 501 changes"),
        (b'"417"', "0: "),
        (json.dumps({"type": "driver.renamed", "data": {"driver": "1"}}).encode(), "0.type: "),
        (json.dumps(changed("1", shoe_size="9")).encode(), "0.data.profile.shoe_size: there is no such field"),
        (json.dumps(changed("", **JANE)).encode(), "0.data.driver: is blank"),
        (json.dumps(changed("1", first_name=[])).encode(), "0.data.profile.first_name: is neither a text"),  # type: ignore[arg-type]
        (json.dumps(changed("1", first_name="")).encode(), "0.data.profile.first_name: is blank"),
    ],
)
async def test_what_is_malformed_is_refused_in_words(portal: Portal, body: bytes, words: str) -> None:
    status, text = await refusal_of(portal, body, portal.signed(body, "msg_a"))
    assert status == 400
    assert words in text


async def test_one_malformed_change_refuses_all_and_each_flaw_is_named(portal: Portal) -> None:
    answer = await portal.push(
        changed("1", **JANE), changed("2", email="x", ref_id="4.55E+06", first_name="J", last_name="D")
    )
    assert answer.status_code == 400
    assert "1.data.profile.email: is not an e-mail address" in answer.text
    assert "1.data.profile.ref_id: was shortened by Excel" in answer.text
    assert portal.facts() == []


async def test_a_new_driver_needs_a_name_and_nothing_half_is_stored(portal: Portal) -> None:
    answer = await portal.push(changed("1", **JANE), changed("2", email="a@fleet.test"))
    assert answer.status_code == 400
    assert "1.data.profile.first_name: is missing" in answer.text
    assert portal.facts() == []
    assert (await portal.push(changed("1", **JANE))).status_code == 202


async def test_more_re_keyings_than_a_day_may_have_wait_for_a_person_and_then_pass(portal: Portal) -> None:
    drivers = [str(number) for number in range(10)]
    await portal.push(*(changed(driver, ref_id=f"R{driver}", **JANE) for driver in drivers))
    again = [changed(driver, ref_id=f"S{driver}") for driver in drivers]
    answer = await portal.push(*again, push="msg_many")
    assert (answer.status_code, len(portal.facts())) == (409, 10)
    assert len(portal.stand.stores["intake"].select(ReKeyingRow, {"state": "held"})) == 10
    held = (await portal.stand.get(portal.path.replace("changes", "rekeyings"))).json()
    approved = await portal.stand.post(
        portal.path.replace("changes", "rekeyings"), {"by": "jane", "digest": held["digest"], "note": "cleaned up"}
    )
    assert approved.status_code == 200, approved.text
    history = (await portal.stand.get(portal.path.replace("changes", "history"))).json()
    assert "cleaned up" in {each["note"] for each in history["entries"]}
    assert (await portal.push(*again, push="msg_many")).status_code == 202
    assert len(portal.facts()) == 20


async def test_a_driver_who_came_without_an_id_keeps_that_identity(portal: Portal) -> None:
    line = {"line": 2, "profile": {**JANE, "ref_id": "R1"}}
    await portal.stand.post(portal.path.replace("changes", "lists"), {"lines": [line]})
    assert (await portal.push(changed("417", ref_id="R1", phone="1"))).json() == {"changes": {"DriverUpdated": 1}}
    assert (await portal.push(deleted("417", ref_id="R1"))).json() == {"changes": {"DriverDeleted": 1}}
    assert portal.facts() == ["DriverCreated ref:R1", "DriverUpdated ref:R1", "DriverDeleted ref:R1"]


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(portal: Portal) -> None:
    stated = {**portal.signed(BODY, "msg_a"), "content-length": str(push_secrets.LARGEST_PUSH + 1)}
    assert (await refusal_of(portal, BODY, stated))[0] == 413

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(1000):
            sent.append(1)
            yield b" " * 65536

    sent: list[int] = []
    answer = await portal.stand.send(portal.path, parts(), portal.signed(BODY, "msg_a"))
    assert answer.status_code == 413
    assert portal.refused() == {}


async def test_a_body_that_dribbles_is_given_up(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_secrets, "SLOWEST_PUSH", 0.05)

    async def dribbling() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    answer = await portal.stand.send(portal.path, dribbling(), portal.signed(BODY, "msg_a"))
    assert answer.status_code == 408


def test_the_worked_example_of_the_documents_is_right() -> None:
    page = (Path(__file__).parents[4] / "docs" / "how-to" / "pushing.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `?([a-z-]+)`? \| `([^`]+)` \|$", page, re.MULTILINE))
    now = datetime.fromtimestamp(int(rows["webhook-timestamp"]), UTC)
    body = rows["body"].encode()
    assert push_secrets.verify_standard(rows, body, (rows["secret"],), now) == rows["webhook-id"]
    assert Webhook(rows["secret"]).sign(rows["webhook-id"], now, rows["body"]) == rows["webhook-signature"]
    assert to_changes(body)[0].is_deleted
