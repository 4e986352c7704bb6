"""The servers as fixtures of pytest; nothing is started before a test asks for it."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NoReturn, TypeVar

import pytest

from tests.support.servers import finding
from tests.support.servers.engines import Unavailable
from tests.support.servers.kafka import Kafka, OwnKafka
from tests.support.servers.postgres import OwnPostgres, Postgres

_NOT_TESTED = "NOT TESTED"

Server = TypeVar("Server")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A Kafka that all tests share."""
    with needed(finding.shared_kafka()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that all tests share, each with databases of its own."""
    with needed(finding.shared_postgres()) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty database that one test has to itself."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture
def own_kafka() -> Iterator[OwnKafka]:
    """A Kafka that one test may stop, kill and start."""
    with needed(finding.own_kafka()) as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL that one test may stop, kill and start."""
    with needed(finding.own_postgres()) as server:
        yield server


@contextmanager
def needed(server: AbstractContextManager[Server]) -> Iterator[Server]:
    """The server; where there is none the test is skipped, and where CI is set it fails.

    For fixtures of another scope: `with needed(own_kafka()) as kafka: ...`.
    """
    with ExitStack() as stack:
        try:
            found = stack.enter_context(server)
        except Unavailable as reason:
            _do_without(f"{_NOT_TESTED}: {reason}")
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of a run why tests were left out: `-q` alone would not."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reason for reason in reasons if _NOT_TESTED in reason):
        terminalreporter.write_line(reason, red=True)


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
