"""`/v1/issues`: the problems that are open now, and the retries that people request because of them.

A problem is a driver who is parked, or what concerns a whole account at a target or the Portal.
Issues are read from what the decider stores anyway, so a problem that is over is not listed any more.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from enum import StrEnum
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Self

from fastapi import Query

from domain.driver_link import UNDONE, UNSETTLED, DriverLink
from domain.failures import Reason
from domain.identity import PORTAL, AccountId, Connectable, PortalDriverId, Target
from domain.store import FILLED, Row, Store, Where, pages
from services.accounts.handlers import account_of
from services.api.explanation_text import field_name, named, shown_name
from services.api.naming import NamedConnectable, driver_named
from services.api.readiness import readiness_of
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import ByPerson, Malformed, Moment, Named, ResponseBody
from services.decider.batch import load_links
from services.decider.read_models import (
    DesiredRow,
    LinkRow,
    OutageRow,
    ReconciliationRow,
    ScanFailureRow,
    UnreadableRow,
)
from services.intake.handlers import HELD
from services.intake.read_models import ReadingRow, ReKeyingRow

_AT_ODDS, _NOT_BELIEVED, _REKEYING, _UNREADABLE = "at_odds", "not_believed", "rekeying", "unreadable"

REASONS: tuple[str, ...] = (
    "unkeyed",
    "conflict",
    "mode",
    UNSETTLED,
    UNDONE,
    _AT_ODDS,
    _NOT_BELIEVED,
    _REKEYING,
    _UNREADABLE,
    *map(str, Reason),
)
"""Why there are issues, in our own words and in those of targets and the Portal."""

_OF_AN_ACCOUNT: Mapping[type[Row], tuple[Collection[str], Where]] = {
    OutageRow: (tuple(Reason), {}),
    ScanFailureRow: (tuple(Reason), {}),
    UnreadableRow: ([_UNREADABLE], {}),
    ReconciliationRow: ([_AT_ODDS], {"fields_at_odds": FILLED}),
}
"""What concerns an account on a target: for which reasons, and which of the rows say that something is wrong."""

_AT_PORTAL: Mapping[type[ReadingRow | ReKeyingRow], Where] = {
    ReadingRow: {"failing_since": FILLED},
    ReKeyingRow: {"state": HELD},
}
"""What concerns an account at the Portal, and which of the rows say that something is wrong."""

MOST_LOOKED_AT = 5_000
"""Rows that are looked at for one response."""


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
    driver: str = ""

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


def open_issues(
    decider: Store, intake: Store, wanted: IssueFilter, behind: Place | None, limit: int
) -> tuple[list[Issue], Place | None]:
    """The next of these issues, by account, target and driver, and the place behind which more may be; None: no more.

    At most `limit`, except that those of an account on one target that name no driver come together, and fewer where
    `MOST_LOOKED_AT` rows did not have as many. Only rows of what is wrong are looked at. Raises `StoreFailed`.
    """
    found: list[Issue] = []
    looked_at = 0
    troubles = merge(*_troubles(decider, intake, wanted, behind, limit), key=itemgetter(0))
    for place, of_place in groupby(troubles, itemgetter(0)):
        rows = [row for _, row in of_place]
        looked_at += len(rows)
        is_stopped = any(isinstance(row, OutageRow) for row in rows)
        for row in rows:
            # While the breaker is open, that is why the roster is not read.
            if not (is_stopped and isinstance(row, ScanFailureRow)):
                found += (each for each in _issues_of(row, place, intake) if wanted.reason in (None, each.reason))
        if len(found) >= limit or looked_at >= MOST_LOOKED_AT:
            return _named(decider, found), place
    return _named(decider, found), None


def _troubles(
    decider: Store, intake: Store, wanted: IssueFilter, behind: Place | None, limit: int
) -> Iterator[Iterator[tuple[Place, Row]]]:
    """By kind the rows of what is wrong behind this place, in the order of places; only so far as they are asked for.

    Those that concern an account come before those of its drivers.
    """
    if wanted.target != PORTAL:
        for kind, (reasons, marked) in _OF_AN_ACCOUNT.items():
            if wanted.reason is None or wanted.reason in reasons:
                yield _in_order(decider, kind, {**wanted.where, **marked}, behind, limit)
        yield _in_order(decider, LinkRow, wanted.parked, behind, limit)
    if wanted.target in (None, PORTAL):
        of_accounts: Where = {} if wanted.account is None else {"account": wanted.account}
        for kind, marked in _AT_PORTAL.items():
            yield _at_portal(intake, kind, {**of_accounts, **marked}, behind)


def _in_order(
    store: Store, kind: type[Row], where: Where, behind: Place | None, limit: int
) -> Iterator[tuple[Place, Row]]:
    after = astuple(behind)[: len(kind.KEY)] if behind else None
    for page in pages(store, kind, where, kind.KEY, after=after, limit=limit):
        for row in page:
            yield Place(*(getattr(row, column) for column in kind.KEY)), row


def _at_portal(
    intake: Store, kind: type[ReadingRow | ReKeyingRow], where: Where, behind: Place | None
) -> Iterator[tuple[Place, Row]]:
    """The first row of each account: what is wrong with an account at the Portal is one thing, however many rows."""
    after = behind.account if behind else ""
    if behind and behind.target < PORTAL:
        for row in intake.select(kind, {**where, "account": behind.account}, order_by=kind.KEY[-1], limit=1):
            yield Place(row.account, PORTAL), row
    while rows := intake.select(kind, where, order_by="account", after=after, limit=1):
        after = rows[0].account
        yield Place(after, PORTAL), rows[0]


def _issues_of(row: Row, place: Place, intake: Store) -> Iterator[Issue]:
    """What is wrong by this row."""
    match row:
        case LinkRow():
            issue = _of_place(place, IssueKind.PARKED, row.reason, row.since, row.detail)
            yield issue.model_copy(update={"driver": row.driver})
        case OutageRow():
            yield _of_place(place, IssueKind.BREAKER, row.reason, row.at, row.detail)
        case ScanFailureRow():
            reason, _, detail = row.failure.partition(": ")
            yield _of_place(place, IssueKind.ROSTER, reason, row.at, detail)
        case UnreadableRow():
            yield from _of_unreadable(row, place)
        case ReconciliationRow():
            fields = (f"{field_name(field)} of {drivers}" for field, drivers in sorted(row.at_odds.items()))
            yield _of_place(place, IssueKind.AT_ODDS, _AT_ODDS, row.at, ", ".join(fields))
        case ReadingRow():
            yield _of_reading(row, place)
        case ReKeyingRow():
            yield _of_rekeyings(place, intake)


def _of_reading(row: ReadingRow, place: Place) -> Issue:
    reason, _, detail = row.failure.partition(": ")
    if reason not in list(Reason):
        reason, detail = _NOT_BELIEVED, row.failure
    return _of_place(place, IssueKind.PORTAL, reason, row.failing_since, detail)


def _of_rekeyings(place: Place, intake: Store) -> Issue:
    where: Where = {"account": place.account, "state": HELD}
    drivers = intake.count(ReKeyingRow, where).get((), 0)
    first = next(iter(intake.least(ReKeyingRow, "at", where, by=["account"]).values()))
    detail = (
        f"it would give other identifiers to {drivers} drivers, who stay as they are until a person decides: "
        f"`driverlink rekeyings list {place.account}`"
    )
    return _of_place(place, IssueKind.PORTAL, _REKEYING, str(first), detail)


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


def _named(decider: Store, issues: Sequence[Issue]) -> list[Issue]:
    """These issues with the names of their drivers, for people who may see them."""
    drivers = [(issue.account, issue.driver) for issue in issues if issue.driver]
    rows = decider.among(DesiredRow, DesiredRow.KEY, drivers) if drivers else []
    names = {(row.account, row.driver): shown_name(row.profile, row.erased) for row in rows}
    return [
        issue.model_copy(update={"name": names.get((issue.account, issue.driver), "")}) if issue.driver else issue
        for issue in issues
    ]


def links_of(decider: Store, found: Iterable[Issue]) -> dict[tuple[str, str], DriverLink]:
    """The links that issues of one account are about, by target and driver. Raises `StoreFailed`."""
    places = [(AccountId(each.account), Target(each.target), PortalDriverId(each.driver)) for each in found]
    loaded = load_links(decider, places)
    return {(str(target), driver): loaded[account, target][driver] for account, target, driver in places}


def count_parked(decider: Store, wanted: IssueFilter, driver: str) -> Mapping[Target, int]:
    """How many of these links are retried on each target, of this driver or of all. Raises `StoreFailed`.

    Those that a person undid are, only where the driver or the reason is named.
    """
    where = {**wanted.parked, "driver": driver} if driver else wanted.parked
    is_named = bool(driver) or wanted.reason is not None
    counts = Counter[Target]()
    for (target, reason), links in decider.count(LinkRow, where, by=["target", "reason"]).items():
        if is_named or reason != UNDONE:
            counts[Target(str(target))] += links
    return dict(sorted(counts.items()))


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
    """Some of the issues; `next` is the `after` of the next page, None at the end; a page before it may be empty."""

    issues: list[Issue]
    next: dict[str, list[str]] | None


class IssueGroup(ResponseBody):
    """How many drivers are set aside on a target for a reason."""

    target: str
    reason: str
    drivers: int


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
    found, last = await readers.call(open_issues, readers.decider, readers.intake, wanted, behind, _PAGE)
    return IssuePage(issues=found, next={"after": [*astuple(last)]} if last else None)


@router.get("/issues/groups")
async def list_issue_groups(installation: Installed, account: str | None = None) -> list[IssueGroup]:
    """Count the drivers of an account, or of all, who are set aside: by target and reason, the largest group first."""
    readers = installation.readers
    if account is not None:
        account = (await readers.call(account_of, readers.accounts, account)).account
    where = IssueFilter(account=account).parked
    counts = await readers.call(readers.decider.count, LinkRow, where, by=["target", "reason"])
    groups = (IssueGroup(target=str(key[0]), reason=str(key[1]), drivers=drivers) for key, drivers in counts.items())
    return sorted(groups, key=lambda group: (-group.drivers, group.target, group.reason))


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
