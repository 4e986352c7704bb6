import pytest

from domain import store as module
from domain.account import DeletesRejected
from domain.guard import digest_of_holds
from domain.identity import PortalDriverId, Target
from services.api.approvals import HeldDelete
from services.api.schema import to_json
from tests.unit.services.api.fleet import JANE, Fleet

EVERYBODY = [str(number) for number in range(1, 7)]


@pytest.fixture(params=[1, 500])
def holding(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Fleet:
    """Three deletes went out in the Portal's order, and two are held."""
    monkeypatch.setattr(module, "_PAGE", request.param)
    fleet.start(*EVERYBODY)
    fleet.delete("3", "4", "5", "2")
    fleet.delete("1")
    return fleet


def test_nothing_is_held_at_first(fleet: Fleet) -> None:
    fleet.start("1")
    assert fleet.held() == []


def test_a_set_names_exactly_what_is_held_and_since_when(holding: Fleet) -> None:
    driveri, motive = holding.held()
    first, second = driveri.drivers
    assert first == HeldDelete(driver="1", hold=3, key="D1", since=first.since, name="Jane Doe", limit=3, deleted=3)
    assert (second.driver, motive.target) == ("2", "motive")
    assert second.since < first.since
    assert driveri.since == second.since
    assert driveri.digest == digest_of_holds(Target.DRIVERI, [(PortalDriverId("2"), 3), (PortalDriverId("1"), 3)])


def test_another_hold_makes_another_set(holding: Fleet) -> None:
    before = holding.held()[0].digest
    holding.state("1", **JANE)
    assert holding.held()[0].digest != before


def test_an_approved_set_is_held_no_more(holding: Fleet) -> None:
    holding.judge(Target.DRIVERI)
    assert [each.target for each in holding.held()] == ["motive"]


def test_a_rejected_set_is_held_no_more(holding: Fleet) -> None:
    holding.judge(Target.MOTIVE, DeletesRejected)
    assert [each.target for each in holding.held()] == ["driveri"]


def test_a_set_can_be_sent_as_json(holding: Fleet) -> None:
    driveri = holding.held()[0]
    sent = to_json(driveri)
    assert sent["since"] == driveri.since.isoformat()
    assert [each["driver"] for each in sent["drivers"]] == ["1", "2"]
