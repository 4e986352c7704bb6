"""Drivers at two moments, since when one does not match, and who had an id."""

from pathlib import Path

import httpx
import pytest

from domain.identity import Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from services.api.as_of import rewind
from services.api.comparisons import MOST, Mismatch, compare, difference, mismatches, standings
from services.api.lineage import lineage
from services.wiring.registry import open_dry_run
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person
from tests.unit.services.api.api_stand import NOW, ApiStand
from tests.unit.services.wiring.test_as_of_laws import logs_of

pytestmark = pytest.mark.anyio

ONE = PortalDriverId("p1")


@pytest.fixture
def services(tmp_path: Path) -> SteppedServices:
    """Drivers 1 and 2 are in sync on both targets."""
    services = SteppedServices(tmp_path, both_targets())
    services.add()
    for number in (1, 2):
        services.state(f"p{number}", person(number))
    services.run()
    return services


def marks(services: SteppedServices) -> dict[str, int]:
    return {name: store.log.end() for name, store in logs_of(services).items()}


def compared(services: SteppedServices, before: dict[str, int]) -> dict[str, list[tuple[str, str, str, str]]]:
    """What is otherwise now than at these marks, by driver."""
    logs = logs_of(services)
    with open_dry_run() as was, open_dry_run() as now:
        [*rewind(was, logs, ACME, before)]
        [*rewind(now, logs, ACME, marks(services))]
        found = [each for _, page in compare(was, now, ACME, "") for each in page]
        for each in found:
            # One driver alone is compared the same.
            alone = [standings(store, ACME, [each.driver])[each.driver] for store in (was, now)]
            assert difference(each.driver, *alone) == each
    return {each.driver: [(one.where, one.field, one.before, one.after) for one in each.differences] for each in found}


def test_a_fleet_that_stayed_as_it_was_has_no_difference(services: SteppedServices) -> None:
    before = marks(services)
    services.wait(hours=1)
    services.run()
    assert compared(services, before) == {}


def test_what_became_otherwise_is_named_with_what_it_was(services: SteppedServices) -> None:
    before = marks(services)
    services.state("p1", person(1, last_name="Roe", driveri_driver_id="D9"))
    services.delete("p2")
    services.state("p3", person(3))
    services.run()
    found = compared(services, before)
    assert [*found] == ["p1", "p2", "p3"]
    assert [each for each in found["p1"] if each[0] != "motive"] == [
        ("portal", "last name", "Last 1", "Roe"),
        ("portal", "Driveri DriverID", "D1", "D9"),
        ("driveri", "DriverID", "D1", "D9"),
        ("driveri", "last name", "Last 1", "Roe"),
    ]
    assert ("portal", "state", "there", "deleted") in found["p2"]
    assert ("driveri", "state", "in_sync", "ended") in found["p2"]
    assert ("portal", "state", "", "there") in found["p3"]


def test_a_fleet_is_compared_page_by_page(services: SteppedServices, monkeypatch: pytest.MonkeyPatch) -> None:
    before = marks(services)
    for number in range(1, 8):
        services.state(f"p{number}", person(number, last_name="Roe"))
    services.delete("p2")
    whole = compared(services, before)
    assert len(whole) < MOST
    monkeypatch.setattr("services.api.comparisons.MOST", 2)
    assert compared(services, before) == whole


def bisected(services: SteppedServices) -> dict[str, Mismatch]:
    with open_dry_run() as scratch:
        *_, found = mismatches(scratch, logs_of(services), ACME, ONE)
    return {each.target: each for each in found}


def test_a_driver_in_sync_matches(services: SteppedServices) -> None:
    assert all(each.matches for each in bisected(services).values())


def test_a_mismatch_begins_with_the_change_that_no_target_has_yet(services: SteppedServices) -> None:
    services.wait(hours=1)
    services.state("p1", person(1, last_name="Roe"))
    services.decide()
    found = bisected(services)
    assert {each.type for each in found.values()} == {"DriverUpdated"}
    assert {(each.log, each.differing) for each in found.values()} == {("changes", ("last name",))}
    assert all(each.since and each.matched_until and each.since > each.matched_until for each in found.values())


def test_a_mismatch_begins_with_the_scan_that_saw_it(services: SteppedServices) -> None:
    drivers = services.twins[ACME, Target.DRIVERI].drivers
    drivers.put(ObservedDriver(key=Key("D1"), active=True, profile={"first_name": "By", "last_name": "Hand"}))
    services.wait(hours=30)
    services.scan(Target.DRIVERI)
    found = bisected(services)
    assert found["motive"].matches
    assert (found["driveri"].type, found["driveri"].log) == ("ObservedDriverSeen", "outcomes-driveri")


def test_a_driver_who_never_matched_has_no_beginning(services: SteppedServices) -> None:
    services.state("p9", person(9))
    services.decide()
    with open_dry_run() as scratch:
        *_, found = mismatches(scratch, logs_of(services), ACME, PortalDriverId("p9"))
    assert [(each.matches, each.since, each.differing) for each in found] == [(False, None, ("not there",))] * 2


def test_an_id_leads_to_who_had_it_and_who_they_are_now(services: SteppedServices) -> None:
    first = services.now
    services.wait(hours=1)
    services.state("p1", person(1, driveri_driver_id="D9"))
    services.run()
    services.wait(hours=1)
    services.state("p2", person(2, driveri_driver_id="d1"))
    services.run()
    stores = services.intake_store, services.decider_store
    whole = lineage(*stores, ACME, "D1", None)
    assert [(each.driver, each.driveri_driver_id, each.keys["driveri"]) for each in whole.drivers] == [
        ("p2", "d1", "d1"),
        ("p1", "D9", "D9"),
    ]
    fields = [[(period.field, period.until is None) for period in each.periods] for each in whole.drivers]
    assert fields == [
        [("Driveri DriverID", True), ("DriverID on Driveri", True)],
        [("Driveri DriverID", False), ("DriverID on Driveri", False)],
    ]
    assert [each.driver for each in lineage(*stores, ACME, "D1", first).drivers] == ["p1"]
    assert [each.driver for each in lineage(*stores, ACME, "D1", services.now).drivers] == ["p2"]
    assert lineage(*stores, ACME, "D77", None).drivers == ()


@pytest.fixture
async def parked(stand: ApiStand) -> ApiStand:
    await stand.set_some_aside()
    return stand


async def answered(stand: ApiStand, path: str, **query: str) -> httpx.Response:
    return await stand.get(f"/accounts/acme/{path}", **query)


async def test_the_api_answers_each_question(parked: ApiStand) -> None:
    (driver,) = (await answered(parked, "diff", **{"from": "2026-01-01", "driver": "3"})).json()["drivers"]
    assert {"where": "portal", "field": "state", "before": "", "after": "there"} in driver["differences"]
    whole = (await answered(parked, "diff", **{"from": "2026-01-01"})).json()
    assert ([each["driver"] for each in whole["drivers"]], whole["next"]) == (["1", "2", "3"], None)
    found = (await answered(parked, "mismatches", driver="1")).json()
    assert [each["matches"] for each in found] == [False, False]
    traced = (await answered(parked, "lineage", id="r3", at=NOW.isoformat())).json()
    assert [each["driver"] for each in traced["drivers"]] == ["3"]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("diff", {"from": "2026-01-05T08:00", "to": "2026-01-01"}, 400),
        ("diff", {"from": "tomorrow"}, 400),
        ("diff", {"from": "2026-01-01", "driver": "77"}, 404),
        ("mismatches", {"driver": "77"}, 404),
        ("lineage", {"id": " "}, 400),
        ("lineage", {"id": "R3", "at": "2099-01-01"}, 400),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    parked: ApiStand, path: str, query: dict[str, str], status: int
) -> None:
    assert (await answered(parked, path, **query)).status_code == status
