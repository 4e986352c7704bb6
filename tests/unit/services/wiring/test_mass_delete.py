"""Two whole lists lack 40 of 200 drivers: the guard lets as many go as it may, and a person has the rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.account import DeletesApproved
from domain.driver_link import DeleteDecided, DeleteHeld, DeleteRecalled
from domain.guard import digest_of_holds
from domain.identity import PortalDriverId, Target
from services.accounts.handlers import AccountChange
from services.decider.read_models import LinkRow
from tests.support.portal_reading import export_of, import_export
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person

FLEET, STAYING = range(200), range(160)
LACKING = {f"p{number}" for number in FLEET} - {f"p{number}" for number in STAYING}
LIMIT = 10
"""5 % of the fleet."""

Holds = list[list[str | int]]


class Leaving:
    """The services, when two whole lists in a row have lacked those 40, and everybody is at rest.

    The deletes are decided as the lists come, or by the reconciliation that follows when Sync Drivers is turned on
    again.
    """

    def __init__(self, folder: Path, *, is_reconciled: bool) -> None:
        self.services = SteppedServices(folder, both_targets())
        self._export = folder / "drivers.csv"
        self.services.add()
        self._import(FLEET)
        self.services.run()
        if is_reconciled:
            self.services.turn_off()
        for _ in range(2):
            self._import(STAYING)
            self.services.run()
        if is_reconciled:
            assert all(self.called(target) == 0 for target in Target)
            self.services.turn_on()
            self.services.run()

    def deleted(self, target: Target) -> set[str]:
        """Whose deletes have taken effect on this target."""
        drivers = self.services.twins[ACME, target].drivers
        active = {each.profile["first_name"] for each in drivers.scan() if each.active}
        return {f"p{number}" for number in FLEET if person(number)["first_name"] not in active}

    def called(self, target: Target) -> int:
        """How many deletes this target was asked for."""
        return sum(call.startswith("delete") for call in self.services.twins[ACME, target].called)

    def held(self, target: Target) -> Holds:
        """The held deletes that a person sees."""
        rows = self.services.decider_store.select(LinkRow, {"target": str(target), "state": "held"}, order_by="driver")
        return [[row.driver, row.hold] for row in rows]

    def approve(self, target: Target, seen: Holds) -> None:
        """Jane approves what she has seen."""
        self.services.ask(_approving(target, seen))
        self.services.run()

    def _import(self, fleet: range) -> None:
        self._export.write_text(export_of(fleet), "utf-8")
        import_export(self.services, self._export, is_complete=True)


@pytest.fixture(params=[False, True], ids=["as the lists come", "by a reconciliation"])
def leaving(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Leaving]:
    """A fleet that 40 drivers seem to leave."""
    made = Leaving(tmp_path, is_reconciled=request.param)
    yield made
    made.services.close()


def test_of_a_mass_delete_only_the_limit_goes_and_the_rest_when_a_person_approves_exactly_that(
    leaving: Leaving,
) -> None:
    services = leaving.services
    for target in Target:
        assert sum(isinstance(event, DeleteDecided) for event in services.decided(target)) == LIMIT
        assert sum(isinstance(event, DeleteHeld) for event in services.decided(target)) == len(LACKING) - LIMIT
        assert leaving.called(target) == LIMIT
        assert leaving.deleted(target) | {str(driver) for driver, _ in leaving.held(target)} == LACKING

    seen = {target: leaving.held(target) for target in Target}
    returning, latecomer = str(seen[Target.DRIVERI][0][0]), "p0"
    services.state(returning, person(int(returning[1:])))
    services.delete(latecomer)
    services.run()
    assert [services.states(target)[returning] for target in Target] == ["in_sync", "in_sync"]
    assert [services.states(target)[latecomer] for target in Target] == ["held", "held"]
    assert [services.facts(returning, target)[-1] for target in Target] == [DeleteRecalled.__name__] * 2

    leaving.approve(Target.DRIVERI, seen[Target.DRIVERI])
    assert leaving.deleted(Target.DRIVERI) == LACKING - {returning}
    assert leaving.called(Target.MOTIVE) == LIMIT
    leaving.approve(Target.MOTIVE, seen[Target.MOTIVE])
    for target in Target:
        assert leaving.deleted(target) == LACKING - {returning}
        assert leaving.called(target) == len(LACKING) - 1
        assert [driver for driver, _ in leaving.held(target)] == [latecomer]


def _approving(target: Target, seen: Holds) -> AccountChange:
    name = digest_of_holds(target, [(PortalDriverId(str(driver)), int(hold)) for driver, hold in seen])
    return lambda jane, known: jane.judge(known, DeletesApproved, target=target, digest=name, holds=seen)
