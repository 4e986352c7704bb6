"""The problems that are open now: drivers who are set aside, targets that are not called, rosters that cannot be read.

Nothing is stored for them but what the decider knows anyway, so a problem that is over is gone from here by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from domain.driver_link import UNSETTLED
from domain.failures import Reason
from domain.identity import AccountId, PortalDriverId, Target
from domain.storing import Row, Store
from services.asking.answers import Answer
from services.decider.loading import load_links
from services.decider.read_models import LinkRow, OutageRow, WalkFailureRow, parked_for

REASONS: tuple[str, ...] = ("unkeyed", "contested", "mode", UNSETTLED, *map(str, Reason))
"""Why a link can be parked, in our own words and in those of targets; a target's are an account's problems too."""

_OF_AN_ACCOUNT: tuple[type[Row], ...] = (OutageRow, WalkFailureRow)


class Problem(StrEnum):
    """What is wrong: nothing is sent to a target, its roster cannot be read, or one driver is set aside."""

    BREAKER = "breaker"
    ROSTER = "roster"
    PARKED = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(Answer):
    """A problem that is open now. `driver` is empty where it concerns all of an account's drivers on the target."""

    account: str
    target: str
    problem: Problem
    driver: str
    reason: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an issue stands in their order: an account's own come before those of its drivers."""

    account: str
    target: str
    driver: str

    @classmethod
    def of(cls, issue: Issue) -> Self:
        """The place of this issue."""
        return cls(issue.account, issue.target, issue.driver)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which issues are asked for; what is None is not asked about."""

    account: str | None = None
    target: Target | None = None
    reason: str | None = None

    @property
    def where(self) -> dict[str, str]:
        """Where those of them are that concern an account on a target."""
        places = {"account": self.account, "target": self.target and str(self.target)}
        return {column: value for column, value in places.items() if value is not None}

    @property
    def parked(self) -> dict[str, str]:
        """Which links those of them concern that are about one driver."""
        reason = {} if self.reason is None else {"reason": self.reason}
        return {**self.where, "state": "parked", **reason}


def open_issues(decider: Store, wanted: Wanted, behind: Place | None, limit: int) -> list[Issue]:
    """The next of these issues, at most so many: by account, target and driver. Raises `StoreFailed`."""
    found: list[Issue] = []
    for account, target in _places(decider, wanted):
        first = Place(account, target, "")
        start = max(first, behind or first)
        if (start.account, start.target) != (account, target):
            continue
        if start != behind:
            found += _of_account(decider, first, wanted)
        found += _of_drivers(decider, start, wanted, limit - len(found))
        if len(found) == limit:
            break
    return found


def _places(decider: Store, wanted: Wanted) -> list[tuple[str, str]]:
    """The accounts on targets where something may be wrong."""
    counts = [decider.count(LinkRow, wanted.parked, by=["account", "target"])]
    counts += [decider.count(row, wanted.where, by=["account", "target"]) for row in _OF_AN_ACCOUNT]
    return sorted({(str(account), str(target)) for each in counts for account, target in each})


def _of_account(decider: Store, place: Place, wanted: Wanted) -> Iterator[Issue]:
    """What concerns the whole account; while the breaker is open, it is why the roster is not read, too."""
    where = {"account": place.account, "target": place.target}
    outages = map(_to_outage, decider.select(OutageRow, where))
    failures = map(_to_failure, decider.select(WalkFailureRow, where))
    issue = next(outages, None) or next(failures, None)
    if issue and wanted.reason in (None, issue.reason):
        yield issue


def _to_outage(row: OutageRow) -> Issue:
    return Issue(
        account=row.account,
        target=row.target,
        problem=Problem.BREAKER,
        driver="",
        reason=row.reason,
        since=datetime.fromisoformat(row.at),
        detail=row.detail,
    )


def _to_failure(row: WalkFailureRow) -> Issue:
    reason, _, detail = row.failure.partition(": ")
    return Issue(
        account=row.account,
        target=row.target,
        problem=Problem.ROSTER,
        driver="",
        reason=reason,
        since=datetime.fromisoformat(row.at),
        detail=detail,
    )


def _of_drivers(decider: Store, behind: Place, wanted: Wanted, limit: int) -> Iterator[Issue]:
    """The next drivers who are set aside; since when, only their histories say."""
    where = {**wanted.parked, "account": behind.account, "target": behind.target}
    rows = decider.select(LinkRow, where, order_by="driver", after=behind.driver, limit=limit) if limit > 0 else []
    account, target = AccountId(behind.account), Target(behind.target)
    drivers = [PortalDriverId(row.driver) for row in rows]
    links = load_links(decider, ((account, target, driver) for driver in drivers)).get((account, target), {})
    for driver in drivers:
        link = links[driver]
        if link.parked:
            yield Issue(
                account=account,
                target=str(target),
                problem=Problem.PARKED,
                driver=driver,
                reason=parked_for(link),
                since=link.parked.at,
                detail=link.parked.detail,
            )


def count_parked(decider: Store, wanted: Wanted, driver: str) -> Mapping[Target, int]:
    """How many of these links are parked on each target, of this driver or of anybody. Raises `StoreFailed`."""
    where = {**wanted.parked, "driver": driver} if driver else wanted.parked
    counts = decider.count(LinkRow, where, by=["target"])
    return {Target(str(target)): links for (target,), links in sorted(counts.items())}
