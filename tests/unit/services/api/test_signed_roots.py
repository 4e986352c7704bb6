"""Roots over the logs are signed once a day; proofs hold against them, and nothing that they cover changes unseen."""

import re
import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from json import dumps
from pathlib import Path
from runpy import run_path

import pytest
from cryptography.exceptions import InvalidSignature

from domain.account import AccountErased
from domain.hash_chain import RootsSigned
from domain.identity import signed_roots_stream
from domain.store import OF_EVERY_STORE
from services.api.signed_roots import sign_if_due
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
GUIDE = Path(__file__).parents[4] / "docs" / "how-to" / "running.md"


@pytest.fixture
async def stand(stand: ApiStand) -> ApiStand:
    """Some drivers, and a root that was signed the day after."""
    await stand.set_some_aside()
    assert not await signed(stand)
    stand.now += DAY
    assert await signed(stand)
    return stand


async def signed(stand: ApiStand) -> bool:
    return await sign_if_due(stand.app.state.installation)


def roots(stand: ApiStand) -> list[RootsSigned]:
    found = stand.asked_store.histories([signed_roots_stream()])[signed_roots_stream()]
    return [event for event in found if isinstance(event, RootsSigned)]


async def verified(stand: ApiStand) -> dict[str, Json]:
    """The last part of each log."""
    parts: dict[str, Json] = {}
    after: str | None = ""
    while after is not None:
        part = (await stand.get("/verification", after=after)).json()
        parts[part["log"]], after = part, part["next"]
    return parts


async def test_roots_are_signed_once_a_day_and_follow_each_other(stand: ApiStand) -> None:
    assert not await signed(stand)
    stand.now += DAY
    assert await signed(stand)
    first, second = roots(stand)
    assert f'"previous": "{first.signature}"' in second.statement
    assert '"log": "decisions"' in first.statement
    assert '"log": "decisions"' not in second.statement
    assert {part["broken"] for part in (await verified(stand)).values()} == {None}


def alter(stand: ApiStand, service: str, sql: str) -> None:
    """Do something to a store behind its back."""
    with closing(sqlite3.connect(stand.path / f"{service}.sqlite")) as connection:
        connection.executescript(sql)


SWAPPED = """
UPDATE stored_events SET rowid = -1 WHERE rowid = 1;
UPDATE stored_events SET rowid = 1 WHERE rowid = 2;
UPDATE stored_events SET rowid = 2 WHERE rowid = -1;
"""
GONE = """
DELETE FROM history_heads WHERE history = (SELECT originator_id FROM stored_events WHERE rowid = 2);
DELETE FROM stored_events WHERE rowid = 2;
"""


@pytest.mark.parametrize("alteration", [SWAPPED, GONE], ids=["swapped", "gone"])
async def test_what_no_chain_shows_a_root_does(stand: ApiStand, alteration: str) -> None:
    """Events of different histories that change places, and a history that goes with its head."""
    alter(stand, "intake", alteration)
    parts = await verified(stand)
    assert parts["changes"]["broken"] is None
    assert "of changes events were altered, moved, added or removed" in parts["roots"]["broken"]["problem"]


@pytest.mark.parametrize("state", ["x'00'", "x'7b7d'", "CAST(replace(state, 'statement', 'testament') AS BLOB)"])
async def test_a_root_that_cannot_be_read_is_named(stand: ApiStand, state: str) -> None:
    (record,) = stand.asked_store.records([signed_roots_stream()])[signed_roots_stream()]
    alter(stand, "accounts", f"UPDATE stored_events SET state = {state} WHERE rowid = {record.position}")  # noqa: S608 - a test's own
    parts = await verified(stand)
    for log in ("accounts", "roots"):
        assert (parts[log]["broken"]["event"], parts[log]["broken"]["position"]) == (record.id, record.position)


async def test_a_root_of_another_key_is_named(stand: ApiStand) -> None:
    (stand.path / "signing-key").write_bytes(bytes(32))
    other = type(stand.app.state.installation.signer).of_file(stand.path / "signing-key")
    stand.sign_by(other)
    assert "another key" in (await verified(stand))["roots"]["broken"]["problem"]


@pytest.mark.parametrize(("log", "position"), [("changes", 1), ("changes", 3), ("decisions", 2), ("accounts", 1)])
async def test_the_script_in_the_guide_checks_a_proof(
    stand: ApiStand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, position: int
) -> None:
    script, given = tmp_path / "check_proof.py", tmp_path / "proof.json"
    (text,) = re.findall(r"```python\n(import base64.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert text.count("\n") <= 30
    script.write_text(text)
    proof = (await stand.get("/proofs", log=log, position=str(position))).json()
    monkeypatch.setattr(sys, "argv", [str(script), str(given), proof["key"]])
    given.write_text(dumps(proof))
    run_path(str(script))
    for tampered in (
        {**proof, "position": position + 1},
        {**proof, "previous": "00" * 32},
        {**proof, "event": {**proof["event"], "topic": "Other"}},
        {**proof, "statement": proof["statement"] + " "},
    ):
        given.write_text(dumps(tampered))
        with pytest.raises((SystemExit, InvalidSignature)):
            run_path(str(script))


async def test_only_what_is_there_and_under_a_root_is_proven(stand: ApiStand) -> None:
    beyond = stand.asked_store.log.end()
    for log, position, words in [
        ("attempts", "1", "there is no log"),
        ("changes", "99", "no event at position 99"),
        ("accounts", str(beyond), "under no root yet"),
    ]:
        answer = await stand.get("/proofs", log=log, position=position)
        assert (answer.status_code, words in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("number", ["-1", "+1", "1_0", "٣", "x", str(2**63), "9" * 5000])
async def test_a_part_that_begins_nowhere_is_refused(stand: ApiStand, number: str) -> None:
    for after in (f"roots/{number}", f"decisions/events:{number}"):
        answer = await stand.get("/verification", after=after)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")


async def test_roots_from_before_an_erasure_hold_behind_it(stand: ApiStand) -> None:
    for store in stand.app.state.installation.readers.stores:
        erasing = stand.app.state.installation.service(store).store
        getattr(erasing, "behind", erasing).erase("acme", OF_EVERY_STORE, (AccountErased.TOPIC,))
    assert {part["broken"] for part in (await verified(stand)).values()} == {None}
