"""What holds whatever the Portal states, in whatever order."""

from contextlib import closing
from itertools import groupby, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from domain.identity import PortalDriverId
from domain.portal import DriverCreated, DriverDeleted, DriverMissed, PortalDriverEvent
from domain.ports import PortalLine
from services.intake.handlers import SnapshotRefused, UnknownDriver
from tests.support.examples import examples
from tests.unit.services.intake.intake_stand import ACCOUNT, SOURCE, IntakeStand, line, replayed

_DRIVERS = ("417", "418", "419")
_REFS = ("", "1", "2")
_SNAPSHOTS = ("s1", "s2")

lines = st.builds(
    lambda driver, ref, name: line(driver, ref=ref, name=name),
    st.sampled_from((None, *_DRIVERS)),
    st.sampled_from(_REFS),
    st.sampled_from(("Jane", "Joan")),
)
lists = st.lists(lines, max_size=4)
steps = st.one_of(
    st.tuples(st.just("list"), lists, st.sampled_from((None, *_SNAPSHOTS))),
    st.tuples(st.just("finish"), lists, st.sampled_from(_SNAPSHOTS)),
    st.tuples(st.just("delete"), st.sampled_from((*_DRIVERS, "ref:1")), st.none()),
)
Step = tuple[str, object, str | None]


def do(stand: IntakeStand, step: Step) -> None:
    """Let the Portal state something; what intake refuses is refused."""
    kind, said, snapshot = step
    try:
        match kind, said:
            case "delete", str():
                stand.intake.delete(ACCOUNT, PortalDriverId(said), source="api")
            case "finish", list():
                stand.finish(snapshot or "", *said)
            case _, list():
                stand.take(*said, snapshot=snapshot)
    except (SnapshotRefused, UnknownDriver):
        pass


@examples(20, many=300)
@given(st.lists(steps, max_size=8))
@example([("list", [line("417", ref="1"), line("418", ref="1")], None), ("list", [line(ref="1")], "s1")])
@example([("list", [line("417")], None), *[("list", [line("418")], "s1"), ("finish", [], "s1")] * 2])
def test_what_is_known_is_what_the_log_says(stated: list[Step]) -> None:
    with TemporaryDirectory() as folder, closing(IntakeStand(Path(folder) / "intake.sqlite")) as stand:
        for step in stated:
            do(stand, step)
        assert stand.everybody() == replayed(stand.facts)
        for _, facts in groupby(sorted(stand.facts, key=_driver), key=_driver):
            assert_history(list(facts))


def assert_history(facts: list[PortalDriverEvent]) -> None:
    """Sequences rise, a driver is created before anything else, and who is only absent was missed before."""
    assert [fact.originator_version for fact in facts] == list(range(1, len(facts) + 1))
    for before, fact in pairwise((None, *facts)):
        assert isinstance(fact, DriverCreated) == (before is None or isinstance(before, DriverDeleted))
        if isinstance(fact, DriverDeleted) and fact.source == SOURCE:
            assert isinstance(before, DriverMissed)


def _driver(fact: PortalDriverEvent) -> str:
    return fact.driver


@examples(20, many=300)
@given(st.lists(steps, max_size=6), lists)
def test_a_list_that_was_just_stored_adds_nothing(stated: list[Step], last: list[PortalLine]) -> None:
    with TemporaryDirectory() as folder, closing(IntakeStand(Path(folder) / "intake.sqlite")) as stand:
        for step in (*stated, ("list", last, None), ("list", last, None)):
            do(stand, step)
        end = stand.store.log.end()
        do(stand, ("list", last, None))
        assert stand.store.log.end() == end
