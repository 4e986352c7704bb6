"""Hashes of histories, and the Merkle tree over them."""

from hashlib import sha256

import pytest

from domain.hash_chain import NOTHING, Leaf, chained, place_behind, root_of

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
