"""Reconciliations as commands request them, watch them and read what they found."""

from collections.abc import Callable

import pytest

from domain.account import Mode, ReconciliationRequested
from domain.identity import AccountId, Target, breaker_stream, scan_stream
from domain.outcomes import BreakerOpened, DriverLookedUp, ReportEvent, RosterScanFailed
from domain.store import Row, Unit
from services.projector.read_models import LookUp, ScanProgress
from tests.unit.services.api.api_stand import NOW, ApiStand, Json

pytestmark = pytest.mark.anyio

ACME = AccountId("acme")
DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
OFF = (
    "Sync Drivers is off: nothing is decided or sent. "
    "The Master User, jane, can turn it on: `driverlink sync on acme --as PERSON`."
)
REFUSED = "No calls are made to Driveri since 2026-01-05 08:00:00 UTC (credentials: answered 401)"


def asked(stand: ApiStand) -> list[tuple[int, str, str, str, list[str]]]:
    """Every request of a reconciliation: its version, who, on which target, of which driver, by which keys."""
    records = stand.stores["accounts"].log.read(0, 100)
    events = [record.event for record in records if isinstance(record.event, ReconciliationRequested)]
    return [(event.originator_version, event.by, event.target, event.driver, event.keys) for event in events]


def report(stand: ApiStand, kind: Callable[..., ReportEvent], version: int = 2, **said: object) -> None:
    """Driveri's projector says so, and the decider hears it."""
    stream = breaker_stream(ACME, DRIVERI) if kind is BreakerOpened else scan_stream(ACME, DRIVERI)
    origin = {"originator_id": stream, "originator_version": version, "at": NOW, "account": ACME, "target": "driveri"}
    stand.stores["projector-driveri"].commit(Unit(events=[kind(**origin, **said)]))


def keep(stand: ApiStand, row: Row) -> None:
    unit = Unit()
    unit.keep([row])
    stand.stores["projector-driveri"].commit(unit)


def decide(stand: ApiStand) -> None:
    while stand.step():
        pass


async def requested(stand: ApiStand, **body: str) -> Json:
    answer = await stand.post("/accounts/acme/reconciliations", {"by": "jane", **body})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def progress(stand: ApiStand, request: int, **query: str) -> Json:
    path = "/accounts/acme/reconciliations/progress"
    found: Json = (await stand.get(path, target="driveri", request=str(request), **query)).json()
    return found


async def test_a_reconciliation_is_requested_on_each_target(stand: ApiStand) -> None:
    await stand.set_some_aside()
    assert await requested(stand) == {
        "account": "acme",
        "driver": None,
        "requests": [{"target": "driveri", "request": 3}, {"target": "motive", "request": 4}],
        "left_out": {},
    }
    assert asked(stand) == [(3, "jane", "driveri", "", []), (4, "jane", "motive", "", [])]


async def test_a_driver_is_looked_up_by_the_keys_of_the_link_and_of_the_desired(stand: ApiStand) -> None:
    await stand.set_some_aside()
    assert (await requested(stand, driver="r3"))["driver"] == "3"
    assert [(target, driver, keys) for _, _, target, driver, keys in asked(stand)] == [
        ("driveri", "3", ["R3"]),
        ("motive", "3", []),
    ]


async def test_a_target_whose_mode_is_off_is_left_out_and_named(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await stand.set_mode("acme", MOTIVE, Mode.OFF)
    answer = await requested(stand)
    assert [each["target"] for each in answer["requests"]] == ["driveri"]
    assert answer["left_out"] == {"motive": "The mode for Motive is off: nothing is decided or sent."}


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"by": "eve"}, 403, "eve is neither the Master User nor the account manager of acme"),
        ({"driver": "9"}, 404, "there is no driver 9 in account acme"),
        ({"target": "mars"}, 400, "target: "),
        ({"driver": "\x1b"}, 400, "driver: must not hold control characters"),
    ],
)
async def test_a_reconciliation_that_names_nothing_is_refused(
    stand: ApiStand, body: Json, status: int, told: str
) -> None:
    await stand.set_some_aside()
    answer = await stand.post("/accounts/acme/reconciliations", {"by": "jane", **body})
    assert (answer.status_code, answer.json()["detail"].startswith(told)) == (status, True), answer.text
    assert asked(stand) == []


async def test_while_sync_is_off_a_reconciliation_is_refused_before_the_decider_knows(
    stand: ApiStand,
) -> None:
    await stand.set_some_aside()
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    answer = await stand.post("/accounts/acme/reconciliations", {"by": "jane"})
    assert (answer.status_code, answer.json()["detail"], asked(stand)) == (409, OFF, [])


async def test_while_no_calls_are_made_a_reconciliation_is_refused(stand: ApiStand) -> None:
    await stand.set_some_aside()
    report(stand, BreakerOpened, 1, reason="credentials", detail="answered 401")
    decide(stand)
    answer = await stand.post("/accounts/acme/reconciliations", {"by": "jane", "target": "driveri"})
    assert (answer.status_code, answer.json()["detail"].startswith(REFUSED)) == (409, True)
    assert answer.json()["detail"].endswith("Check the credentials: `driverlink accounts connect acme driveri`.")
    assert (await requested(stand))["left_out"].keys() == {"driveri"}


async def test_a_reconciliation_is_followed_from_its_scan_to_its_report(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await requested(stand, target="driveri")
    assert (await progress(stand, 3))["stage"] == "waiting"
    keep(stand, ScanProgress(account="acme", began=NOW.isoformat(), drivers=500))
    reading = await progress(stand, 3)
    assert (reading["stage"], reading["done"], reading["of"]) == ("reading", 500, 0)
    stand.scanned(ACME, DRIVERI, version=2, request=3)
    stand.step()
    deciding = await progress(stand, 3)
    assert (deciding["stage"], deciding["done"], deciding["of"]) == ("deciding", 3, 3)
    decide(stand)
    done = await progress(stand, 3)
    assert (done["stage"], done["report"]["number"], done["report"]["by"]) == ("done", 2, "jane")
    assert done["report"]["found"] == {"absent": 1, "unkeyed": 2}
    assert (await progress(stand, 9))["stage"] == "reading"


async def test_a_roster_that_cannot_be_read_is_reported_to_who_waits(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await requested(stand, target="driveri")
    report(stand, RosterScanFailed, policy_generation=2, reason="down", detail="answered 503")
    decide(stand)
    stopped = await progress(stand, 3)
    assert (stopped["stage"], stopped["trouble"]) == (
        "stopped",
        "The roster of Driveri cannot be read since 2026-01-05 08:00:00 UTC (down: answered 503). "
        "It is tried again automatically, and the reconciliation goes on as soon as it can be.",
    )


async def test_sync_that_is_turned_off_is_reported_to_who_waits(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await requested(stand, target="driveri")
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    decide(stand)
    stopped = await progress(stand, 3)
    assert (stopped["stage"], stopped["trouble"]) == ("stopped", OFF)


async def test_one_driver_is_followed_until_the_decider_has_looked(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await requested(stand, target="driveri", driver="3")
    assert (await progress(stand, 3, driver="3"))["stage"] == "waiting"
    keep(stand, LookUp(account="acme", driver="3", request=3, keys=["R3"]))
    assert (await progress(stand, 3, driver="3"))["stage"] == "reading"
    report(stand, DriverLookedUp, driver="3", request=3, reason="", detail="")
    assert (await progress(stand, 3, driver="3"))["stage"] == "deciding"
    decide(stand)
    done = await progress(stand, 3, driver="3")
    assert (done["stage"], done["driver"]["finding"], done["driver"]["driver"]) == ("done", "absent", "3")


async def test_a_driver_who_cannot_be_looked_up_is_shown_with_the_reason(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await requested(stand, target="driveri", driver="3")
    report(stand, DriverLookedUp, driver="3", request=3, reason="credentials", detail="answered 401")
    stopped = await progress(stand, 3, driver="3")
    assert (stopped["stage"], stopped["trouble"]) == (
        "stopped",
        "Driver 3 cannot be looked up in Driveri (credentials: answered 401). "
        "Check the credentials: `driverlink accounts connect acme driveri`.",
    )


async def test_past_reconciliations_are_listed_the_newest_first(stand: ApiStand) -> None:
    await stand.set_some_aside()
    stand.scanned(ACME, DRIVERI, version=2)
    decide(stand)
    found = (await stand.get("/accounts/acme/reconciliations", target="driveri")).json()
    assert [(each["number"], each["by"], each["request"]) for each in found] == [(2, "", 0), (1, "", 0)]
    assert len((await stand.get("/accounts/acme/reconciliations", last="1")).json()) == 2
    drivers = (await stand.get("/accounts/acme/reconciliations/drivers", target="driveri")).json()
    told = [(each["driver"], each["finding"]) for each in drivers["drivers"]]
    assert (told, drivers["next"]) == ([("1", "unkeyed"), ("2", "unkeyed"), ("3", "absent")], None)


@pytest.mark.parametrize(
    ("path", "query", "told"),
    [
        ("", {"last": "0"}, "last is a number from 1 to 1000, not '0'"),
        ("", {"target": "mars"}, "there is no target 'mars'; there are: driveri, motive"),
        ("/drivers", {}, "there is no target ''; there are: driveri, motive"),
        ("/progress", {"target": "driveri", "request": "x"}, "request is a number from 1 to "),
    ],
)
async def test_what_is_not_there_cannot_be_asked_for(
    stand: ApiStand, path: str, query: dict[str, str], told: str
) -> None:
    await stand.set_some_aside()
    answer = await stand.get(f"/accounts/acme/reconciliations{path}", **query)
    assert (answer.status_code, answer.json()["detail"].startswith(told)) == (400, True), answer.text


@pytest.mark.parametrize(("at", "status"), [("02:30", 200), ("", 200), ("2:30", 400), ("24:00", 400), ("02:30\n", 200)])
async def test_the_time_of_daily_reconciliations_is_a_time_of_day(stand: ApiStand, at: str, status: int) -> None:
    await stand.set_some_aside()
    answer = await stand.post("/accounts/acme/reconciliation-time", {"by": "bob", "reconcile_at": at})
    assert answer.status_code == status, answer.text
    shown = (await stand.get("/accounts/acme")).json()["reconcile_at"]
    assert shown == (at.strip() if status == 200 else "")


async def test_credentials_are_removed_once(stand: ApiStand) -> None:
    await stand.set_some_aside()
    values = {"target": "portal", "values": {"username": "jane", "app_token": "hush"}}
    await stand.post("/accounts/acme/credentials", values)
    for removed in (True, False):
        answer = await stand.post("/accounts/acme/credentials/removed", {"target": "portal"})
        assert answer.json() == {"account": "acme", "target": "portal", "removed": removed}
