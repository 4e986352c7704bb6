"""What a projector knows: the newest decision of each link, its outcomes, the target's roster, scans and breakers.

The rows, and what they are after each report: live and rebuilt rows are made by the same functions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from json import JSONEncoder
from typing import Any, ClassVar, TypeVar, assert_never

from domain.driver_link import Confirmed, Decision, DeleteHeld, LinkEvent, Parked
from domain.identity import Key
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
from domain.situations import Situation
from domain.store import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A decision, as far as a target is concerned; `decision` is its version on the link, `fact` its stored name.

    `is_override`: another writer had changed it there, so it matters how the target shows what we write.
    """

    fact: str
    decision: int
    key: Key | None
    desired_key: Key | None
    profile: Profile
    fields: tuple[str, ...]
    answers: int
    policy_generation: int
    is_override: bool = False

    def to_json(self) -> dict[str, Any]:
        """The delivery as plain JSON."""
        stored: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**stored, "profile": dict(self.profile), "fields": list(self.fields)}


def to_delivery(decision: Decision) -> Delivery:
    """The delivery of a decision."""
    return Delivery(
        fact=decision.TOPIC,
        decision=decision.originator_version,
        key=Key(decision.key) if decision.key else None,
        desired_key=Key(decision.desired_key) if decision.desired_key else None,
        profile=decision.profile,
        fields=tuple(decision.fields),
        answers=decision.answers,
        policy_generation=decision.policy_generation,
        is_override=decision.rationale.get("situation") == Situation.DRIFTED,
    )


def from_json(stored: dict[str, Any]) -> Delivery:
    """The delivery that was stored."""
    return Delivery(**{**stored, "fields": tuple(stored["fields"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestDecision(Row):
    """The newest decision of a link: the one that counts."""

    TABLE: ClassVar[str] = "newest_decisions"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")

    account: str
    driver: str
    is_open: bool
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCount(Row):
    """How often a target answered about a link: `version` counts all reports, `answers` those that ended one."""

    TABLE: ClassVar[str] = "answer_counts"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")

    account: str
    driver: str
    version: int
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow(Row):
    """A target driver as we last saw it; gone ones stay, as not there.

    `version` counts what scans reported of it. `fingerprint` stands for all that is shown of it, so that no
    personal data has to be kept to know whether it has changed.
    """

    TABLE: ClassVar[str] = "roster"
    KEY: ClassVar[tuple[str, ...]] = ("account", "key")

    account: str
    key: str
    version: int
    is_there: bool
    active: bool
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRow(Row):
    """What was reported of scans: how many reports there were, and of the last complete one its policy and request.

    `at` is when that one was complete (ISO 8601), empty where there was none; `failure` why one failed since.
    """

    TABLE: ClassVar[str] = "scans"
    KEY: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    version: int
    policy_generation: int
    request: int
    at: str
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanProgress(Row):
    """Work in hand: a scan that is under way, since when (ISO 8601), and how many drivers it has read so far.

    It is there once the scan has taken a second, and may lag by one.
    """

    TABLE: ClassVar[str] = "scan_progress"
    KEY: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    began: str
    drivers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp(Row):
    """Work in hand: one driver to be looked up by these keys, and by our external id, because a person asked for it.

    `request` is the version of the account at which it was asked for.
    """

    TABLE: ClassVar[str] = "look_ups"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver", "request")

    account: str
    driver: str
    request: int
    keys: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow(Row):
    """Whether calls are made for an account: none while the breaker is open, and why; `version` counts its reports."""

    TABLE: ClassVar[str] = "breakers"
    KEY: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    version: int
    is_open: bool
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery(Row):
    """Work in hand: a link whose newest decision has to be delivered, not before a moment (ISO 8601).

    A delivery that is due at once has its position in the log there, which sorts before any moment; empty comes first.

    `deferred` is how many tries of it have failed: its step on the backoff schedule.
    """

    TABLE: ClassVar[str] = "due_deliveries"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "not_before"),)

    account: str
    driver: str
    not_before: str
    deferred: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedAttempt(Row):
    """Work in hand: a call that was started; until its outcome is stored it is not known whether it took effect."""

    TABLE: ClassVar[str] = "started_attempts"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")

    account: str
    driver: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Row):
    """Work in hand: an open breaker whose target has to be asked whether it answers again, not before a moment.

    It stays after the breaker has closed until a call has succeeded: till then `relapses` count how often the breaker
    opened again, and `tries` how often it did, or a probe failed.
    """

    TABLE: ClassVar[str] = "probes"
    KEY: ClassVar[tuple[str, ...]] = ("account",)
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("state", "not_before"),)

    account: str
    state: str
    not_before: str
    tries: int
    relapses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedDriver(Row):
    """Work in hand: a driver whose call was refused as if for the whole account, and has not succeeded since.

    `is_alone`: it was refused again after a probe had been answered, so this driver is the trouble.
    """

    TABLE: ClassVar[str] = "refused_drivers"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")

    account: str
    driver: str
    is_alone: bool


def place_of(row: NewestDecision | AnswerCount | DueDelivery | StartedAttempt | RefusedDriver) -> tuple[str, str]:
    """The account and the driver that a row is about."""
    return row.account, row.driver


def drivers_of(places: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What to ask for to get the rows of all these accounts and drivers at once; others may be among them."""
    wanted = set(places)
    return {"account": sorted({account for account, _ in wanted}), "driver": sorted({driver for _, driver in wanted})}


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
