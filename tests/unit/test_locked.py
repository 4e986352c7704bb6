"""The pinned files are whole: they are installed as they stand, and nothing is resolved while that happens."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.locked import Needs, environments, gaps, installed, pins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUNTIME: list[str] = PROJECT["project"]["dependencies"]
DEVELOPMENT: list[str] = PROJECT["dependency-groups"]["dev"]
BUILD: list[str] = PROJECT["build-system"]["requires"]

LOCKS = {
    "requirements.txt": RUNTIME,
    "requirements-dev.txt": [*RUNTIME, *DEVELOPMENT, *BUILD],
    "deploy/image/build-requirements.txt": BUILD,
}
"""For each file, what it has to bring all of."""


@pytest.mark.parametrize("name", LOCKS)
def test_whatever_any_extra_on_any_supported_machine_needs_is_pinned(name: str) -> None:
    assert gaps(LOCKS[name], pins(ROOT / name)) == []


@pytest.mark.parametrize("name", [*LOCKS, "requirements-lock.txt"])
def test_every_pin_is_one_version_with_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for each in pins(ROOT / name):
        assert re.fullmatch(r"==[^*,]+", str(each.specifier)), each
        assert not each.extras
        assert not each.url
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(ROOT / name))
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|^-|--(?!hash=)\w", text, flags=re.MULTILINE)


_PINS = pins(ROOT / "requirements-dev.txt")
_LINUX = next(environments())
_NEEDED_HERE = sorted(pin.name for pin in _PINS if "win32" not in str(pin.marker))


@pytest.mark.parametrize("removed", _NEEDED_HERE)
def test_a_pin_that_is_removed_is_missed(removed: str) -> None:
    left = [pin for pin in _PINS if pin.name != removed]
    lines = gaps(LOCKS["requirements-dev.txt"], left, machines=[_LINUX])
    assert any(f"needs {removed}, which is not pinned" in _plain(line) for line in lines)


def test_a_pin_that_holds_on_fewer_machines_than_it_is_needed_on_is_missed() -> None:
    narrowed = [_on_linux_only(pin, "psycopg-pool") for pin in pins(ROOT / "requirements.txt")]
    assert gaps(RUNTIME, narrowed) == [
        "psycopg needs psycopg-pool, which is not pinned for darwin arm64",
        "psycopg needs psycopg-pool, which is not pinned for darwin x86_64",
    ]


def _on_linux_only(pin: Requirement, name: str) -> Requirement:
    return Requirement(f"{pin.name}{pin.specifier} ; sys_platform == 'linux'") if pin.name == name else pin


def test_an_extra_whose_needs_are_not_pinned_is_missed_however_deep_it_is_asked_for() -> None:
    known = {
        "top": Needs(version="1", requires=("middle[fast]>=2",)),
        "middle": Needs(version="2", requires=('deep[toml]; extra == "fast"', 'unwanted; extra == "slow"')),
        "deep": Needs(version="3", requires=('reader; extra == "toml" and python_version >= "3.13"',)),
        "reader": Needs(version="4"),
    }
    pinned = [Requirement(f"{name}=={needs.version}") for name, needs in known.items()]
    assert gaps(["top"], pinned, known.get) == []
    assert {line.split(" for ")[0] for line in gaps(["top"], pinned[:-1], known.get)} == {
        "deep needs reader, which is not pinned"
    }


def test_a_pin_outside_what_is_asked_for_is_named() -> None:
    known = {"top": Needs(version="1", requires=("below<2",)), "below": Needs(version="2")}
    pinned = [Requirement("top==1"), Requirement("below==2")]
    assert gaps(["top"], pinned, known.get) == ["top needs below <2, but 2 is pinned"]


def test_a_pin_that_does_not_run_on_a_supported_python_is_named() -> None:
    known = {"top": Needs(version="1", python=">=3.11,<3.14")}
    assert gaps(["top"], [Requirement("top==1")], known.get) == ["top 1 does not run on Python 3.14.0"]


def test_a_pin_of_which_nothing_is_known_is_named() -> None:
    nothing: dict[str, Needs] = {}
    assert gaps(["top"], [Requirement("top==1")], nothing.get) == [
        "top 1 is not installed here: record what it needs in locked.py"
    ]


def test_what_is_known_of_another_version_counts_for_nothing() -> None:
    known = {"top": Needs(version="2")}
    assert gaps(["top"], [Requirement("top==1")], known.get) == [
        "top 1 is pinned, but what is known of it is of 2: install the pins again"
    ]


def test_what_is_installed_is_read_from_its_own_metadata() -> None:
    found = installed("pytest-cov")
    assert found is not None
    assert any(canonicalize_name(Requirement(each).name) == "coverage" for each in found.requires)
    assert installed("there-is-no-such-distribution") is None


def _plain(line: str) -> str:
    """That line with the name that is missing in its canonical form."""
    return re.sub(r"(?<=needs )\S+(?=, which)", lambda found: canonicalize_name(found[0]), line)
