"""One name, one meaning: no two types of the product share a name."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SANDBOX = ROOT / "services" / "sandbox"
"""Stand-ins for vendors, whose words are the vendors'."""


def _types() -> Iterator[tuple[str, Path]]:
    for folder in ("domain", "adapters", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            if SANDBOX not in path.parents:
                for each in ast.parse(path.read_text("utf-8")).body:
                    if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
                        yield each.name, path.relative_to(ROOT)


def test_no_two_types_share_a_name() -> None:
    found: dict[str, list[Path]] = defaultdict(list)
    for name, path in _types():
        found[name].append(path)
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
