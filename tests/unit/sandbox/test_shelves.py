from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.state import Shelves

_LABELS = st.frozensets(st.sampled_from("abc"))


@given(st.lists(st.tuples(st.integers(0, 9), _LABELS)))
def test_shelves_hold_each_number_once_and_in_order(moves: list[tuple[int, frozenset[str]]]) -> None:
    shelves = Shelves()
    labels: dict[int, frozenset[str]] = {}
    for number, entering in moves:
        shelves.move(number, labels.get(number, frozenset()), entering)
        labels[number] = entering
    for label in "abc":
        assert list(shelves.on(label)) == sorted(number for number, carried in labels.items() if label in carried)
