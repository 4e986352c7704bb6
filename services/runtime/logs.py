"""The names of the logs by which services speak to each other; each is a topic where Kafka carries it."""

from domain.identity import Target

ACCOUNTS = "accounts.v1"
CHANGES = "portal.driver-changes.v1"
DECISIONS = "driver-links.decisions.v1"


def reports_of(target: Target) -> str:
    """The log of a target's projector."""
    return f"targets.reports.v1.{target}"


REPORTS = tuple(map(reports_of, Target))

LOGS = (ACCOUNTS, CHANGES, DECISIONS, *REPORTS)


def log_of(stream: str) -> str:
    """The log that a stream (epoch/log/partition) is of."""
    return stream.split("/")[1]
