"""Drivers are found by name, e-mail, and any id that they ever had; their lists are the ones that counts count."""

import pytest

from domain.identity import PortalDriverId, Target
from services.api import driver_search as module
from services.api.account_history import account_history
from services.api.driver_details import details
from services.api.driver_search import in_state, search
from services.api.status import status
from tests.support.stepped_services import ACME
from tests.unit.services.api.api_stand import ApiStand, Json
from tests.unit.services.api.fleet import Fleet

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("jane DOE", ["1", "2", "3"]),
        ("b@fleet", ["2"]),
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
    history = account_history(fleet.accounts, fleet.decider, ACME, "", frozenset())
    assert (history.entries[0].kind, history.entries[0].type) == ("sync", "SyncTurnedOff")
    assert {each.kind for each in history.entries} == {"setting", "sync", "reconciliation"}
    assert history.next is None
    only = account_history(fleet.accounts, fleet.decider, ACME, "", frozenset({"sync"}))
    assert [each.type for each in only.entries] == ["SyncTurnedOff", "SyncTurnedOn"]
