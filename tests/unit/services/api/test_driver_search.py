"""Drivers are found by name, e-mail, and any id that they ever had; their lists are the ones that counts count."""

import pytest

from domain.identity import PortalDriverId, Target
from services.api import driver_search as module
from services.api.account_history import account_history
from services.api.driver_details import details
from services.api.driver_search import in_state, search
from services.api.schema import Malformed
from services.api.status import status
from tests.support.stepped_services import ACME
from tests.unit.services.api.api_stand import ApiStand, Json
from tests.unit.services.api.fleet import Fleet

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("jane DOE", ["1", "2", "3"]),
        ("b@fle", ["2"]),
        ("r3", ["3"]),
        ("2", ["2"]),
        ("nobody", []),
        ("  ", ["1", "2", "3"]),
    ],
)
async def test_a_driver_is_found_by_name_e_mail_or_id(stand: ApiStand, text: str, found: list[str]) -> None:
    await stand.set_some_aside()
    page: Json = (await stand.get("/accounts/acme/drivers", find=text)).json()
    assert [each["driver"] for each in page["drivers"]] == found
    assert page["next"] is None


def test_a_driver_is_found_by_an_id_that_it_had_once(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.state("1", first_name="Jane", last_name="Doe", ref_id="R1", driveri_driver_id="D9")
    page = search(fleet.decider, fleet.intake, ACME, "d1", after="", limit=10)
    assert [(each.driver, each.former) for each in page.drivers] == [("1", "Driveri DriverID")]


def found_by(fleet: Fleet, text: str) -> list[tuple[str, str, str]]:
    page = search(fleet.decider, fleet.intake, ACME, text, after="", limit=10)
    return [(each.driver, each.found_by, each.former) for each in page.drivers]


def test_a_list_says_by_what_a_driver_was_found(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.state("1", first_name="Jane", last_name="Doe", ref_id="R1", driveri_driver_id="D9")
    assert found_by(fleet, "d") == [
        ("1", "Driveri DriverID", "Driveri DriverID"),
        ("2", "Driveri DriverID", ""),
    ]
    assert found_by(fleet, "jan") == [("1", "name", ""), ("2", "name", "")]
    assert found_by(fleet, "1") == [("1", "portal id", "")]


def test_a_driver_is_found_by_no_name_that_it_had_once_and_by_its_last_when_it_is_deleted(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("1", first_name="Janet", last_name="Roe", ref_id="R1", driveri_driver_id="D1")
    fleet.delete("1")
    assert (found_by(fleet, "doe"), found_by(fleet, "jane d")) == ([], [])
    assert found_by(fleet, "roe") == [("1", "name", "")]
    fleet.state("1", first_name="Mary", last_name="Poe", ref_id="R1", driveri_driver_id="D1")
    assert (found_by(fleet, "roe"), found_by(fleet, "poe")) == ([], [("1", "name", "")])


def test_a_driver_with_several_terms_that_begin_so_is_listed_once(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("1", first_name="Jo", last_name="Jones", ref_id="JO1", driveri_driver_id="D1")
    found, after = list[str](), ""
    for _ in range(5):
        page = search(fleet.decider, fleet.intake, ACME, "jo", after=after, limit=1)
        found += [each.driver for each in page.drivers]
        if page.next is None:
            break
        after = page.next
    assert found == ["1"]


@pytest.mark.parametrize("cursor", ["x", "[]", "[1, 2, 3]", "{}", "7"])
def test_what_is_no_cursor_of_a_search_is_refused(fleet: Fleet, cursor: str) -> None:
    with pytest.raises(Malformed):
        search(fleet.decider, fleet.intake, ACME, "jo", after=cursor, limit=1)


@pytest.mark.parametrize("former", [False, True])
def test_a_search_goes_on_where_it_stopped(fleet: Fleet, *, former: bool) -> None:
    fleet.start("1", "2", "3")
    for driver in "123" if former else ():
        fleet.state(driver, first_name="Jane", last_name="Doe", ref_id="S", driveri_driver_id=f"E{driver}")
        fleet.state(driver, first_name="Jane", last_name="Doe", ref_id=f"T{driver}", driveri_driver_id=f"E{driver}")
    found, after = [], ""
    for _ in range(4):
        page = search(fleet.decider, fleet.intake, ACME, "s" if former else "doe", after=after, limit=1)
        found += [each.driver for each in page.drivers]
        if page.next is None:
            break
        after = page.next
    assert found == ["1", "2", "3"]


async def test_every_count_is_that_of_the_list_that_it_links_to(stand: ApiStand) -> None:
    await stand.set_some_aside()
    (account,) = status(stand.decider)
    for target in account.targets:
        counts = {state: getattr(target, state) for state in module.STATES if state != "parked"}
        counts["parked"] = sum(target.parked.values())
        for state, count in counts.items():
            listed, after = 0, ""
            while True:
                page = in_state(stand.decider, "acme", [Target(target.target)], state, "", after=after, limit=1)
                listed += len(page.drivers)
                if page.next is None:
                    break
                after = page.next
            assert (target.target, state, listed) == (target.target, state, count)


def test_a_driver_is_shown_whole(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("1", first_name="Jane", last_name="Roe", ref_id="R1", driveri_driver_id="D9")
    shown = details(
        ACME,
        PortalDriverId("1"),
        accounts=fleet.accounts,
        intake=fleet.intake,
        decider=fleet.decider,
        projectors=fleet.reports,
        down=[],
    )
    assert shown is not None
    driveri = shown.targets[0]
    assert shown.name == "Jane Roe"
    assert [(each.field, each.desired, each.observed) for each in driveri.fields if each.differs] == [
        ("last name", "Roe", "Doe")
    ]
    newest = next(entry for entry in shown.history if entry.where == "driveri")
    assert newest.type == "RenameDecided"
    assert [(each.field, each.before, each.after) for each in newest.changes] == [
        ("DriverID", "D1", "D9"),
        ("last name", "Doe", "Roe"),
    ]


def test_an_account_s_history_has_people_and_reconciliations_newest_first(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.later()
    fleet.turn_off()
    history = account_history(fleet.accounts, fleet.intake, fleet.decider, ACME, "", frozenset())
    assert (history.entries[0].kind, history.entries[0].type) == ("sync", "SyncTurnedOff")
    assert {each.kind for each in history.entries} == {"setting", "sync", "reconciliation"}
    assert history.next is None
    only = account_history(fleet.accounts, fleet.intake, fleet.decider, ACME, "", frozenset({"sync"}))
    assert [each.type for each in only.entries] == ["SyncTurnedOff", "SyncTurnedOn"]
