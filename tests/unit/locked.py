"""What the pinned files of dependencies hold, and whether anything that they need is missing from them.

Each pin is weighed against what its distribution says of itself (`Requires-Dist`, `Requires-Python`), for every
machine that is supported and with every extra that anything in the chain asks for. That comes from what is installed
beside the tests; for what a supported machine needs and this one does not, from `RECORDED`.

Where this stops: wheels of one version may differ in what they need from one platform to the next, and only the one
that is installed here is read; and whether there is a wheel for each platform is known to the index only.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

Environment = Mapping[str, str]
"""The values of a machine's markers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one distribution says of itself."""

    version: str
    python: str = ""
    requires: tuple[str, ...] = ()


RECORDED: Mapping[str, Needs] = {}
"""By name: what supported machines need and no Linux has with Python 3.11. Nothing at present.

For such a pin `make test` asks for a line here; a wheel's file `METADATA` has the values.
"""


def environments() -> Iterator[Environment]:
    """Every machine that is supported: Python 3.11 to 3.14 on Linux and macOS, with either processor."""
    for python in ("3.11", "3.12", "3.13", "3.14"):
        for platform, system, machine in (
            ("linux", "Linux", "x86_64"),
            ("linux", "Linux", "aarch64"),
            ("darwin", "Darwin", "x86_64"),
            ("darwin", "Darwin", "arm64"),
        ):
            yield {
                "implementation_name": "cpython",
                "implementation_version": f"{python}.0",
                "os_name": "posix",
                "platform_machine": machine,
                "platform_python_implementation": "CPython",
                "platform_release": "",
                "platform_system": system,
                "platform_version": "",
                "python_full_version": f"{python}.0",
                "python_version": python,
                "sys_platform": platform,
            }


def pins(path: Path) -> list[Requirement]:
    """The pins of a file, each `name==version` and perhaps a marker; hashes and comments are left out."""
    lines = re.findall(r"^[A-Za-z0-9].*?(?= \\$|$)", path.read_text("utf-8"), flags=re.MULTILINE)
    return [Requirement(line) for line in lines]


@cache
def installed(name: str) -> Needs | None:
    """What the distribution of that name says of itself here, or else in the record."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return RECORDED.get(name)
    python = "".join(found.metadata.get_all("Requires-Python") or ())
    return Needs(version=found.version, python=python, requires=tuple(found.requires or ()))


def gaps(
    roots: Sequence[str],
    pinned: Sequence[Requirement],
    look_up: Callable[[str], Needs | None] = installed,
    machines: Sequence[Environment] = (),
) -> list[str]:
    """A line for each thing that a supported machine would miss or have in a wrong version; none if all is there."""
    machines = machines or [*environments()]
    return sorted({line for each in machines for line in _Machine(each, pinned, look_up).gaps(roots)})


class _Machine:
    """One supported machine, with the pins that hold there."""

    def __init__(
        self, environment: Environment, pinned: Sequence[Requirement], look_up: Callable[[str], Needs | None]
    ) -> None:
        self._environment = environment
        self._name = f"{environment['sys_platform']} {environment['platform_machine']}"
        self._pins = {canonicalize_name(each.name): each for each in pinned if _holds(each, environment)}
        self._look_up = look_up

    def gaps(self, roots: Sequence[str]) -> Iterator[str]:
        wanted_here = [each for each in map(_parsed, roots) if _holds(each, self._environment)]
        waiting = [("this project", each) for each in wanted_here]
        followed = set[tuple[str, str]]()
        while waiting:
            by, wanted = waiting.pop()
            yield from self._gaps_of(by, wanted)
            name = canonicalize_name(wanted.name)
            for extra in {"", *wanted.extras}:
                if (name, extra) not in followed:
                    followed.add((name, extra))
                    waiting += [(name, each) for each in self._needed_by(name, extra)]

    def _gaps_of(self, by: str, wanted: Requirement) -> Iterator[str]:
        """What is wrong about one requirement, itself and what it names."""
        pin = self._pins.get(canonicalize_name(wanted.name))
        if pin is None:
            yield f"{by} needs {wanted.name}, which is not pinned for {self._name}"
            return
        version = next(iter(pin.specifier)).version
        if not wanted.specifier.contains(version, prereleases=True):
            yield f"{by} needs {wanted.name} {wanted.specifier}, but {version} is pinned"
        yield from self._flaws_of(pin.name, version)

    def _flaws_of(self, name: str, version: str) -> Iterator[str]:
        """What is wrong about one pin: not known, known in another version, or not for this Python."""
        needs = self._look_up(canonicalize_name(name))
        python = self._environment["python_full_version"]
        if needs is None:
            yield f"{name} {version} is not installed here: record what it needs in {Path(__file__).name}"
        elif needs.version != version:
            yield f"{name} {version} is pinned, but what is known of it is of {needs.version}: install the pins again"
        elif not SpecifierSet(needs.python).contains(python):
            yield f"{name} {version} does not run on Python {python}"

    def _needed_by(self, name: str, extra: str) -> Iterator[Requirement]:
        """What a distribution needs for one of its extras, or in any case if that is empty."""
        needs = self._look_up(name)
        for text in needs.requires if needs else ():
            wanted = _parsed(text)
            at_all = _holds(wanted, self._environment)
            if at_all != bool(extra) and _holds(wanted, {**self._environment, "extra": extra}):
                yield wanted


_parsed = cache(Requirement)


def _holds(requirement: Requirement, environment: Environment) -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({"extra": "", **environment})
