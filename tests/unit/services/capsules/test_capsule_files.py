"""A capsule is read as it was written; whatever else a file holds ends in one clear line."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.capsules.capsule import LARGEST, CapsuleUnusable, encoded, read, to_json
from tests.golden.made_capsules import FOLDER

Json = dict[str, Any]
CONTENT = (FOLDER / "adopt.json").read_bytes()


def test_a_capsule_is_written_as_it_was_read() -> None:
    assert b"".join(encoded(read(CONTENT))) == CONTENT
    assert to_json(read(CONTENT)) == json.loads(CONTENT)


def test_a_compressed_one_is_the_same() -> None:
    assert read(gzip.compress(CONTENT)) == read(CONTENT)


def changed(change: Callable[[Json], object]) -> bytes:
    document = json.loads(CONTENT)
    change(document)
    return json.dumps(document).encode()


def first_fact(document: Json) -> Json:
    found: Json = document["facts"]["accounts.v1"][0]
    return found


END = "9999-12-31T23:59:59+00:00"


def at_one_place(document: Json, field: str) -> None:
    first, second, *_ = document["facts"]["accounts.v1"]
    second[field] = first[field]


UNUSABLE = {
    "nothing": (b"", "neither JSON nor gzipped JSON"),
    "bytes": (b"\x00\xff\xfe", "neither JSON nor gzipped JSON"),
    "cut off": (CONTENT[:5000], "neither JSON nor gzipped JSON"),
    "cut off and packed": (gzip.compress(CONTENT)[:500], "neither JSON nor gzipped JSON"),
    "packed otherwise": (b"\x1f\x8b" + b"\x00" * 40, "neither JSON nor gzipped JSON"),
    "nested": (b"[" * 200_000, "neither JSON nor gzipped JSON"),
    "something else": (b'{"format": "a diary"}', "not a capsule"),
    "a list": (b"[1, 2]", "not a capsule"),
    "a later format": (changed(lambda document: document.update(version=2)), "has format 2"),
    "without facts": (changed(lambda document: document.pop("facts")), "damaged (KeyError)"),
    "facts of none": (changed(lambda document: document.update(facts=None)), "damaged"),
    "an unknown fact": (changed(lambda document: first_fact(document).update(type="X")), "damaged (KeyError)"),
    "a field too many": (changed(lambda document: first_fact(document).update(x=1)), "damaged (ValueError)"),
    "a field too few": (changed(lambda document: first_fact(document).pop("tier")), "damaged (ValueError)"),
    "another type": (changed(lambda document: first_fact(document).update(tier=5)), "damaged (ValidationError)"),
    "no time": (changed(lambda document: first_fact(document).update(at="x")), "damaged (ValueError)"),
    "a time at the end": (changed(lambda document: first_fact(document).update(at=END)), "damaged (ValueError)"),
    "a time nowhere": (changed(lambda document: first_fact(document).update(at=END[:19])), "damaged (ValueError)"),
    "no version": (changed(lambda document: first_fact(document).update(version=0)), "damaged (ValueError)"),
    "a huge version": (changed(lambda document: first_fact(document).update(version=2**70)), "damaged"),
    "a place twice": (changed(lambda document: at_one_place(document, "position")), "damaged (ValueError)"),
    "a version twice": (changed(lambda document: at_one_place(document, "version")), "damaged (ValueError)"),
    "another account": (changed(lambda document: first_fact(document).update(account="x")), "damaged (ValueError)"),
    "a bad batch": (changed(lambda document: document.update(batches=[{}])), "damaged"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_is_no_capsule_is_refused_in_one_line(what: str) -> None:
    content, words = UNUSABLE[what]
    with pytest.raises(CapsuleUnusable) as refused:
        read(content)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_unpacks_to_more_than_any_capsule_is_refused() -> None:
    with pytest.raises(CapsuleUnusable, match="larger than any capsule"):
        read(gzip.compress(b" " * (LARGEST + 1)))
