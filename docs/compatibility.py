"""Refuses a change of an event that a reader of a released version could not read, or whose log we could not.

Each folder in docs/reference/schemas/released has the schemas of one release. Logs are kept for ever, so the present
schemas have to fit those of every release in both ways: their readers read what is stored now, and the present ones
what was stored then. An optional field may come, and a word where more words are announced; nothing else.
`--release NAME` keeps the present schemas as those of a release.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from docs.contract import Schema, schemas

RELEASED: Final = Path(__file__).parent / "reference" / "schemas" / "released"

_FOR_PEOPLE: Final = frozenset({"$schema", "title", "description", "x-personal-data"})


def breaks(released: Mapping[str, Schema], present: Mapping[str, Schema]) -> Iterator[str]:
    """Each difference between two sets of schemas, by type of event, that some reader could not stand, in a line."""
    for topic, schema in sorted(released.items()):
        if topic in present:
            yield from _breaks(schema, present[topic], topic)
        else:
            yield f"{topic} is gone: logs have it"


def _breaks(was: Schema, now: Schema, place: str) -> Iterator[str]:
    known, words = _words(was), _words(now)
    if known is not None and words is not None:
        if lost := sorted(set(known) - set(words)):
            yield f"{place} lacks words that logs have: {', '.join(lost)}"
        return
    for keyword in sorted((was.keys() | now.keys()) - _FOR_PEOPLE - {"properties", "required"}):
        before, after = was.get(keyword), now.get(keyword)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _breaks(before, after, f"{place}.*")
        elif before != after:
            yield f"{place} has another {keyword}: {json.dumps(after)} in place of {json.dumps(before)}"
    yield from _breaks_of_fields(was, now, place)


def _breaks_of_fields(was: Schema, now: Schema, place: str) -> Iterator[str]:
    fields, present = was.get("properties", {}), now.get("properties", {})
    was_required, is_required = set(was.get("required", ())), set(now.get("required", ()))
    for name, schema in fields.items():
        if name not in present:
            yield f"{place}.{name} is gone: readers expect it"
            continue
        yield from _breaks(schema, present[name], f"{place}.{name}")
        if name in was_required - is_required:
            yield f"{place}.{name} may be absent: readers expect it"
    for name in sorted(is_required - was_required):
        yield f"{place}.{name} is required: logs do not have it everywhere, so give it a default"


def _words(schema: Schema) -> list[str] | None:
    """The words of a text that may also be another one; None where it is not one of these."""
    match schema.get("anyOf"):
        case [{"enum": words}, {"type": "string"}]:
            return list(words)
    return None


def releases(folder: Path = RELEASED) -> dict[str, dict[str, Schema]]:
    """The schemas of each release, by its name."""
    return {
        each.name: {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(each.glob("*.json"))}
        for each in sorted(folder.iterdir())
        if each.is_dir()
    }


def release(name: str, folder: Path = RELEASED) -> None:
    """Keep the present schemas as those of this release. Raises `FileExistsError` where it has some."""
    (folder / name).mkdir(parents=True)
    for topic, schema in schemas().items():
        (folder / name / f"{topic}.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> int:
    """Say what breaks readers of which release; 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", metavar="NAME", help="keep the present schemas as those of this release")
    if name := parser.parse_args().release:
        release(name)
        return 0
    present, found = schemas(), False
    for name, released in releases().items():
        for line in breaks(released, present):
            found = True
            sys.stderr.write(f"readers of {name}: {line}\n")
    if found:
        sys.stderr.write("give what is new another type of event, or an optional field\n")
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
