"""How far a sweep has come that somebody has requested, and what keeps it from going on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.account import Mode
from domain.event import Event
from domain.identity import AccountId, PortalDriverId, Target, walk_stream
from domain.report import DriverLookedUp
from domain.storing import LastHeard, Record, Store, Where
from services.asking.answers import Answer
from services.asking.readiness import Hindrance, Readiness, advice_on, readiness_of
from services.asking.telling.words import moment, named
from services.decider.read_models import CatchUp, SweepRow, WalkRow, WishRow
from services.projector.read_models import LookUp, Reading


class Stage(StrEnum):
    """Where a requested sweep is: not begun, at its walk, at its decisions, over, or kept from going on."""

    WAITING = "waiting"
    READING = "reading"
    DECIDING = "deciding"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepProgress(Answer):
    """How far a sweep is within its stage: `done` of about `of` drivers, 0 of 0 where nobody knows.

    `trouble` says what keeps it from going on, and what would help; empty if nothing does.
    """

    target: str
    stage: Stage
    done: int = 0
    of: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A sweep that was requested at this version of the account: of one driver, or of everybody."""

    account: AccountId
    target: Target
    request: int
    driver: PortalDriverId | None = None

    @property
    def place(self) -> dict[str, str]:
        """What to look for in the decider's tables."""
        return {"account": self.account, "target": str(self.target)}


def unwritten(readiness: Readiness) -> Hindrance | None:
    """Why a sweep would come to nothing now: nothing is synchronised there, or no calls are made; None if it would."""
    if readiness.account.mode(readiness.target) is Mode.OFF:
        return readiness.hindrance()
    return readiness.stoppage()


def sweep_progress(decider: Store, projector: Store, asked: Requested) -> SweepProgress:
    """How far the sweep of everybody has come. Raises `StoreFailed`."""
    if any(row.answered >= asked.request for row in decider.select(SweepRow, asked.place)):
        return _at(asked, Stage.DONE)
    return _stopped(decider, asked) or _deciding(decider, asked) or _reading(decider, projector, asked)


def look_up_progress(decider: Store, projector: Store, asked: Requested, *, may_repeat: bool) -> SweepProgress:
    """How far the sweep of one driver has come. Raises `StoreFailed`."""
    record = _looked_up(projector, asked)
    if record is None:
        where: Where = {"account": asked.account, "request": asked.request}
        is_heard = any(projector.count(LookUp, where).values())
        return _stopped(decider, asked) or _at(asked, Stage.READING if is_heard else Stage.WAITING)
    event = record.event
    if isinstance(event, DriverLookedUp) and event.reason:
        failure = f"{event.reason}: {event.detail}"
        return _at(asked, Stage.STOPPED, trouble=_told(_not_looked_up(asked, failure)))
    is_decided = _has_heard(decider, record, projector.log.name, may_repeat=may_repeat)
    return _at(asked, Stage.DONE if is_decided else Stage.DECIDING)


def _at(asked: Requested, stage: Stage, *, done: int = 0, of: int = 0, trouble: str = "") -> SweepProgress:
    return SweepProgress(target=str(asked.target), stage=stage, done=done, of=of, trouble=trouble)


def _stopped(decider: Store, asked: Requested) -> SweepProgress | None:
    """What keeps it from going on, as far as the decider has heard of the request."""
    readiness = readiness_of(decider, asked.account)[asked.target]
    if readiness.account.version < asked.request:
        return None
    hindrance = unwritten(readiness) or _unread(readiness)
    return _at(asked, Stage.STOPPED, trouble=_told(hindrance)) if hindrance else None


def _unread(readiness: Readiness) -> Hindrance | None:
    if readiness.failure is None:
        return None
    since, failure = moment(datetime.fromisoformat(readiness.failure.at)), readiness.failure.failure
    sentence = (
        f"The roster of {named(readiness.target)} cannot be read since {since} ({failure}). "
        "It is tried again by itself, and the sweep goes on as soon as it can be."
    )
    return Hindrance(sentence=sentence, advice=advice_on(failure, readiness.account.account, readiness.target))


def _not_looked_up(asked: Requested, failure: str) -> Hindrance:
    sentence = f"Driver {asked.driver} cannot be looked up in {named(asked.target)} ({failure})."
    return Hindrance(sentence=sentence, advice=advice_on(failure, asked.account, asked.target))


def _told(hindrance: Hindrance) -> str:
    return f"{hindrance.sentence} {hindrance.advice}".rstrip()


def _deciding(decider: Store, asked: Requested) -> SweepProgress | None:
    work = next(iter(decider.select(CatchUp, asked.place)), None)
    if work is None or work.request < asked.request:
        return None
    drivers = sum(decider.count(WishRow, {"account": asked.account}).values())
    return _at(asked, Stage.DECIDING, done=min(sum(work.found.values()), drivers), of=drivers)


def _reading(decider: Store, projector: Store, asked: Requested) -> SweepProgress:
    """At its walk, which is about as long as the last one."""
    under_way: Sequence[Reading] = projector.select(Reading, {"account": asked.account})
    if not under_way:
        return _at(asked, Stage.WAITING)
    expected = next((row.drivers for row in decider.select(WalkRow, asked.place)), 0)
    return _at(asked, Stage.READING, done=under_way[0].drivers, of=expected)


def _looked_up(projector: Store, asked: Requested) -> Record | None:
    history = walk_stream(asked.account, asked.target)
    records = projector.records([history]).get(history, ())
    return next((record for record in records if _is_of(record.event, asked)), None)


def _is_of(event: Event | None, asked: Requested) -> bool:
    return isinstance(event, DriverLookedUp) and (event.driver, event.request) == (asked.driver, asked.request)


def _has_heard(decider: Store, record: Record, stream: str, *, may_repeat: bool) -> bool:
    """Whether the decider has taken this report over: by its history where streams may repeat, else by its place."""
    if not may_repeat:
        return decider.position(stream) >= record.position
    originator, _, version = record.id.partition("/")
    return any(row.version >= int(version) for row in decider.select(LastHeard, {"originator": originator}))
