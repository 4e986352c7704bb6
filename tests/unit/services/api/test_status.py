from dataclasses import replace

import pytest

from domain.account import DeletesRejected
from domain.failures import Reason, Rejected
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from services.api import status as module
from services.api.schema import to_json
from services.api.status import TargetStatus, status, unmanaged
from tests.support.stepped_services import ACME
from tests.unit.services.api.api_stand import ApiStand
from tests.unit.services.api.fleet import JANE, Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE


def on(fleet: Fleet, target: Target) -> TargetStatus:
    (account,) = status(fleet.decider, [ACME])
    return next(each for each in account.targets if each.target == target)


def test_an_account_in_sync_is_counted(fleet: Fleet) -> None:
    fleet.start("1", "2")
    (account,) = status(fleet.decider)
    assert (account.account, account.tier, account.is_on, account.drivers) == ("acme", "pro", True, 2)
    scanned_at = account.targets[0].scanned_at
    assert account.targets[0] == TargetStatus(
        target="driveri",
        mode="full",
        is_scanned=True,
        scanned_at=scanned_at,
        failure="",
        failing_since=None,
        outage="",
        stopped_since=None,
        is_reconciling=False,
        reconciled_at=account.targets[0].reconciled_at,
        reconciliation_due_at=account.targets[0].reconciliation_due_at,
        in_sync=2,
        pending=0,
        parked={},
        held=0,
        kept=0,
        ended=0,
        undecided=0,
        unmanaged=0,
    )
    assert scanned_at is not None
    assert scanned_at < fleet.now


def test_parked_drivers_are_counted_by_reason(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.state("3", first_name="Jane")
    fleet.state("4", **JANE)
    assert on(fleet, DRIVERI).parked == {"unkeyed": 1, "conflict": 1}


def test_held_kept_and_ended_drivers_are_counted(fleet: Fleet) -> None:
    fleet.start("1", "2", "3", "4", "5", "6")
    fleet.delete("1", "2", "3", "4")
    fleet.settle()
    assert (on(fleet, DRIVERI).ended, on(fleet, DRIVERI).held) == (3, 1)
    fleet.judge(DRIVERI, DeletesRejected)
    found = on(fleet, DRIVERI)
    assert (found.ended, found.held, found.kept, found.in_sync) == (3, 0, 1, 2)


def test_decisions_without_an_answer_are_pending(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("2", first_name="Jane", ref_id="R2")
    assert (on(fleet, DRIVERI).pending, on(fleet, DRIVERI).in_sync) == (1, 1)


def test_wanted_drivers_without_a_decision_are_counted(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.turn_off()
    fleet.state("3", **JANE)
    fleet.state("4", **JANE)
    fleet.delete("4")
    (account,) = status(fleet.decider)
    assert account.is_on is False
    assert account.drivers == 3
    assert [each.undecided for each in account.targets] == [1, 1]


def test_a_roster_under_former_terms_is_not_scanned(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.turn_off()
    fleet.turn_on()
    assert not on(fleet, DRIVERI).is_scanned
    fleet.scan(DRIVERI)
    assert on(fleet, DRIVERI).is_scanned
    assert not on(fleet, MOTIVE).is_scanned


def test_a_roster_that_cannot_be_read_says_why_and_since_when(fleet: Fleet) -> None:
    fleet.add()
    fleet.turn_on()
    fleet.fail_scan(MOTIVE, Rejected(reason=Reason.NOT_CONFIGURED, detail="answered 404"))
    found = on(fleet, MOTIVE)
    assert (found.is_scanned, found.scanned_at, found.failure) == (False, None, "not_configured: answered 404")
    assert found.failing_since is not None
    assert to_json(found)["failing_since"] == found.failing_since.isoformat()


@pytest.mark.parametrize("page", [1, 500])
def test_unmanaged_are_the_active_drivers_whom_no_link_has(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(module, "_PAGE", page)
    for key, active in {"X1": True, "X2": False, "x3": True}.items():
        fleet.targets[DRIVERI].put(ObservedDriver(key=Key(key), active=active, profile={}))
    fleet.start("1")
    assert list(unmanaged(fleet.decider, ACME, DRIVERI)) == ["X1", "x3"]
    assert [each.unmanaged for each in status(fleet.decider)[0].targets] == [2, 0]


def test_unmanaged_drivers_come_behind_a_key_in_whatever_letters_and_not_more_than_are_wanted(fleet: Fleet) -> None:
    for key in ("X1", "x2", "X3", "x4"):
        fleet.targets[DRIVERI].put(ObservedDriver(key=Key(key), active=True, profile={}))
    fleet.start("1")
    assert unmanaged(fleet.decider, ACME, DRIVERI, "x1", 2) == ["x2", "X3"]
    assert unmanaged(fleet.decider, ACME, DRIVERI, "x4", 2) == []


def test_a_linked_driver_whose_id_is_shown_in_other_letters_is_not_unmanaged(fleet: Fleet) -> None:
    fleet.start("1")
    known = fleet.targets[DRIVERI].shown(Key("D1"))
    assert known is not None
    fleet.targets[DRIVERI].put(replace(known, key=Key("d1")))
    fleet.scan(DRIVERI)
    assert on(fleet, DRIVERI).unmanaged == 0


def test_accounts_that_are_unknown_are_left_out(fleet: Fleet) -> None:
    fleet.add()
    assert status(fleet.decider, ["nobody"]) == []
    assert [each.account for each in status(fleet.decider, ["nobody", "acme"])] == ["acme"]


def test_a_target_that_is_not_called_says_why_and_since_when(fleet: Fleet) -> None:
    fleet.start("1")
    opened = fleet.open_breaker(MOTIVE, Reason.CREDENTIALS, "answered 401")
    assert (on(fleet, MOTIVE).outage, on(fleet, MOTIVE).stopped_since) == ("credentials: answered 401", opened)
    assert (on(fleet, DRIVERI).outage, on(fleet, DRIVERI).stopped_since) == ("", None)
    fleet.close_breaker(MOTIVE)
    assert on(fleet, MOTIVE).outage == ""


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/status", "/overview"])
async def test_settings_are_shown_as_stored_before_the_decider_knows_them(stand: ApiStand, path: str) -> None:
    people = {"master_user": "jane", "account_manager": "bob"}
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "mode": "observe", **people})
    stand.step()
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": True})
    await stand.post("/accounts/acme/mode", {"by": "jane", "target": "motive", "mode": "off"})
    await stand.post("/accounts/acme/people", {"by": "bob", "tier": "enterprise"})
    found = (await stand.get(path)).json()
    (account,) = found if path == "/status" else found["accounts"]
    assert (account["is_on"], account["tier"]) == (True, "enterprise")
    assert [each["mode"] for each in account["targets"]] == ["observe", "off"]
