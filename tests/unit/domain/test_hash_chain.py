"""Hashes of histories, and the Merkle tree over them."""

from hashlib import sha256

import pytest

from domain.hash_chain import NOTHING, ChainedEvent, Leaf, chained, place_behind, root_of

HISTORY = b"0b1a4f526d0e4d5c9a5e6f7f6f0f2c11"


def test_a_hash_is_over_the_one_before_and_all_that_is_stored() -> None:
    first = chained(NOTHING, HISTORY, 1, b"A", b"{}")
    assert first == sha256(HISTORY + b"/1/A\n{}").digest()
    others = [
        chained(first, HISTORY, 1, b"A", b"{}"),
        chained(NOTHING, HISTORY[::-1], 1, b"A", b"{}"),
        chained(NOTHING, HISTORY, 2, b"A", b"{}"),
        chained(NOTHING, HISTORY, 1, b"B", b"{}"),
        chained(NOTHING, HISTORY, 1, b"A", b"[]"),
    ]
    assert len({first, *others}) == 6


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_each_leaf_leads_to_the_root(size: int) -> None:
    leaves = [Leaf(position=at, hash=bytes([at]) * 32) for at in range(size)]
    for index, leaf in enumerate(leaves):
        root, way = root_of(leaves, index)
        node = leaf.digest
        for side, other in way:
            node = sha256(b"\x01" + (other + node if side == "left" else node + other)).digest()
        assert node == root == root_of(leaves)[0]


def test_leaves_in_another_order_have_another_root() -> None:
    leaves = [Leaf(position=at, hash=bytes([at]) * 32) for at in range(5)]
    assert root_of(leaves)[0] != root_of(leaves[::-1])[0]


def test_a_part_begins_behind_a_number_that_a_log_can_have() -> None:
    assert [place_behind(text) for text in ("", "0", "7", str(2**63 - 1))] == [0, 0, 7, 2**63 - 1]
    for text in ("-1", "1.0", "x", str(2**63), "9" * 5000):
        with pytest.raises(ValueError, match="behind a number"):
            place_behind(text)


def chained_event(history: str = HISTORY.decode(), state: bytes = b"{}") -> ChainedEvent:
    hashed = chained(NOTHING, HISTORY, 1, b"A", b"{}")
    return ChainedEvent(position=7, history=history, version=1, topic="A", state=state, previous=NOTHING, hash=hashed)


def test_an_event_shows_whether_it_is_as_it_was_stored() -> None:
    assert chained_event().is_whole
    assert not chained_event(state=b"[]").is_whole
    assert not chained_event(history="0" * 32).is_whole
    assert chained_event().leaf == Leaf(position=7, hash=chained_event().hash)


def test_an_event_is_named_by_its_history_and_version_as_far_as_they_can_be_read() -> None:
    assert chained_event().id == "0b1a4f52-6d0e-4d5c-9a5e-6f7f6f0f2c11/1"
    assert chained_event(history="torn").id == "torn/1"
