"""What a projector knows after each of its reports; live and rebuilt rows are made here."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from json import JSONEncoder
from typing import TypeVar, assert_never

from domain.driver_link import Confirmed, Decision, DeleteHeld, LinkEvent, Parked
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    DriverLookedUp,
    ObservedDriverGone,
    ObservedDriverSeen,
    Outcome,
    RosterScanFailed,
    RosterScanned,
)
from domain.profile import Profile
from services.projector.read_models import AnswerCount, BreakerRow, NewestDecision, RosterRow, ScanRow, to_delivery

_to_json = JSONEncoder(sort_keys=True, check_circular=False).encode

R = TypeVar("R", bound=RosterRow)

DriverReport = CallAnswered | ObservedDriverSeen | ObservedDriverGone
"""A report about a target driver."""


def newest_after(event: LinkEvent) -> NewestDecision | None:
    """The newest decision of a link after this event; None: the same as before.

    A link that is parked, held, or ended without a call has nothing to deliver.
    """
    if isinstance(event, Decision):
        return NewestDecision(
            account=event.account, driver=event.driver, is_open=True, body=to_delivery(event).to_json()
        )
    has_ended = isinstance(event, Confirmed) and not event.decision
    if has_ended or isinstance(event, Parked | DeleteHeld):
        return NewestDecision(account=event.account, driver=event.driver, is_open=False, body={})
    return None


def unanswered(account: str, driver: str) -> AnswerCount:
    """A link about which nothing was reported yet."""
    return AnswerCount(account=account, driver=driver, version=0, answers=0)


def count_after(known: AnswerCount, report: CallAnswered) -> AnswerCount:
    """A link's count of answers after this outcome; a deferred one is not counted."""
    is_settled = report.outcome != Outcome.DEFERRED
    return replace(known, version=report.originator_version, answers=known.answers + is_settled)


def unseen(account: str, key: str) -> RosterRow:
    """A target driver that was never observed."""
    return RosterRow(account=account, key=key, version=0, is_there=False, active=False, fingerprint="")


def keys_of(report: DriverReport) -> Iterator[str]:
    """The keys of the target drivers that a report is about."""
    if isinstance(report, CallAnswered) and report.left:
        yield report.left
    if report.key:
        yield report.key


def shown_after(known: R, report: DriverReport) -> R:
    """The target driver of this row after a report about it."""
    version = report.originator_version
    match report:
        case ObservedDriverGone():
            return replace(known, version=version, is_there=False, active=False, fingerprint="")
        case CallAnswered() if report.key != known.key:
            return replace(known, is_there=False, active=False, fingerprint="")
        case CallAnswered():
            version = known.version
    shown = fingerprint(known.key, report.profile, active=report.active)
    return replace(known, version=version, is_there=True, active=report.active, fingerprint=shown)


def fingerprint(key: str, profile: Profile, *, active: bool) -> str:
    """What stands for a target driver that is shown like this, and for no other."""
    return blake2b(_to_json([key, active, dict(profile)]).encode(), digest_size=16).hexdigest()


def unscanned(account: str) -> ScanRow:
    """A roster that was never scanned."""
    return ScanRow(account=account, version=0, policy_generation=0, request=0, at="", failure="")


def scan_after(known: ScanRow, report: RosterScanned | RosterScanFailed | DriverLookedUp) -> ScanRow:
    """An account's last scan after this report of one, or of a look-up, which is of the same history."""
    known = replace(known, version=report.originator_version)
    match report:
        case RosterScanned():
            return replace(
                known,
                policy_generation=report.policy_generation,
                request=report.request,
                at=report.at.isoformat(),
                failure="",
            )
        case RosterScanFailed():
            return replace(known, failure=report.detail)
        case DriverLookedUp():
            return known
    assert_never(report)


def unbroken(account: str) -> BreakerRow:
    """An account whose breaker never opened."""
    return BreakerRow(account=account, version=0, is_open=False, reason="", detail="")


def breaker_after(known: BreakerRow, report: BreakerOpened | BreakerClosed) -> BreakerRow:
    """An account's breaker after this report."""
    if isinstance(report, BreakerOpened):
        return replace(
            known, version=report.originator_version, is_open=True, reason=report.reason, detail=report.detail
        )
    return replace(known, version=report.originator_version, is_open=False, reason="", detail="")
