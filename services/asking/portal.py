"""How far intake is with the Portal's API, for accounts that are read by it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.storing import Store, Where
from services.asking.answers import Answer
from services.intake.read_models import ReadingRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalStatus(Answer):
    """When an account's list was read whole last, None if never, and why it cannot be read since then; empty if it can.

    `drivers` are the lines of that list, `refused` those of them that could not be taken over.
    """

    read_at: datetime | None
    drivers: int
    refused: int
    failure: str
    failing_since: datetime | None


def portal_statuses(intake: Store, accounts: Collection[str] | None = None) -> Mapping[str, PortalStatus]:
    """Those of these accounts, or of all, that are read by the Portal's API. Raises `StoreFailed`."""
    if accounts is not None and not accounts:
        return {}
    where: Where = {} if accounts is None else {"account": sorted(accounts)}
    return {row.account: _status(row) for row in intake.select(ReadingRow, where)}


def _status(row: ReadingRow) -> PortalStatus:
    return PortalStatus(
        read_at=_moment(row.at),
        drivers=row.drivers,
        refused=row.refused,
        failure=row.failure,
        failing_since=_moment(row.failing_since),
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
