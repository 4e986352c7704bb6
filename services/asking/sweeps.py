"""What sweeps have found, from their own histories; and of the last one the drivers whom it did not find in step."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self, assert_never

from domain.account import SweepRequested
from domain.driver_link import DriftFound, DriverLink, Explained
from domain.identity import AccountId, PortalDriverId, Target, account_stream, sweep_stream
from domain.storing import Store, Where
from domain.sweep import Finding, SweepCompleted, SweepRefused, finding_of, found_by
from services.asking.answers import Answer
from services.decider.loading import load_links
from services.decider.read_models import LinkRow, SweepRow, parked_for

_NOT_IN_STEP = ("pending", "parked", "held", "kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport(Answer):
    """What one sweep has found; the counts are those of `SweepCompleted`.

    `by` is who requested it, empty if nobody did. One that `is_refused` was to go by `plan` and would have been
    `would_be`, so it found nothing and did nothing.
    """

    account: str
    target: str
    number: int
    at: datetime
    request: int
    by: str
    is_refused: bool = False
    plan: str = ""
    would_be: str = ""
    drivers: int = 0
    found: Mapping[str, int] = field(default_factory=dict)
    drifted: Mapping[str, int] = field(default_factory=dict)
    at_odds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDriver(Answer):
    """A portal driver as a sweep found it on a target, with the fields that had drifted.

    `at_odds` are those of them that had in the sweep before too; `reason` says why it is parked, if it is.
    """

    target: str
    driver: str
    key: str
    finding: str
    drifted: Sequence[str]
    at_odds: Sequence[str]
    reason: str

    @classmethod
    def of(cls, link: DriverLink, finding: Finding, drift: DriftFound | None = None) -> Self:
        """The driver of this link, found so, and with this drift."""
        return cls(
            target=str(link.target),
            driver=link.driver,
            key=link.key or "",
            finding=str(finding),
            drifted=drift.fields if drift else (),
            at_odds=drift.at_odds if drift else (),
            reason=parked_for(link),
        )


def past_sweeps(
    decider: Store, accounts: Store, account: AccountId, targets: Collection[Target], last: int
) -> list[SweepReport]:
    """The last sweeps on each of these targets, at most so many, the newest first. Raises `StoreFailed`."""
    facts = _facts(decider, account, targets)
    newest = [fact for history in facts for fact in history[-last:]]
    people = _people(accounts, account, {fact.request for fact in newest})
    reports = [_to_report(fact, people.get(fact.request, "")) for fact in newest]
    return sorted(reports, key=lambda report: (report.at, report.number, report.target), reverse=True)


def sweep_for(decider: Store, accounts: Store, account: AccountId, target: Target, request: int) -> SweepReport | None:
    """The first sweep that was for this request, or for a later one; None if there is none. Raises `StoreFailed`."""
    (history,) = _facts(decider, account, [target])
    fact = next((fact for fact in history if fact.request >= request), None)
    return _to_report(fact, _people(accounts, account, {fact.request}).get(fact.request, "")) if fact else None


def found_drivers(decider: Store, account: AccountId, target: Target, *, behind: str, limit: int) -> list[FoundDriver]:
    """The next drivers, at most so many, for whom the last sweep decided something, or who are not in step now.

    Raises `StoreFailed`.
    """
    place: Where = {"account": account, "target": str(target)}
    sweep = next((row.version for row in decider.select(SweepRow, place)), 0)
    if not sweep:
        return []
    groups: list[Where] = [{**place, "state": _NOT_IN_STEP}, {**place, "sweep": sweep}]
    selected = [decider.select(LinkRow, each, order_by="driver", after=behind, limit=limit) for each in groups]
    rows = {row.driver: row for group in selected for row in group}
    return _found(decider, [rows[driver] for driver in sorted(rows)[:limit]], sweep)


def looked_up(decider: Store, account: AccountId, target: Target, driver: PortalDriverId, request: int) -> FoundDriver:
    """How this driver was found when it was looked up after this request. Raises `StoreFailed`."""
    link = load_links(decider, [(account, target, driver)])[account, target][driver]
    facts = _decided_for(decider, link, request)
    drift = next((fact for fact in facts if isinstance(fact, DriftFound)), None)
    return FoundDriver.of(link, found_by(facts[0]) if facts else _standing(link), drift)


def _decided_for(decider: Store, link: DriverLink, request: int) -> list[Explained]:
    """What was decided for a link because somebody had it looked up."""
    history = decider.histories([link.id]).get(link.id, ())
    facts = [fact for fact in history if isinstance(fact, Explained)]
    return [fact for fact in facts if (fact.because.get("cause"), fact.because.get("ref")) == ("sweep", str(request))]


def _found(decider: Store, rows: Sequence[LinkRow], sweep: int) -> list[FoundDriver]:
    """The drivers of these links: as the sweep found them or, where it decided nothing, as they stand."""
    links = load_links(decider, (_place(row) for row in rows))
    in_order = [links[account, target][driver] for account, target, driver in map(_place, rows)]
    return [_found_by(row, link, sweep) for row, link in zip(rows, in_order, strict=True)]


def _place(row: LinkRow) -> tuple[AccountId, Target, PortalDriverId]:
    return AccountId(row.account), Target(row.target), PortalDriverId(row.driver)


def _found_by(row: LinkRow, link: DriverLink, sweep: int) -> FoundDriver:
    if row.sweep != sweep:
        return FoundDriver.of(link, _standing(link))
    return FoundDriver.of(link, Finding(row.finding), link.drift if row.drifted else None)


def _standing(link: DriverLink) -> Finding:
    return finding_of(link, is_wanted=True) or Finding.ENDED


def _facts(
    decider: Store, account: AccountId, targets: Collection[Target]
) -> list[list[SweepCompleted | SweepRefused]]:
    """Every sweep on each of these targets, in order."""
    ids = [sweep_stream(account, target) for target in targets]
    histories = decider.histories(ids)
    return [
        [fact for fact in histories.get(each, ()) if isinstance(fact, SweepCompleted | SweepRefused)] for each in ids
    ]


def _people(accounts: Store, account: AccountId, requests: set[int]) -> dict[int, str]:
    """Who made these requests."""
    if requests <= {0}:
        return {}
    history = account_stream(account)
    facts = accounts.histories([history]).get(history, ())
    return {fact.originator_version: fact.by for fact in facts if isinstance(fact, SweepRequested)}


def _to_report(fact: SweepCompleted | SweepRefused, by: str) -> SweepReport:
    report = SweepReport(
        account=fact.account,
        target=fact.target,
        number=fact.originator_version,
        at=fact.at,
        request=fact.request,
        by=by,
    )
    match fact:
        case SweepCompleted():
            return replace(report, drivers=fact.drivers, found=fact.found, drifted=fact.drifted, at_odds=fact.at_odds)
        case SweepRefused():
            return replace(report, is_refused=True, plan=fact.plan, would_be=fact.would_be)
        case _:
            assert_never(fact)
