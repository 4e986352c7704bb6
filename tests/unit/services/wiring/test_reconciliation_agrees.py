"""Whatever the Portal states and people do by hand in the targets.

A reconciliation finds and decides what the table says.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import Target
from domain.outcomes import ObservedDriverSeen
from domain.store import Event
from tests.support.examples import examples
from tests.support.reconciled_fleet import PAYROLL, Fate, Hand, Moved, ReconciledFleet
from tests.support.section_five import LEFT_OUT, Verdict, drifted, unmanaged, verdict

MOST_DELETES = 3
"""What the guard lets out of so small a fleet."""

LASTING = ("conflict", "unkeyed", "held")
"""What a person has to see to."""

fates = st.builds(
    Fate,
    is_known=st.booleans(),
    moved=st.sampled_from(list(Moved)),
    by_hand=st.fixed_dictionaries({target: st.sampled_from(list(Hand)) for target in Target}),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new folder after the other."""
    return map(partial(_made, tmp_path_factory.mktemp("fleets")), count())


def _made(root: Path, number: int) -> Path:
    folder = root / str(number)
    folder.mkdir()
    return folder


def expected(fleet: ReconciledFleet, target: Target) -> dict[str, Verdict]:
    """What the table says of each driver; the guard lets the first few deletes out."""
    found, deletes = dict[str, Verdict](), 0
    for standing in fleet.standings[target]:
        said = verdict(standing, fleet.held[target], is_guard_open=deletes < MOST_DELETES)
        deletes += said[0] == "orphaned"
        found[standing.driver] = said
    return found


def overridden(fleet: ReconciledFleet, target: Target) -> dict[str, dict[str, str | None]]:
    """What the table says is overridden, by driver and field."""
    said = expected(fleet, target)
    drifting = [each for each in fleet.standings[target] if said[each.driver][0] == "drifted"]
    return {each.driver: drifted(each, fleet.held[target]) for each in drifting}


def counted(found: Sequence[str], unmanaged: int) -> dict[str, int]:
    """How often what is found, as a reconciliation reports it."""
    return +(Counter(each for each in found if each != LEFT_OUT) + Counter({"unmanaged": unmanaged}))


def check_what_was_found(fleet: ReconciledFleet, target: Target) -> None:
    """What was decided and reported is what the table says."""
    said, drift = expected(fleet, target), overridden(fleet, target)
    assert fleet.decided(target) == {driver: facts for driver, (_, facts) in said.items()}
    assert fleet.drift(target) == drift
    report = fleet.reported(target)
    foreign = unmanaged(fleet.standings[target], fleet.held[target])
    assert report.found == counted([finding for finding, _ in said.values()], len(foreign))
    assert report.drifted == Counter(field for fields in drift.values() for field in fields)
    assert (report.drivers, report.at_odds) == (len(fleet.held[target]), {})


def is_of_deleted(event: Event) -> bool:
    """Whether a scan saw a deleted driver: Driveri answers a delete without saying what it keeps."""
    return isinstance(event, ObservedDriverSeen) and event.target == Target.DRIVERI and not event.active


def check_what_was_left_alone(fleet: ReconciledFleet, target: Target) -> None:
    """Unmanaged drivers are as they were, and so is what other systems keep in Motive."""
    now = {each.key: each for each in fleet.holds(target)}
    foreign = unmanaged(fleet.standings[target], fleet.held[target])
    assert [now.get(each.key) for each in fleet.held[target] if each.key in foreign] == [
        each for each in fleet.held[target] if each.key in foreign
    ]
    kept = [each.key for each in fleet.held[target] if PAYROLL in each.profile]
    assert [key for key in kept if PAYROLL not in now[key].profile] == []


def check_what_is_found_afterwards(fleet: ReconciledFleet, target: Target) -> None:
    """Every driver is in sync, except those that need a person."""
    found = [finding for finding, _ in expected(fleet, target).values() if finding not in (LEFT_OUT, "orphaned")]
    lasting = [finding if finding in LASTING else "in_sync" for finding in found]
    foreign = {str(each.key) for each in fleet.holds(target) if each.active} - fleet.linked(target)
    report = fleet.reported(target)
    assert report.found == counted(lasting, len(foreign))
    assert (report.drifted, report.at_odds) == ({}, {})


@examples(12, many=200)
@given(drawn=st.lists(fates, min_size=1, max_size=4), has_rival=st.booleans())
def test_a_reconciliation_decides_what_the_table_says_and_the_next_one_finds_everybody_in_step(
    folders: Iterator[Path], drawn: Sequence[Fate], *, has_rival: bool
) -> None:
    fleet = ReconciledFleet(next(folders), drawn, has_rival=has_rival)
    fleet.reconciliation()
    for target in Target:
        check_what_was_found(fleet, target)
    fleet.services.run()
    stored = fleet.reconciliation_again()
    assert Counter(type(event).__name__ for event in stored if not is_of_deleted(event)) == {
        "RosterScanned": 2,
        "ReconciliationCompleted": 2,
    }
    for target in Target:
        check_what_was_left_alone(fleet, target)
        check_what_is_found_afterwards(fleet, target)
    fleet.services.close()
