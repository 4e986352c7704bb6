"""Kafka's class path, fetched from Maven Central."""

import hashlib
from pathlib import Path

from tests.support.servers.cache import cached
from tests.support.servers.process import Program, run

_POM = Path(__file__).with_name("pom.xml")
_SECONDS = 600.0


def kafka_jars() -> list[Path]:
    """The jars that the pom asks for, always in the same order. Raises Unavailable."""
    jars = cached(f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:16]}", _fetch)
    return sorted(jars.glob("*.jar"))


def _fetch(jars: Path) -> None:
    goal = ["-DincludeScope=runtime", f"-DoutputDirectory={jars}", "dependency:copy-dependencies"]
    run(Program(command=["mvn", "--batch-mode", "-q", "-f", str(_POM), *goal]), jars.parent, seconds=_SECONDS)
