"""Who may read profiles gets their keys, once and with a note in the journal; master keys are shown and rotated."""

import base64
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.account import Role
from domain.profile import DataSubject
from services.runtime.context import CHANGES as LOG
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio

GUIDE = Path(__file__).parents[4] / "docs" / "how-to" / "consuming.md"


@pytest.fixture
async def stand(stand: ApiStand) -> ApiStand:
    """Some drivers of an account."""
    await stand.set_some_aside()
    return stand


def records(stand: ApiStand) -> list[tuple[str, Json]]:
    """The changes as Kafka carries them: the id, and the value."""
    log = stand.stores["intake"].log
    assert log.name.startswith(LOG)
    return [(each.id, json.loads(each.body)) for each in log.read(0, 1000) if "profile" in json.loads(each.body)]


async def asked(stand: ApiStand, account: str, *ids: str) -> dict[str, str | None]:
    answer = await stand.get(f"/accounts/{account}/profile-keys", id=list(ids))
    assert answer.is_success, answer.text
    return {each["id"]: each["key"] for each in answer.json()["keys"]}


async def test_a_consumer_reads_profiles_by_the_keys_that_the_api_gives(stand: ApiStand) -> None:
    found = records(stand)
    keys = await asked(stand, "acme", *(each["profile"]["key"] for _, each in found))
    for id, value in found:  # noqa: A001 - the header's word
        key, sealed = (
            base64.b64decode(keys[value["profile"]["key"]] or ""),
            base64.b64decode(value["profile"]["sealed"]),
        )
        profile = json.loads(AESGCM(key).decrypt(sealed[:12], sealed[12:], id.encode()))
        assert profile["first_name"]


async def test_the_keys_of_others_are_not_given(stand: ApiStand) -> None:
    key = records(stand)[0][1]["profile"]["key"]
    installation = stand.app.state.installation
    theirs = installation.profile_keys.sealing({DataSubject(account="other", driver="x"): False})
    (other,) = [cipher.id for cipher in theirs.values() if cipher]
    assert (await asked(stand, "acme", key, other, "0" * 32)).keys() == {key}


async def test_the_key_of_an_erased_driver_is_null(stand: ApiStand) -> None:
    _, value = records(stand)[0]
    stand.app.state.installation.profile_keys.destroy([DataSubject(account="acme", driver=value["driver"])])
    assert await asked(stand, "acme", value["profile"]["key"]) == {value["profile"]["key"]: None}


async def test_it_is_noted_who_got_keys_and_of_how_many(stand: ApiStand) -> None:
    ids = {value["profile"]["key"] for _, value in records(stand)}
    await asked(stand, "acme", *ids)
    entry = (await stand.get("/journal", account="acme")).json()["entries"][0]
    assert entry["command"] == "list_profile_keys"
    assert f"the keys of the profiles of {len(ids)} drivers" in entry["fact"]


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 200), (Role.OPERATOR, 200), (Role.APPROVER, 403)])
async def test_keys_are_for_those_who_may_read_profiles(stand: ApiStand, role: Role, status: int) -> None:
    key = records(stand)[0][1]["profile"]["key"]
    bearer = {"Authorization": f"Bearer {stand.key({'acme': frozenset({role})})}"}
    answer = await stand.outside("GET", "/v1/accounts/acme/profile-keys", params={"id": key}, headers=bearer)
    assert answer.status_code == status


async def test_master_keys_are_shown_and_rotated_without_a_secret(stand: ApiStand) -> None:
    secret = (stand.path / "profile-master-key").read_text().strip()
    before = (await stand.get("/encryption")).json()["masters"]
    assert [(each["is_current"], each["keys"] > 0) for each in before] == [(True, True)]
    keys = {value["profile"]["key"] for _, value in records(stand)}
    known = await asked(stand, "acme", *keys)
    answer = (await stand.post("/encryption/rotation", {"begin": True})).json()
    assert answer == {"left": 0}
    after = (await stand.get("/encryption")).json()["masters"]
    assert [each["keys"] for each in after] == [each["keys"] for each in before]
    assert after[0]["master"] != before[0]["master"]
    assert secret not in (stand.path / "profile-master-key").read_text()
    assert await asked(stand, "acme", *keys) == known


async def test_no_log_holds_the_name_of_a_driver(stand: ApiStand) -> None:
    """Whatever was stored as events, and could not be handled; read models hold what the services work with."""
    personal = (b"Doe", b"a@fleet.test", b"b@fleet.test")
    read_models = b"".join(file.read_bytes() for file in stand.path.glob("intake.sqlite*"))
    assert all(text in read_models for text in personal)
    for file in stand.path.glob("*.sqlite"):
        with closing(sqlite3.connect(file)) as connection:
            stored = connection.execute("SELECT CAST(state AS BLOB) FROM stored_events").fetchall()
        assert not [state for (state,) in stored if any(text in state for text in personal)], file.name


async def test_the_guide_opens_profiles(stand: ApiStand) -> None:
    """By the functions that it shows, but for the request of HTTP, which is made here."""
    (text,) = re.findall(
        r"```python\n(import base64\nimport json\nimport urllib.*?)```", GUIDE.read_text("utf-8"), re.DOTALL
    )
    guide: dict[str, Any] = {}
    exec(compile(text, GUIDE, "exec"), guide)  # noqa: S102 - what the guide tells people to run
    found = records(stand)
    erased = found[0][1]["driver"]
    stand.app.state.installation.profile_keys.destroy([DataSubject(account="acme", driver=erased)])
    given = await asked(stand, "acme", *{value["profile"]["key"] for _, value in found})
    keys = {id: key and base64.b64decode(key) for id, key in given.items()}  # noqa: A001 - the field's word
    for id, value in found:  # noqa: A001 - the header's word
        profile = guide["opened"](id, value["profile"], keys)
        assert profile is None if value["driver"] == erased else profile["last_name"] == "Doe"
    assert guide["opened"]("any/1", {}, keys) == {}
    assert guide["opened"]("any/1", {"erased": "true"}, keys) is None
