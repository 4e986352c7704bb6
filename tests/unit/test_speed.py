"""Speed is measured by benchmarks: a test must not fail because a machine is slow, or busy with something else."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
BEYOND = ("benchmarks", "browser/vendored", "upgrade/at_69357e9")
"""Folders that measure, and code that is not ours or is of an earlier version."""

CLOCKS = re.compile(r"\b(?:monotonic|perf_counter|process_time)(?:_ns)?\(|\btime\.time\(|\w*loop\(\)\.time\(\) *-")
SHORT = re.compile(r"\b(?:timeout|result|join)\((?:[^()\n]*\btimeout=)?(\d[\d_.]*)\)|\btimeout=(\d[\d_.]*)\b")
LEAST = 60.0
"""Seconds for which a busy machine may be busy with something else."""

EXCUSED = {
    "support/counted_waiting.py": "counts how long there was nothing to do",
    "support/oidc_provider.py": "says when its tokens end",
    "support/servers/engines.py": "gives up a server that does not start, after minutes",
    "support/servers/keeper.py": "goes on all the same",
    "system/test_kafka_restarts.py": "lets time pass, and bounds it from below only",
    "system/test_postgres_leader_lock.py": "gives up what hangs, after minutes, and bounds waiting from below",
}
"""Who may look at the clock on the wall, and for what."""

WAITING = {
    "unit/adapters/kafka/test_offset_commits.py": "leaves alone what waits",
    "unit/services/runtime/test_slow_clients.py": "in a time that passes at once",
}
"""Who may stop waiting soon, and why no slow machine fails by it."""


def found_in(pattern: re.Pattern[str]) -> dict[str, list[str]]:
    """By file what matches."""
    here = Path(__file__)
    files = [file for file in TESTS.rglob("*.py") if file != here]
    names = {file: file.relative_to(TESTS).as_posix() for file in files}
    every = {
        name: pattern.finditer(file.read_text("utf-8")) for file, name in names.items() if not name.startswith(BEYOND)
    }
    return {name: [match.group() for match in matches if _is_short(match)] for name, matches in every.items()}


def _is_short(match: re.Match[str]) -> bool:
    numbers = [number for number in match.groups() if number]
    return not numbers or float(numbers[0]) < LEAST


def test_no_test_looks_at_the_clock_on_the_wall() -> None:
    found = {name for name, matches in found_in(CLOCKS).items() if matches}
    assert found == EXCUSED.keys()


def test_nothing_is_given_up_so_soon_that_a_slow_machine_fails() -> None:
    found = {name: matches for name, matches in found_in(SHORT).items() if matches}
    assert found.keys() == WAITING.keys()


def test_what_is_looked_for_is_found() -> None:
    for line in ("asyncio.timeout(10)", "client(timeout=5.0)", "wait({running}, timeout=30)", "future.result(15)"):
        assert any(map(_is_short, SHORT.finditer(line))), line
    for line in ("asyncio.timeout(HANGS)", "timeout=600.0", "timeout=120_000"):
        assert not any(map(_is_short, SHORT.finditer(line))), line
    for line in ("began = monotonic()", "time.time() - began < 3", "get_running_loop().time() - at < 1"):
        assert CLOCKS.search(line), line
