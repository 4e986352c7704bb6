"""Erasing a driver through the API: when it is refused, and that people see a tombstone from then on."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from domain.account import Mode, Role
from domain.identity import Target
from domain.store import Unit
from services.decider.read_models import LinkRow
from services.projector.read_models import DeliveryRow
from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio


async def erase(stand: ApiStand, driver: str) -> tuple[int, dict[str, Any]]:
    answer = await stand.post("/accounts/acme/erasures", {"driver": driver, "note": "asked for"})
    return answer.status_code, answer.json()


async def delete(stand: ApiStand, driver: str) -> None:
    await stand.post("/accounts/acme/drivers", {"action": "delete", "driver": driver})
    while stand.step():
        pass


@pytest.fixture
async def leaving(stand: ApiStand) -> ApiStand:
    """Three drivers who are set aside, whose calls are not made; the Portal has deleted the second."""
    await stand.set_some_aside()
    for target in Target:
        await stand.set_mode("acme", target, Mode.OBSERVE)
    await delete(stand, "2")
    return stand


def link(stand: ApiStand, **said: Any) -> None:  # noqa: ANN401 - columns
    """The driver's link stands otherwise."""
    (row,) = stand.decider.select(LinkRow, {"driver": "2", "target": "motive"})
    unit = Unit()
    unit.keep([replace(row, **said)])
    stand.decider.commit(unit)


async def test_the_driver_is_a_tombstone_everywhere(leaving: ApiStand) -> None:
    """It is shown by its id and the day, now and as of a moment before."""
    assert (await erase(leaving, "2"))[0] == HTTPStatus.OK
    while leaving.step():
        pass
    paths = {
        "/accounts/acme/drivers/2": {},
        "/accounts/acme/explanation": {"driver": "2"},
        "/accounts/acme/diff": {"driver": "2", "from": "2026-01-01"},
        "/accounts/acme/mismatches": {"driver": "2"},
        "/events": {"account": "acme", "driver": "2"},
        "/accounts/acme/drivers": {"find": "2"},
        "/accounts/acme/links": {},
        "/status": {},
        "/issues": {},
    }
    for path, query in paths.items():
        answer = await leaving.get(path, **query)
        assert answer.is_success, (path, answer.text)
    for path in ("/accounts/acme/drivers/2", "/accounts/acme/drivers"):
        assert "erased on 2026-01-05" in (await leaving.get(path, **paths[path])).text
    then = {"as_of": "2026-01-05T08:00:00+00:00"}
    for path in ("/accounts/acme/drivers/2", "/accounts/acme/explanation"):
        answer = await leaving.get(path, **(paths[path] | then))
        assert "rased on 2026-01-05" in answer.text, path
    lines = (await leaving.get("/accounts/acme/explanation", driver="2")).json()["lines"]
    assert lines[0] == "Erased on 2026-01-05: portal driver 2"
    assert "operator erased the driver: what was stated of it cannot be read any more." in "\n".join(lines)


async def test_the_same_again_says_since_when(leaving: ApiStand) -> None:
    _, first = await erase(leaving, "2")
    leaving.now = leaving.now.replace(day=9)
    status, again = await erase(leaving, "2")
    assert (status, again) == (200, {**first, "is_new": False})
    assert (await leaving.get("/accounts/acme/erasures", driver="2")).json()["erased_at"] == first["erased_at"]


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("1", "the Portal still has driver 1: delete it there first, then erase it here"),
        ("77", "there is no driver 77 in account acme"),
    ],
)
async def test_refused_for_what_the_portal_says(leaving: ApiStand, driver: str, words: str) -> None:
    status, answer = await erase(leaving, driver)
    assert (status, answer["type"], answer["detail"]) == (409, "/problems#not-erasable", words)


async def test_refused_until_the_decider_knows_that_it_is_deleted(leaving: ApiStand) -> None:
    await leaving.post("/accounts/acme/drivers", {"action": "delete", "driver": "3"})
    status, answer = await erase(leaving, "3")
    assert status == HTTPStatus.CONFLICT
    assert "has not handled yet that the Portal deleted driver 3: try again in a moment" in answer["detail"]


async def test_refused_while_something_is_on_its_way(leaving: ApiStand) -> None:
    """It was decided to withdraw what may be on its way, and that is sent in this mode."""
    await leaving.set_mode("acme", Target.MOTIVE, Mode.FULL)
    status, answer = await erase(leaving, "2")
    assert (status, answer["detail"].partition(":")[0]) == (409, "a delivery of driver 2 to Motive is in hand")


async def test_refused_while_a_target_driver_is_linked(leaving: ApiStand) -> None:
    link(leaving, is_live=True, key="501")
    status, answer = await erase(leaving, "2")
    assert status == HTTPStatus.CONFLICT
    assert "still linked to user 501 on Motive" in answer["detail"]
    assert "`driverlink explain acme 2`" in answer["detail"]


@pytest.mark.parametrize(
    ("said", "is_refused"),
    [
        ({"due": "00000000000000000001"}, True),
        ({"started": 3}, True),
        ({"started": 3, "tries": 1000}, False),
        ({}, False),
    ],
)
async def test_refused_while_a_delivery_is_in_hand(
    leaving: ApiStand, said: dict[str, Any], *, is_refused: bool
) -> None:
    """One that was given up though its outcome is unknown is not in hand any more."""
    unit = Unit()
    unit.keep([DeliveryRow(account="acme", driver="2", **said)])
    leaving.stores["projector-motive"].commit(unit)
    status, answer = await erase(leaving, "2")
    assert status == (409 if is_refused else 200)
    if is_refused:
        assert "a delivery of driver 2 to Motive is in hand" in answer["detail"]


async def test_it_takes_a_permission_of_its_own(leaving: ApiStand) -> None:
    for role, status in ((Role.OPERATOR, 403), (Role.APPROVER, 403), (Role.ACCOUNT_MANAGER, 200)):
        key = leaving.key({"acme": frozenset({role})})
        answer = await leaving.outside(
            "POST", "/v1/accounts/acme/erasures", json={"driver": "2"}, headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status_code == status, role
