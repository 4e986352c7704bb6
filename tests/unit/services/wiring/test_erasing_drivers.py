"""A driver that is erased is forgotten by every service, and may come back as a new one."""

from pathlib import Path

import pytest

from domain.identity import PortalDriverId, Target, portal_driver_stream
from domain.portal import NotErasable
from domain.profile import DataSubject
from domain.store import DeadLetter, Unit
from services.decider.read_models import DesiredRow, ObservedRow
from services.intake.read_models import KnownDriver, SearchTerm
from services.projector.read_models import DeliveryRow, RosterRow
from services.runtime.forgetting import Forgotten
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person
from tests.unit.services.wiring.rebuilt import checked


def gone(fleet: SteppedServices) -> None:
    """Driver 1 was on both targets, and is deleted."""
    fleet.add()
    fleet.state("1", person(1))
    fleet.state("2", person(2))
    fleet.run()
    fleet.delete("1")
    fleet.run()


def test_rows_are_forgotten_at_once(tmp_path: Path) -> None:
    """No row of any service has anything personal of the driver, however it was found before."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    fleet.erase("1")
    fleet.run()
    assert fleet.facts("1")[-1] == "LinkErased"
    (known,) = fleet.intake_store.select(KnownDriver, {"driver": "1"})
    assert (known.profile, known.ref_id, bool(known.erased)) == ({}, "", True)
    assert [term.term for term in fleet.intake_store.select(SearchTerm, {"driver": "1"})] == ["1"]
    (desired,) = fleet.decider_store.select(DesiredRow, {"driver": "1"})
    assert (desired.profile, bool(desired.erased)) == ({}, True)
    for target, store in fleet.projector_stores.items():
        (delivery,) = store.select(DeliveryRow, {"driver": "1"})
        assert (delivery.body, delivery.started_body) == ({}, {})
        roster = store.select(RosterRow)
        assert [row.is_erased for row in roster if not row.active] == [True]
        shown = fleet.decider_store.select(ObservedRow, {"target": str(target), "active": False})
        assert [set(row.profile) - {"portal_driver_id"} for row in shown] == [set()]
    fleet.close()


def test_a_later_scan_brings_nothing_back(tmp_path: Path) -> None:
    """The target still shows the deleted driver with its name, and nothing of that is stored."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    fleet.erase("1")
    fleet.run()
    before = len(fleet.projector_stores[Target.MOTIVE].log.read(0, 1000))
    fleet.wait(days=2)
    fleet.run()
    rows = fleet.decider_store.select(ObservedRow, {"active": False})
    assert [set(row.profile) - {"portal_driver_id"} for row in rows] == [set()] * len(Target)
    later = fleet.projector_stores[Target.MOTIVE].log.read(before, 1000)
    assert {type(record.event).__name__ for record in later if record.position > before} == {"RosterScanned"}
    fleet.close()


def test_a_rehired_driver_is_reinstated_and_in_sync(tmp_path: Path) -> None:
    """The Portal states it again: by our external id, or the key, it is found, and works as any other."""
    twins = both_targets()
    fleet = SteppedServices(tmp_path, twins, is_sealed=True)
    gone(fleet)
    fleet.erase("1")
    fleet.run()
    fleet.wait(days=2)
    fleet.run()
    fleet.state("1", person(1, first_name="Back"))
    fleet.run()
    for target in Target:
        assert fleet.states(target) == {"1": "in_sync", "2": "in_sync"}
        assert "ReinstateDecided" in fleet.facts("1", target)
        assert len(twins[ACME, target].drivers.scan()) == 2
    fleet.wait(days=2)
    fleet.run()
    assert all(row.profile.get("first_name") for row in fleet.decider_store.select(ObservedRow))
    fleet.close()


def test_a_key_that_is_anothers_now_is_seen_afresh(tmp_path: Path) -> None:
    """What was seen of it is erased, and it is read again, because it is the other driver's."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    fleet.add()
    fleet.state("1", person(1))
    fleet.run()
    fleet.state("1", person(1, driveri_driver_id="D9"))
    fleet.run()
    fleet.state("2", person(2, driveri_driver_id="D1"))
    fleet.run()
    fleet.delete("1")
    fleet.run()
    fleet.erase("1")
    fleet.run()
    assert DataSubject(account=ACME, target="driveri", driver="D1") in fleet.destroyed
    (shown,) = fleet.decider_store.select(ObservedRow, {"target": "driveri", "key": "D1"})
    assert shown.profile["first_name"] == "First 2"
    assert fleet.states() == {"1": "ended", "2": "in_sync"}
    fleet.close()


def test_keys_are_destroyed_by_who_has_forgotten(tmp_path: Path) -> None:
    """The Portal's driver first, its target drivers once their projectors have forgotten them."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    fleet.erase("1")
    assert fleet.destroyed == [DataSubject(account=ACME, driver="1")]
    fleet.run()
    assert {(each.target, bool(each.driver)) for each in fleet.destroyed[1:]} == {("driveri", True), ("motive", True)}
    fleet.close()


def test_refused_while_the_portal_has_the_driver(tmp_path: Path) -> None:
    """It has to be deleted first; and of one that was never stated there is nothing to be erased."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    fleet.add()
    fleet.state("1", person(1))
    fleet.run()
    with pytest.raises(NotErasable, match="still has driver 1: delete it there first"):
        fleet.erase("1")
    with pytest.raises(NotErasable, match="no driver 7"):
        fleet.erase("7")
    fleet.close()


def test_the_same_again_adds_nothing(tmp_path: Path) -> None:
    """It says when it was erased."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    first = fleet.erase("1")
    fleet.run()
    events = fleet.intake_store.log.end()
    again = fleet.erase("1")
    assert (first.is_new, again.is_new, again.at) == (True, False, first.at)
    assert fleet.intake_store.log.end() == events
    fleet.close()


def test_an_erasure_that_was_only_begun_is_ended_after_a_kill(tmp_path: Path) -> None:
    """It was noted before anything was destroyed."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    fleet.erasing._keep(fleet.begun("1"))
    fleet = fleet.reopened()
    assert (fleet.erasing.go_on(), fleet.erasing.go_on()) == (1, 0)
    assert fleet.destroyed == [DataSubject(account=ACME, driver="1")]
    fleet.run()
    assert fleet.facts("1")[-1] == "LinkErased"
    fleet.close()


def test_an_erasure_that_was_only_begun_is_void_once_the_portal_states_the_driver(tmp_path: Path) -> None:
    """What it states then must not be destroyed."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    fleet.erasing._keep(fleet.begun("1"))
    fleet.state("1", person(1))
    fleet = fleet.reopened()
    assert (fleet.erasing.go_on(), fleet.erasing.go_on()) == (1, 0)
    assert fleet.destroyed == []
    fleet.close()


def test_keys_of_target_drivers_are_destroyed_though_the_projector_was_killed_before(tmp_path: Path) -> None:
    """It has noted what is left to do in the transaction that forgets."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    fleet.erase("1")
    fleet.decide()
    for app in fleet.projectors.values():
        for consumer in app.service._consumers.values():
            while consumer.step():
                pass
    assert len(fleet.destroyed) == 1
    fleet = fleet.reopened()
    fleet.run()
    assert {each.target for each in fleet.destroyed} == {str(target) for target in Target}
    assert [store.count(Forgotten).get((), 0) for store in fleet.projector_stores.values()] == [0, 0]
    fleet.close()


def test_what_is_rebuilt_is_what_is_there(tmp_path: Path) -> None:
    """After erasures, a re-hire of one, and a scan that shows the other still."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    fleet.delete("2")
    fleet.run()
    fleet.erase("1")
    fleet.erase("2")
    fleet.run()
    fleet.state("2", person(2, last_name="Back"))
    fleet.wait(days=2)
    fleet.run()
    fleet.close()
    assert checked(tmp_path) == []


def test_what_was_not_handled_is_forgotten_too(tmp_path: Path) -> None:
    """Dead letters of the driver go, and those of others stay."""
    fleet = SteppedServices(tmp_path, both_targets(), is_sealed=True)
    gone(fleet)
    unit = Unit()
    unit.keep(
        DeadLetter(
            stream="1/portal.driver-changes.v1/0",
            position=position,
            log_position=position,
            id=f"{portal_driver_stream(ACME, PortalDriverId(driver))}/1",
            topic="PortalDriver.DriverCreated",
            headers=[],
            body="",
            reason="",
            at="",
        )
        for position, driver in ((901, "1"), (902, "2"))
    )
    fleet.decider_store.commit(unit)
    fleet.erase("1")
    fleet.run()
    assert [letter.position for letter in fleet.decider_store.select(DeadLetter)] == [902]
    fleet.close()
