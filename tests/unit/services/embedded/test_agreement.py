"""Whatever fails, and whenever it is killed: when the faults end, both targets agree with the Portal."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.identity import Target
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


changed = happening("change", numbers, st.sampled_from(LAST_NAMES), is_renamed=st.booleans(), has_phone=st.booleans())
worked = st.one_of(happening("decide"), happening("project", targets), happening("begin", targets), happening("answer"))
failed = st.one_of(
    happening("fail", targets, st.sampled_from(FAULTS), st.integers(1, 4)),
    happening("go_down", targets, st.sampled_from(OUTAGES)),
    happening("come_back", targets),
    happening("break_walks", targets),
)
killed = st.one_of(happening("kill"), happening("kill_at_start", targets))
passed = st.one_of(
    happening("wait", st.sampled_from([1, 6, 40, 400])),
    happening("turn", is_on=st.booleans()),
    happening("leave", numbers),
)
happenings: st.SearchStrategy[Sequence[Happening]] = st.lists(
    st.one_of(changed, changed, worked, worked, worked, failed, killed, passed), min_size=10, max_size=40
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new folder after the other."""
    return map(partial(_made, tmp_path_factory.mktemp("fleets")), count())


def _made(root: Path, number: int) -> Path:
    folder = root / str(number)
    folder.mkdir()
    return folder


@settings(max_examples=40)
@given(happened=happenings)
def test_when_the_faults_end_both_targets_agree_with_the_portal(
    folders: Iterator[Path], happened: Sequence[Happening]
) -> None:
    fleet = TroubledFleet(next(folders))
    fleet.change(1, "Doe", is_renamed=False, has_phone=False)
    for each in happened:
        each(fleet)
    fleet.come_to_rest()
    assert fleet.disagreements() == []
    assert [fleet.created_too_often(target) for target in Target] == [Counter(), Counter()]
    assert fleet.touched_strangers() == []
    fleet.services.close()
