"""Open issues as commands ask for them, and retries of parked links."""

import pytest

from domain.account import Mode, RetryRequested
from domain.identity import Target
from services.api import issues
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio


async def all_issues(stand: ApiStand, **query: str) -> list[str]:
    """Every issue, over all pages."""
    found: list[str] = []
    behind: dict[str, list[str]] | None = {}
    while behind is not None:
        page: Json = (await stand.get("/issues", **query, **behind)).json()
        found += [f"{each['account']} {each['target']} {each['driver']} {each['reason']}" for each in page["issues"]]
        behind = page["next"]
    return found


def asked(stand: ApiStand) -> list[tuple[str, str, str, str]]:
    """What people asked to be looked at again."""
    records = stand.stores["accounts"].log.read(0, 100)
    events = [record.event for record in records if isinstance(record.event, RetryRequested)]
    return [(event.by, event.target, event.driver, event.reason) for event in events]


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_issues_come_by_account_target_and_driver(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(issues, "_PAGE", page)
    await stand.set_some_aside("beta")
    await stand.set_some_aside()
    expected = ["driveri 1 unkeyed", "driveri 2 unkeyed", "motive 3 conflict"]
    assert await all_issues(stand) == [f"{account} {each}" for account in ("acme", "beta") for each in expected]
    assert await all_issues(stand, account="beta") == [f"beta {each}" for each in expected]
    assert await all_issues(stand, account="acme", reason="conflict") == ["acme motive 3 conflict"]
    assert await all_issues(stand, target="motive") == ["acme motive 3 conflict", "beta motive 3 conflict"]


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ({"account": "nobody"}, 404, "there is no account nobody"),
        ({"target": "mars"}, 400, "there is no target 'mars'; there are: driveri, motive"),
        ({"reason": "rain"}, 400, "there is no reason 'rain'; there are: unkeyed, conflict, mode, unsettled, "),
        ({"after": "acme"}, 400, "after names an account, a target and a driver"),
    ],
)
async def test_what_is_not_there_cannot_be_asked_for(
    stand: ApiStand, query: dict[str, str], status: int, told: str
) -> None:
    answer = await stand.get("/issues", **query)
    assert (answer.status_code, answer.json()["detail"].startswith(told)) == (status, True)


@pytest.mark.parametrize(
    ("body", "targets", "stored"),
    [
        ({}, {"driveri": 2, "motive": 1}, ("jane", "", "", "")),
        ({"target": "driveri"}, {"driveri": 2}, ("jane", "driveri", "", "")),
        ({"reason": "conflict"}, {"motive": 1}, ("jane", "", "", "conflict")),
        ({"driver": "r3"}, {"motive": 1}, ("jane", "", "3", "")),
        ({"driver": "1", "reason": "unkeyed"}, {"driveri": 1}, ("jane", "", "1", "unkeyed")),
    ],
)
async def test_a_retry_says_at_how_many_links_it_looks_again(
    stand: ApiStand, body: Json, targets: dict[str, int], stored: tuple[str, ...]
) -> None:
    await stand.set_some_aside()
    answer = await stand.post("/accounts/acme/retry", {"by": "jane", **body})
    assert answer.json() == {"account": "acme", "links": sum(targets.values()), "targets": targets, "left_out": {}}
    assert asked(stand) == [stored]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"by": "eve"}, 403, "eve is neither the Master User nor the account manager of acme"),
        ({"reason": "down"}, 409, "nothing of acme is set aside like that; see `driverlink issues list acme`"),
        ({"reason": "rain"}, 400, "there is no reason 'rain'"),
        ({"driver": "9"}, 404, "there is no driver 9 in account acme"),
        ({"driver": "\x1b"}, 400, "driver: must not hold control characters"),
        ({"target": "mars"}, 400, "target: "),
    ],
)
async def test_a_retry_that_would_do_nothing_is_refused(stand: ApiStand, body: Json, status: int, told: str) -> None:
    await stand.set_some_aside()
    answer = await stand.post("/accounts/acme/retry", {"by": "jane", **body})
    assert (answer.status_code, answer.json()["detail"].startswith(told)) == (status, True), answer.text
    assert asked(stand) == []


async def test_a_retry_of_an_account_that_is_not_there_is_refused(stand: ApiStand) -> None:
    answer = await stand.post("/accounts/nobody/retry", {"by": "jane"})
    assert (answer.status_code, answer.json()["detail"].startswith("there is no account nobody")) == (404, True)


async def test_an_id_that_several_drivers_have_is_refused_with_their_ids(stand: ApiStand) -> None:
    await stand.set_some_aside()
    for driver in ("7", "8"):
        profile = {"first_name": "Jane", "last_name": "Doe", "driveri_driver_id": "D7"}
        body = {"action": "create", "driver": driver, "profile": profile}
        await stand.post("/accounts/acme/drivers", body)
    stand.step()
    answer = await stand.post("/accounts/acme/retry", {"by": "jane", "driver": "D7"})
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "D7 may be any of these, ask again with the Portal's id: 7, 8",
    )


async def test_nothing_is_retried_while_sync_is_off(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    stand.step()
    answer = await stand.post("/accounts/acme/retry", {"by": "jane"})
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "Sync Drivers is off: nothing is decided or sent. "
        "The Master User, jane, can turn it on: `driverlink sync on acme --as PERSON`.",
    )
    assert asked(stand) == []


async def test_a_target_on_which_nothing_is_decided_is_left_out_and_named(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await stand.set_mode("acme", Target.MOTIVE, Mode.OFF)
    answer = await stand.post("/accounts/acme/retry", {"by": "bob"})
    assert answer.json() == {
        "account": "acme",
        "links": 2,
        "targets": {"driveri": 2},
        "left_out": {"motive": "The mode for Motive is off: nothing is decided or sent."},
    }
