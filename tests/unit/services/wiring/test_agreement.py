"""Whatever fails, and whenever it is killed: when the faults end, both targets agree with the Portal."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import Target
from tests.support.examples import examples
from tests.support.troubled_fleet import FAULTS, LAST_NAMES, OUTAGES, TroubledFleet


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a fleet can meet; it prints as what it is."""

    name: str
    parts: tuple[object, ...]
    named: Mapping[str, object]

    def __call__(self, fleet: TroubledFleet) -> None:
        """Let it happen."""
        getattr(fleet, self.name)(*self.parts, **self.named)


numbers = st.integers(1, 4)
targets = st.sampled_from(list(Target))


def happening(name: str, *parts: Any, **named: Any) -> st.SearchStrategy[Happening]:  # noqa: ANN401 - strategies
    """Something of this name, with any of these parts."""
    return st.builds(Happening, st.just(name), st.tuples(*parts), st.fixed_dictionaries(named))


changed = st.one_of(
    happening("change", numbers, st.sampled_from(LAST_NAMES), is_renamed=st.booleans(), has_phone=st.booleans()),
    happening("leave", numbers),
)
killed = st.one_of(happening("kill"), happening("kill_at_start", targets))
waited = happening("wait", st.sampled_from([1, 6, 40, 400]))
passed = st.one_of(waited, happening("turn_off_and_on"), happening("decide"), happening("answer"))


def episode(target: Target) -> st.SearchStrategy[tuple[Happening, ...]]:
    """A target fails while something changes, and something happens before it is called again."""
    here = st.just(target)
    failed = st.one_of(
        happening("go_down", here, st.sampled_from(OUTAGES)),
        happening("fail", here, st.sampled_from(FAULTS), st.integers(1, 4)),
        happening("break_scans", here),
    )
    worked = st.one_of(happening("work", here), happening("begin", here))
    between = st.one_of(changed, killed, passed)
    recovered = st.one_of(happening("come_back", here), waited)
    return st.tuples(changed, failed, changed, worked, between, worked, recovered, waited, worked, worked)


happenings: st.SearchStrategy[Sequence[Happening]] = st.lists(targets.flatmap(episode), min_size=2, max_size=6).map(
    lambda episodes: list(chain.from_iterable(episodes))
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new folder after the other."""
    return map(partial(_made, tmp_path_factory.mktemp("fleets")), count())


def _made(root: Path, number: int) -> Path:
    folder = root / str(number)
    folder.mkdir()
    return folder


@examples(8, many=300)
@given(happened=happenings)
def test_when_the_faults_end_both_targets_agree_with_the_portal(
    folders: Iterator[Path], happened: Sequence[Happening]
) -> None:
    fleet = TroubledFleet(next(folders))
    for each in happened:
        each(fleet)
    fleet.come_to_rest()
    assert fleet.disagreements() == []
    assert [fleet.created_too_often(target) for target in Target] == [Counter(), Counter()]
    assert fleet.touched_strangers() == []
    fleet.services.close()
