"""Undoing a reconciliation gives every driver back what the reconciliation changed, and touches no others."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import UndoScope
from domain.driver_link import Decision, DeleteHeld, LinkEvent, Undone, UndoRefused
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.profile import SPECS, chosen
from services.accounts.handlers import AccountChange
from services.decider.read_models import ReconciliationRow
from tests.support.examples import examples
from tests.support.reconciled_fleet import Fate, Hand, Moved, ReconciledFleet

fates = st.builds(
    Fate,
    is_known=st.booleans(),
    moved=st.sampled_from(list(Moved)),
    by_hand=st.fixed_dictionaries({target: st.sampled_from(list(Hand)) for target in Target}),
)


Shown = Mapping[Key, tuple[bool, Mapping[str, str]]]
"""What targets show: by key, whether the driver is active, and what it has in the fields that we own."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new folder after the other."""
    return map(partial(_made, tmp_path_factory.mktemp("fleets")), count())


def _made(root: Path, number: int) -> Path:
    folder = root / str(number)
    folder.mkdir()
    return folder


def undo(fleet: ReconciledFleet, target: Target, scope: UndoScope) -> None:
    """Jane undoes what is in scope; the dry run before it is a test of its own."""
    asked: AccountChange = lambda jane, known: jane.undo(known, {target: ""}, scope)  # noqa: E731
    fleet.services.ask(asked)
    fleet.services.run()


def reads(fleet: ReconciledFleet, target: Target) -> Shown:
    """Whether each driver is active there, and what is in the fields that we own, blanks left out."""
    owned = SPECS[target].owned
    return {each.key: (each.active, _owned(each, owned)) for each in fleet.holds(target)}


def _owned(driver: ObservedDriver, owned: Sequence[str]) -> dict[str, str]:
    return {field: text for field, text in chosen(driver.profile, owned).items() if text}


def reconciliation_of(fleet: ReconciledFleet, target: Target) -> int:
    """The number of the last reconciliation."""
    (row,) = fleet.services.decider_store.select(ReconciliationRow, {"target": str(target)})
    return row.version


@examples(12, many=300)
@given(drawn=st.lists(fates, min_size=1, max_size=4))
def test_the_undo_of_a_reconciliation_restores_every_owned_field_that_it_changed(
    folders: Iterator[Path], drawn: Sequence[Fate]
) -> None:
    fleet = ReconciledFleet(next(folders), drawn, has_rival=False)
    before = {target: reads(fleet, target) for target in Target}
    fleet.reconciliation()
    fleet.services.run()
    reconciled = {target: reads(fleet, target) for target in Target}
    for target in Target:
        number, decided = reconciliation_of(fleet, target), len(fleet.services.decided())
        undo(fleet, target, UndoScope(by="jane", reconciliation=number))
        events = [each for each in fleet.services.decided()[decided:] if each.target == target]
        check_restored(fleet, target, events, before[target], reconciled[target])
    settled = {target: reads(fleet, target) for target in Target}
    stored = fleet.reconciliation_again()
    assert Counter(type(event).__name__ for event in stored if isinstance(event, Decision)) == {}
    assert {target: reads(fleet, target) for target in Target} == settled
    fleet.services.close()


def check_restored(
    fleet: ReconciledFleet, target: Target, events: Sequence[LinkEvent], before: Shown, reconciled: Shown
) -> None:
    """Each driver reads as before, but for what cannot be restored; who was created is deleted; refused ones stay."""
    undone = [each for each in events if isinstance(each, Undone)]
    waiting = {each.driver for each in events if isinstance(each, UndoRefused | DeleteHeld)}
    left = {str(fleet.services.link(driver, target).key or "") for driver in waiting}
    shown, lost = reads(fleet, target), {str(each.key): each.not_restored for each in undone}
    created = {each.key for each in undone if each.ending == "delete" and each.key not in before}
    expected = dict(before)
    for key, (is_active, fields) in reconciled.items():
        if key in left or (key not in before and key not in created and key in shown):
            expected[key] = is_active, fields
        elif key in created:
            expected[key] = False, fields
    given_up = ("driveri_driver_id",) if target is Target.MOTIVE else ()
    ignored: dict[Key, Sequence[str]] = {key: lost.get(key, ()) for key in (*shown, *expected)}
    ignored |= {key: given_up for key in shown if key in created}
    assert _without(shown, ignored) == _without(expected, ignored)
    assert {each.reason for each in events if isinstance(each, UndoRefused)} <= {"claimed", "not_done"}


def _without(shown: Shown, ignored: Mapping[Key, Sequence[str]]) -> Shown:
    """The same, without these fields of each driver."""
    return {
        key: (is_active, {name: text for name, text in fields.items() if name not in ignored[key]})
        for key, (is_active, fields) in shown.items()
    }
