"""What a projector knows: each link's delivery, the target's roster, scans and breakers.

The rows, and what they are after each report: live and rebuilt rows are made by the same functions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, ClassVar, Final, TypeVar, assert_never

from domain.driver_link import Confirmed, Decision, DeleteHeld, LinkErased, LinkEvent, Parked
from domain.failures import MOST_TRIES
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    DriverLookedUp,
    ObservedDriverErased,
    ObservedDriverGone,
    ObservedDriverSeen,
    Outcome,
    RosterScanFailed,
    RosterScanned,
)
from domain.profile import Profile, erased_profile
from domain.situations import Situation
from domain.store import FILLED, Row, Where
from services.accounts.handlers import READ_MODELS as ACCOUNT_MODELS
from services.runtime.context import DECISIONS, outcomes_of
from services.runtime.read_models import Events, ReadModel, Rows

Driver = tuple[AccountId, PortalDriverId]
"""A link, on the projector's own target."""


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


FIRST_OF_ALL: Final = "0"
"""When a delivery is due that comes before all others of its account."""

LAST_AT_ONCE: Final = "1"
"""Behind every delivery that is due at once, and before all that wait for a moment."""


def at_once(position: int) -> str:
    """When a delivery is due at once: in the order of the log, whatever the clock says."""
    return f"{position:020}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow(Row):
    """What a projector knows of one link, and what it has to do for it.

    From the logs: `body` is the newest decision, empty where there is nothing to deliver, and `version` that of the
    fact which says so. `reports` counts what was reported of the link, `answers` the reports that ended a delivery.

    Work in hand: from when the newest decision is `due`: a moment (ISO 8601), or by `at_once`; empty while nothing is
    to be started. `tries` of it have failed, its step on the backoff schedule; all of `MOST_TRIES` where it was given
    up and the outcome is unknown. `started` is the decision of a call that was started and has no outcome, so that it
    is not known whether it took effect; 0 where there is none. It is in `started_body`, unless it is the newest one.
    """

    TABLE: ClassVar[str] = "deliveries"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "due"), ("started",))
    SPARSE: ClassVar[frozenset[str]] = frozenset({"due", "started"})
    WORK: ClassVar[tuple[str, ...]] = ("due", "tries", "started", "started_body")

    account: str
    driver: str
    version: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    reports: int = 0
    answers: int = 0
    due: str = ""
    tries: int = 0
    started: int = 0
    started_body: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> Driver:
        """The link."""
        return AccountId(self.account), PortalDriverId(self.driver)

    @property
    def newest(self) -> Delivery | None:
        """The newest decision, if there is anything to deliver."""
        return from_json(self.body) if self.body else None

    @property
    def started_delivery(self) -> Delivery | None:
        """The decision of the call that was started, if there is one."""
        return from_json(self.started_body or self.body) if self.started else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow(Row):
    """A target driver as we last saw it; gone ones stay, as not there.

    `version` counts what scans reported of it. `fingerprint` stands for all that is shown of it, so that no
    personal data has to be kept to know whether it has changed. Of one that `is_erased` no profile is reported.
    """

    TABLE: ClassVar[str] = "roster"
    KEY: ClassVar[tuple[str, ...]] = ("account", "key")

    account: str
    key: str
    version: int
    is_there: bool
    active: bool
    fingerprint: str
    is_erased: bool = False


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

    @property
    def subject(self) -> str:
        """What the breaker calls the driver."""
        return self.driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint(Row):
    """Work in hand: a target driver to be read, because its target hinted that it has changed.

    Each hint has a `mark` of its own, later ones a greater one, so that one that comes while the driver is read stays.
    `tries` to read it have failed.
    """

    TABLE: ClassVar[str] = "hints"
    KEY: ClassVar[tuple[str, ...]] = ("account", "key")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "mark"),)

    account: str
    key: str
    mark: str
    tries: int = 0

    @property
    def subject(self) -> str:
        """What the breaker calls the driver."""
        return self.key

    @property
    def keys(self) -> list[str]:
        """The key, as that of a look-up."""
        return [self.key]


UNDER_WAY: Final[Where] = {"started": FILLED, "due": "", "tries": list(range(MOST_TRIES))}
"""The links with a call under way; one that was given up though its outcome is unknown has had all its tries."""


class BreakerState(StrEnum):
    """The state of an account's breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow(Row):
    """The breaker of an account: no calls are made while it `is_open`, and why; `version` counts its reports.

    Work in hand: its target is probed not before `probe_at` (ISO 8601), which stays after the breaker has closed until
    a call has succeeded: till then `relapses` count how often it opened again, and `tries` how often it did, or a
    probe failed. `refused` are drivers whose calls were refused as if for the whole account, and have not succeeded
    since; true where that was again after a probe had been answered, so this driver is the trouble.
    """

    TABLE: ClassVar[str] = "breakers"
    KEY: ClassVar[tuple[str, ...]] = ("account",)
    WORK: ClassVar[tuple[str, ...]] = ("probe_at", "tries", "relapses", "refused")

    account: str
    version: int = 0
    is_open: bool = False
    reason: str = ""
    detail: str = ""
    probe_at: str = ""
    tries: int = 0
    relapses: int = 0
    refused: dict[str, bool] = field(default_factory=dict)

    @property
    def state(self) -> BreakerState:
        """Half-open between the closing by a probe and the first call that is answered."""
        if self.is_open:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN if self.probe_at else BreakerState.CLOSED


R = TypeVar("R", bound=RosterRow)

DriverReport = CallAnswered | ObservedDriverSeen | ObservedDriverGone | ObservedDriverErased
"""A report about a target driver."""


def body_after(event: LinkEvent) -> dict[str, Any] | None:
    """The newest decision of a link after this event, empty where there is nothing to deliver; None: as before.

    A link that is parked, held, or ended without a call has nothing to deliver.
    """
    if isinstance(event, Decision):
        return to_delivery(event).to_json()
    has_ended = isinstance(event, Confirmed) and not event.decision
    return {} if has_ended or isinstance(event, Parked | DeleteHeld | LinkErased) else None


def decided(known: DeliveryRow, event: LinkEvent) -> DeliveryRow:
    """A link's row after this event; the same one where it says nothing new of what to deliver."""
    body = body_after(event) if event.originator_version > known.version else None
    if body is None:
        return known
    started_body = known.started_body or (known.body if known.started else {})
    return replace(known, version=event.originator_version, body=body, started_body=started_body)


def reported(known: DeliveryRow, report: CallAnswered) -> DeliveryRow:
    """A link's row after this outcome, if it is new; a deferred one does not count as an answer."""
    if report.originator_version <= known.reports:
        return known
    is_settled = report.outcome != Outcome.DEFERRED
    return replace(known, reports=report.originator_version, answers=known.answers + is_settled)


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
        case ObservedDriverErased():
            is_erased = report.driver != ""
            shown = (
                fingerprint(known.key, erased_profile(), active=known.active) if is_erased and known.is_there else ""
            )
            return replace(known, version=version, fingerprint=shown, is_erased=is_erased)
        case CallAnswered() if report.key != known.key:
            return replace(known, is_there=False, active=False, fingerprint="")
        case CallAnswered():
            # What a call of ours has brought about is another driver's, or the same one's who is back.
            version, known = known.version, replace(known, is_erased=known.is_erased and not _is_confirmed(report))
    shown = fingerprint(known.key, report.profile, active=report.active)
    return replace(known, version=version, is_there=True, active=report.active, fingerprint=shown)


def _is_confirmed(report: CallAnswered) -> bool:
    return report.outcome == Outcome.CONFIRMED


def as_seen(known: RosterRow, profile: Profile) -> Profile:
    """What is reported of a target driver of this row that is shown with this profile."""
    return erased_profile() if known.is_erased else profile


def fingerprint(key: str, profile: Profile, *, active: bool) -> str:
    """What stands for a target driver that is shown like this, and for no other."""
    # By hand it is made in half of the time; a scan makes one of every driver.
    fields = ", ".join([f"{_quoted(field)}: {_quoted(profile[field])}" for field in sorted(profile)])
    shown = f"[{_quoted(key)}, {'true' if active else 'false'}, {{{fields}}}]"
    return blake2b(shown.encode(), digest_size=16).hexdigest()


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


def breaker_after(known: BreakerRow, report: BreakerOpened | BreakerClosed) -> BreakerRow:
    """An account's breaker after this report."""
    if isinstance(report, BreakerOpened):
        return replace(
            known, version=report.originator_version, is_open=True, reason=report.reason, detail=report.detail
        )
    return replace(known, version=report.originator_version, is_open=False, reason="", detail="")


def project_decisions(
    target: Target,
    events: Events,
    rows: Rows,
    when_changed: Callable[[DeliveryRow, int], DeliveryRow] = lambda row, _: row,
) -> None:
    """What there is to deliver for each link; `when_changed` adds the work that follows live from a change there."""
    facts = [(at, event) for at, event in events if isinstance(event, LinkEvent) and event.target == target]
    rows.load(DeliveryRow, ((fact.account, fact.driver) for _, fact in facts))
    for at, fact in facts:
        known = rows.get(DeliveryRow, fact.account, fact.driver)
        before = known or DeliveryRow(account=fact.account, driver=fact.driver)
        after = decided(before, fact)
        if after is not before:
            rows.put(when_changed(after, at))


def _project_answers(events: Events, rows: Rows) -> None:
    """How often the target answered about each link."""
    answers = [event for _, event in events if isinstance(event, CallAnswered)]
    rows.load(DeliveryRow, ((answer.account, answer.driver) for answer in answers))
    for answer in answers:
        known = rows.get(DeliveryRow, answer.account, answer.driver)
        rows.put(reported(known or DeliveryRow(account=answer.account, driver=answer.driver), answer))


def project_roster(events: Events, rows: Rows) -> None:
    """The target drivers as we last saw them."""
    reports = [event for _, event in events if isinstance(event, DriverReport)]
    rows.load(RosterRow, ((report.account, key) for report in reports for key in keys_of(report)))
    for report in reports:
        for key in keys_of(report):
            known = rows.get(RosterRow, report.account, key) or unseen(report.account, key)
            rows.put(shown_after(known, report))


def _project_scans(events: Events, rows: Rows) -> None:
    """The last scan of each roster."""
    for _, event in events:
        if isinstance(event, RosterScanned | RosterScanFailed | DriverLookedUp):
            rows.put(scan_after(rows.get(ScanRow, event.account) or unscanned(event.account), event))


def _project_breakers(events: Events, rows: Rows) -> None:
    """The circuit breaker of each account."""
    for _, event in events:
        if isinstance(event, BreakerOpened | BreakerClosed):
            rows.put(breaker_after(rows.get(BreakerRow, event.account) or BreakerRow(account=event.account), event))


def read_models_of(target: Target) -> tuple[ReadModel, ...]:
    """What the projector of this target keeps of the logs."""
    outcomes = outcomes_of(target)
    return (
        *ACCOUNT_MODELS,
        ReadModel(
            tables=(DeliveryRow,),
            projections=lambda _: {DECISIONS: partial(project_decisions, target), outcomes: _project_answers},
        ),
        ReadModel(tables=(RosterRow,), projections=lambda _: {outcomes: project_roster}),
        ReadModel(tables=(ScanRow,), projections=lambda _: {outcomes: _project_scans}),
        ReadModel(tables=(BreakerRow,), projections=lambda _: {outcomes: _project_breakers}),
    )
