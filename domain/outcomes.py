"""What a projector reports: outcomes of calls, what a scan of a roster saw, and whether calls reach the target.

`record` puts the outcome of a call on the link.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict, assert_never
from uuid import UUID

from domain.claims import Batch
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Confirmed,
    Decision,
    Deferred,
    DriverLink,
    LinkDecided,
    LinkEvent,
    Parked,
    Refused,
    UpdateDecided,
    in_sequence,
    origin,
)
from domain.identity import Key
from domain.profile import is_own_form, to_change, unreadable
from domain.store import Event


class Outcome(StrEnum):
    """How a call ended."""

    CONFIRMED = "confirmed"
    EXISTS = "exists"
    MISSING = "missing"
    REFUSED = "refused"
    DEFERRED = "deferred"


@dataclass(frozen=True, kw_only=True)
class ReportEvent(Event):
    """A fact about one account on one target, as its projector met it."""

    target: str


class ReportOrigin(TypedDict):
    """The fields that every report starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    target: str


@dataclass(frozen=True, kw_only=True)
class CallAnswered(ReportEvent, topic="Report.CallAnswered"):
    """The answer to the decision of this version of a driver's link.

    `key`, `active` and `profile` are the target driver as it was seen then, if one was; `left` is a key that the call
    took away, or did not find. CONFIRMED without a key, or of an inactive driver: the driver is gone.
    `is_shown` is false where the answer did not show the driver, and `profile` is what the write makes true.
    `exchanges` are the requests that were made, in order: each with its `method`, its `route` (the path with names in
    place of ids), the `status` of the answer (0: there was none), the vendor's own `code` of an error, and how many
    `milliseconds` it took; None where that was not kept.
    """

    driver: str
    decision: int
    outcome: str
    key: str | None
    active: bool
    profile: dict[str, str]
    left: str | None
    reason: str
    detail: str
    is_shown: bool = True
    exchanges: list[dict[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class ObservedDriverSeen(ReportEvent, topic="Report.ObservedDriverSeen"):
    """A scan saw a driver that it did not know, or otherwise."""

    key: str
    active: bool
    profile: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ObservedDriverGone(ReportEvent, topic="Report.ObservedDriverGone"):
    """A scan that read everything did not see a driver that was known."""

    key: str


class HintedDriverSeen(ObservedDriverSeen, topic="Report.HintedDriverSeen"):
    """A driver was read because the target had hinted that it changed, and has: it is decided at once."""


class HintedDriverGone(ObservedDriverGone, topic="Report.HintedDriverGone"):
    """A driver was read because the target had hinted that it changed, and is not there any more."""


@dataclass(frozen=True, kw_only=True)
class ObservedDriverErased(ReportEvent, topic="Report.ObservedDriverErased"):
    """What was seen of a target driver is erased with the portal driver that it was linked to.

    It is shown without a profile from here on, until one of our calls for a driver has shown it. Where it is linked to
    another portal driver already, `driver` is empty, and it is seen again at once.
    """

    key: str
    driver: str


@dataclass(frozen=True, kw_only=True)
class RosterScanned(ReportEvent, topic="Report.RosterScanned"):
    """The whole roster was read, under this policy generation, and after the request of this version of the account.

    `unreadable` counts the records of it that could not be read, or only in part; `unreadable_records` has of the
    first of them the `place` in the target's answers, the target's own `key`, the `fields`, and whether the `driver`
    was `shown` without these or `left out`.
    """

    policy_generation: int
    drivers: int
    request: int
    unreadable: int = 0
    unreadable_records: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RosterScanFailed(ReportEvent, topic="Report.RosterScanFailed"):
    """The roster could not be read whole, so nothing follows from it; the projector tries again."""

    policy_generation: int
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class DriverLookedUp(ReportEvent, topic="Report.DriverLookedUp"):
    """One driver was looked up, after the request of this version of the account; what was seen was reported before.

    `reason` and `detail` say why it could not be done; empty if it was.
    """

    driver: str
    request: int
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class BreakerOpened(ReportEvent, topic="Report.BreakerOpened"):
    """No call is made for the account from here on, because of this reason; its orders wait, and probes go on."""

    reason: str
    detail: str


class BreakerClosed(ReportEvent, topic="Report.BreakerClosed"):
    """A probe was answered: calls are made for the account again."""


MOST_CORRECTIONS = 5
"""After this many outcomes in a row saying that the target is not as it last said, a person has to look."""


def record(link: DriverLink, batch: Batch, report: CallAnswered, at: datetime) -> tuple[LinkEvent, ...]:
    """The facts that an outcome adds to the link; where the target refused for good, the link is parked, too.

    A driver that another link got in the meantime cannot be linked a second time: for this link it exists already.
    """
    if report.key and batch.is_linked_elsewhere(link.driver, Key(report.key)):
        return _corrected(link, replace(report, outcome=str(Outcome.EXISTS)), at)
    outcome = Outcome(report.outcome)
    match outcome:
        case Outcome.CONFIRMED:
            return (_confirmed(link, report, at),)
        case Outcome.DEFERRED:
            deferred = Deferred(
                **origin(link, at), decision=report.decision, reason=report.reason, detail=report.detail
            )
            return (deferred,)
        case Outcome.REFUSED:
            return _refused(link, report, at, REFUSED, report.detail)
        case Outcome.EXISTS | Outcome.MISSING:
            return _corrected(link, report, at)
    assert_never(outcome)


def _confirmed(link: DriverLink, report: CallAnswered, at: datetime) -> Confirmed:
    decided = link.unanswered_at(report.decision)
    stated = decided.profile if decided else report.profile
    is_there = report.key is not None and report.active
    unlike, unseen = _shown_otherwise(link, report, decided) if is_there else ([], [])
    return Confirmed(
        **origin(link, at),
        decision=report.decision,
        key=report.key if is_there else None,
        profile=dict(stated),
        unlike=unlike,
        unseen=unseen,
    )


def _shown_otherwise(link: DriverLink, report: CallAnswered, decided: Decision | None) -> tuple[list[str], list[str]]:
    """The fields that the target shows in its own way, and those that it has not shown since we wrote them."""
    stated, written = decided.profile if decided else report.profile, set[str]()
    if decided:
        # All fields of a decision are written, unless the driver is only linked or updated.
        written = {*(decided.fields if isinstance(decided, LinkDecided | UpdateDecided) else decided.profile)}
    if not report.is_shown:
        kept = [name for name in link.unlike if stated.get(name) == (link.confirmed or {}).get(name)]
        unseen = {*link.unlike, *link.unseen, *written} & stated.keys() - set(kept) - set(
            unreadable(link.target, stated)
        )
        return kept, sorted(unseen)
    differing = to_change(link.target, stated, report.profile)
    own_forms = {name for name in link.unseen if is_own_form(stated.get(name, ""), report.profile.get(name, ""))}
    return [name for name in differing if name in {*link.unlike, *own_forms, *written}], []


def _corrected(link: DriverLink, report: CallAnswered, at: datetime) -> tuple[LinkEvent, ...]:
    if link.corrections + 1 >= MOST_CORRECTIONS:
        detail = f"{link.target} said {MOST_CORRECTIONS} times in a row that it is not as it had said before"
        return _refused(link, report, at, UNSETTLED, detail)
    return (_refusal(link, report, at),)


def _refused(link: DriverLink, report: CallAnswered, at: datetime, reason: str, detail: str) -> tuple[LinkEvent, ...]:
    """Park the link only if the refused decision is still in force; otherwise a later one has superseded it."""
    refusal, in_force = _refusal(link, report, at), link.pending_at(report.decision)
    if in_force is None:
        return (refusal,)
    parked = Parked(
        **origin(link, at),
        sequence=in_force.sequence,
        reason=reason,
        detail=detail,
        waits_for="",
        holder="",
        rationale={"trigger": "answer", "ref": f"decision {report.decision}"},
    )
    return in_sequence(link, [refusal, parked])


def _refusal(link: DriverLink, report: CallAnswered, at: datetime) -> Refused:
    reason = report.outcome if report.outcome in (Outcome.EXISTS, Outcome.MISSING) else report.reason
    return Refused(**origin(link, at), decision=report.decision, reason=reason, detail=report.detail)
