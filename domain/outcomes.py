"""What a projector says back: answers to calls, what a scan of a roster saw, and whether an account gets through."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from domain.event import Event


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


@dataclass(frozen=True, kw_only=True)
class RosterScanned(ReportEvent, topic="Report.RosterScanned"):
    """The whole roster was read, under the terms of this version of the account, and after the request of this one.

    `unreadable` counts the records of it that could not be read, or only in part; `unreadable_records` tells of the
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
