"""`/v1/issues`: the problems that are open now, and the retries that people request because of them.

A problem is a driver who is parked, or what concerns a whole account at a target or the Portal.
Issues are read from what the decider stores anyway, so a problem that is over is not listed any more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from fastapi import Query

from domain.driver_link import UNSETTLED
from domain.failures import Reason
from domain.identity import PORTAL, AccountId, Connectable, PortalDriverId, Target
from domain.store import FILLED, Row, Store, Where
from services.accounts.handlers import account_of
from services.api.driver_search import names_of
from services.api.explanation_text import field_name, named
from services.api.naming import NamedConnectable, driver_named
from services.api.readiness import readiness_of
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import ByPerson, Malformed, Moment, Named, ResponseBody
from services.decider.batch import load_links
from services.decider.read_models import (
    LinkRow,
    OutageRow,
    ReconciliationRow,
    ScanFailureRow,
    UnreadableRow,
    parked_for,
)
from services.intake.handlers import HELD
from services.intake.read_models import ReadingRow, ReKeyingRow

_AT_ODDS, _NOT_BELIEVED, _REKEYING, _UNREADABLE = "at_odds", "not_believed", "rekeying", "unreadable"

REASONS: tuple[str, ...] = (
    "unkeyed",
    "conflict",
    "mode",
    UNSETTLED,
    _AT_ODDS,
    _NOT_BELIEVED,
    _REKEYING,
    _UNREADABLE,
    *map(str, Reason),
)
"""Why there are issues, in our own words and in those of targets and the Portal."""

_OF_AN_ACCOUNT: tuple[type[Row], ...] = (OutageRow, ScanFailureRow, UnreadableRow, ReconciliationRow)


class IssueKind(StrEnum):
    """What is wrong.

    No calls are made to a target; its roster, a record of it or the Portal's list cannot be read; another writer keeps
    writing there; or one driver is set aside.
    """

    BREAKER = "breaker"
    ROSTER = "roster"
    RECORD = "record"
    PORTAL = "portal"
    AT_ODDS = "at odds"
    PARKED = "parked"


class Issue(ResponseBody):
    """A problem that is open now. `driver` is empty where it concerns the account; `target` may be the Portal.

    `name` is the driver's, as the Portal states it, for the account's people.

    A record that cannot be read has a `place` in the target's answers, and the target's own id as its `key`, if that
    can be read.
    """

    account: str
    target: str
    problem: IssueKind
    driver: str
    reason: str
    since: Moment
    detail: str
    name: str = ""
    key: str = ""
    place: str = ""


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
class IssueFilter:
    """Which issues are wanted; None: any."""

    account: str | None = None
    target: Connectable | None = None
    reason: str | None = None

    @property
    def where(self) -> dict[str, str]:
        """Where those of them are that concern an account on a target."""
        places = {"account": self.account, "target": self.target and str(self.target)}
        return {column: value for column, value in places.items() if value is not None}

    @property
    def parked(self) -> Where:
        """Which links those of them concern that are about one driver."""
        return {**self.where, "reason": FILLED if self.reason is None else self.reason}


def open_issues(decider: Store, intake: Store, wanted: IssueFilter, behind: Place | None, limit: int) -> list[Issue]:
    """The next of these issues: by account, target and driver. Raises `StoreFailed`.

    At most `limit`, except that those of an account on one target that name no driver come together.
    """
    found: list[Issue] = []
    for account, target in _places(decider, intake, wanted):
        first = Place(account, target, "")
        start = max(first, behind or first)
        if (start.account, start.target) != (account, target):
            continue
        if start != behind:
            of_account = _of_portal(intake, first) if target == PORTAL else _of_target(decider, first)
            found += (issue for issue in of_account if wanted.reason in (None, issue.reason))
        found += _of_drivers(decider, start, wanted, limit - len(found))
        if len(found) >= limit:
            break
    return found


def _places(decider: Store, intake: Store, wanted: IssueFilter) -> list[tuple[str, str]]:
    """The accounts on targets, and at the Portal, where something may be wrong."""
    counts = [decider.count(LinkRow, wanted.parked, by=["account", "target"])]
    counts += [decider.count(row, wanted.where, by=["account", "target"]) for row in _OF_AN_ACCOUNT]
    places = {(str(account), str(target)) for each in counts for account, target in each}
    if wanted.target in (None, PORTAL):
        where = {} if wanted.account is None else {"account": wanted.account}
        failures = intake.count(ReadingRow, where, by=["account", "failure"])
        held = intake.count(ReKeyingRow, {**where, "state": HELD}, by=["account"])
        at_portal = {account for account, failure in failures if failure} | {account for (account,) in held}
        places |= {(str(account), PORTAL) for account in at_portal}
    return sorted(places)


def _of_portal(intake: Store, place: Place) -> Iterator[Issue]:
    for row in intake.select(ReadingRow, {"account": place.account}):
        if row.failure:
            reason, _, detail = row.failure.partition(": ")
            if reason not in list(Reason):
                reason, detail = _NOT_BELIEVED, row.failure
            yield _of_place(place, IssueKind.PORTAL, reason, row.failing_since, detail)
    where: Where = {"account": place.account, "state": HELD}
    if drivers := intake.count(ReKeyingRow, where)[()]:
        (first,) = intake.least(ReKeyingRow, "at", where, by=["account"]).values()
        detail = (
            f"it would give other identifiers to {drivers} drivers, who stay as they are until a person decides: "
            f"`driverlink rekeyings list {place.account}`"
        )
        yield _of_place(place, IssueKind.PORTAL, _REKEYING, str(first), detail)


def _of_target(decider: Store, place: Place) -> Iterator[Issue]:
    where = {"account": place.account, "target": place.target}
    outages = decider.select(OutageRow, where)
    for outage in outages:
        yield _of_place(place, IssueKind.BREAKER, outage.reason, outage.at, outage.detail)
    # While the breaker is open, that is why the roster is not read.
    for scan in decider.select(ScanFailureRow, where) if not outages else ():
        reason, _, detail = scan.failure.partition(": ")
        yield _of_place(place, IssueKind.ROSTER, reason, scan.at, detail)
    for row in decider.select(UnreadableRow, where):
        yield from _of_unreadable(row, place)
    for reconciled in decider.select(ReconciliationRow, where):
        if reconciled.at_odds:
            fields = (f"{field_name(field)} of {drivers}" for field, drivers in sorted(reconciled.at_odds.items()))
            yield _of_place(place, IssueKind.AT_ODDS, _AT_ODDS, reconciled.at, ", ".join(fields))


def _of_unreadable(row: UnreadableRow, place: Place) -> Iterator[Issue]:
    """One issue for each record that was reported, and one for all others."""
    name = named(row.target)
    for record in row.records:
        whose = f"the record of {record['key']}" if record["key"] else "a record without an id that can be read"
        follows = (
            "these fields count as not shown"
            if record["driver"] == "shown"
            else "the driver counts neither as seen nor as gone"
        )
        detail = (
            f"{whose} ({record['place']}) has an unknown form in {record['fields'] or 'all of it'}: {follows}; "
            f"enter it again in {name} or ask {name}'s support; the next scan that can read it ends this"
        )
        issue = _of_place(place, IssueKind.RECORD, _UNREADABLE, row.at, detail)
        yield issue.model_copy(update={"key": record["key"], "place": record["place"]})
    others = row.total - len(row.records)
    if others > 0:
        detail = f"{others} more records of the roster cannot be read: ask {name}'s support what the list shows"
        yield _of_place(place, IssueKind.RECORD, _UNREADABLE, row.at, detail)


def _of_place(place: Place, problem: IssueKind, reason: str, since: str, detail: str) -> Issue:
    """An issue of the whole account there."""
    return Issue(
        account=place.account,
        target=place.target,
        problem=problem,
        driver="",
        reason=reason,
        since=datetime.fromisoformat(since),
        detail=detail,
    )


def _of_drivers(decider: Store, behind: Place, wanted: IssueFilter, limit: int) -> Iterator[Issue]:
    """The next drivers who are set aside; only their histories say since when."""
    if behind.target == PORTAL:
        return
    where = {**wanted.parked, "account": behind.account, "target": behind.target}
    rows = decider.select(LinkRow, where, order_by="driver", after=behind.driver, limit=limit) if limit > 0 else []
    account, target = AccountId(behind.account), Target(behind.target)
    drivers = [PortalDriverId(row.driver) for row in rows]
    links = load_links(decider, ((account, target, driver) for driver in drivers)).get((account, target), {})
    names = names_of(decider, account, drivers)
    for driver in drivers:
        link = links[driver]
        if link.parked:
            yield Issue(
                account=account,
                target=str(target),
                problem=IssueKind.PARKED,
                driver=driver,
                reason=parked_for(link),
                since=link.parked.at,
                detail=link.parked.detail,
                name=names.get(driver, ""),
            )


def count_parked(decider: Store, wanted: IssueFilter, driver: str) -> Mapping[Target, int]:
    """How many of these links are parked on each target, of this driver or of all. Raises `StoreFailed`."""
    where = {**wanted.parked, "driver": driver} if driver else wanted.parked
    counts = decider.count(LinkRow, where, by=["target"])
    return {Target(str(target)): links for (target,), links in sorted(counts.items())}


_PAGE = 500
"""Issues in one response, so that a long list does not block other requests."""


class NothingToRetry(Exception):
    """Nothing can be retried; the message says why, and what would help."""


router = new_router("issues")


class RequestRetry(ByPerson):
    """Parked links to retry: of this target, driver and reason; None: of any."""

    target: Target | None = None
    driver: Named | None = None
    reason: Named | None = None


class IssuePage(ResponseBody):
    """Some of the issues; `next` is the `after` of the next page, None at the end."""

    issues: list[Issue]
    next: dict[str, list[str]] | None


class RequestedRetry(ResponseBody):
    """How many links are retried, in all and by target; `left_out` says why nothing is decided on the others."""

    account: str
    links: int
    targets: dict[str, int]
    left_out: dict[str, str]


@router.get("/issues")
async def list_issues(
    installation: Installed,
    account: str | None = None,
    target: NamedConnectable | None = None,
    reason: str | None = None,
    after: Annotated[list[str] | None, Query(description="An account, a target and a driver.")] = None,
) -> IssuePage:
    """List the open issues of an account, or of all, in pages."""
    readers = installation.readers
    if account is not None:
        account = (await readers.call(account_of, readers.accounts, account)).account
    if after and len(after) != len(Place.__slots__):
        raise Malformed("after names an account, a target and a driver")
    wanted = IssueFilter(account=account, target=target, reason=_known_reason(reason))
    behind = Place(*after) if after else None
    found = await readers.call(open_issues, readers.decider, readers.intake, wanted, behind, _PAGE)
    last = found[-1] if len(found) >= _PAGE else None
    return IssuePage(issues=found, next={"after": [last.account, last.target, last.driver]} if last else None)


@router.post("/accounts/{account}/retry")
async def retry_parked(
    body: RequestRetry, known: KnownAccount, caller: Called, installation: Installed
) -> RequestedRetry:
    """Decide again on links that are parked."""
    readers, name = installation.readers, known.account
    wanted = IssueFilter(account=name, target=body.target, reason=_known_reason(body.reason))
    asker = caller.asks(body.by, body.note)
    if asker.role is None:
        known.role_of(asker.by)
    driver = await driver_named(readers, name, body.driver) if body.driver else ""
    counts = await readers.call(count_parked, readers.decider, wanted, driver)
    if not counts:
        raise NothingToRetry(f"nothing of {name} is set aside like that; see `driverlink issues list {name}`")
    readiness = await readers.call(readiness_of, readers.decider, name)
    hindrances = {target: hindrance for target in counts if (hindrance := readiness[target].hindrance())}
    if len(hindrances) == len(counts):
        raise NothingToRetry(str(next(iter(hindrances.values()))))
    await installation.accounts_service.call_again(
        installation.accounts.ask,
        name,
        asker,
        lambda person, account: person.retry(account, target=body.target, driver=driver, reason=body.reason or ""),
    )
    installation.accounts_service.notify()
    retried = {str(target): links for target, links in counts.items() if target not in hindrances}
    left_out = {str(target): hindrance.sentence for target, hindrance in hindrances.items()}
    return RequestedRetry(account=name, links=sum(retried.values()), targets=retried, left_out=left_out)


def _known_reason(reason: str | None) -> str | None:
    if reason is not None and reason not in REASONS:
        raise Malformed(f"there is no reason {reason!r}; there are: {', '.join(REASONS)}")
    return reason
