"""One job as calls to a target, and what became of an order whose answer was lost."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from domain.driver_link import (
    CreateDecided,
    DeleteDecided,
    LinkDecided,
    ReinstateDecided,
    RenameDecided,
    UpdateDecided,
)
from domain.failures import CLASSES, CallFailure, FailureClass, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Target, link_stream
from domain.ports import Answer, Done, Exists, TargetDrivers
from domain.retrying import LOOK_AFTER, LOOK_FOR, spread
from domain.roster import TargetDriver
from domain.wish import to_change, unreadable
from services.projector.jobs import Job
from services.projector.read_models import Order

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """There was nothing yet that could be deleted, so no call was needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """Whether an order took effect is not known, because looking it up failed."""

    failure: CallFailure


Result = Answer | Withdrawn | Unsettled | None
"""What became of a job; None: what was started had no effect, and is not due any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Makes the calls of a job. `may_repeat` tells whether its order may still be carried out."""

    target: Target
    drivers: TargetDrivers
    pause: Pause
    may_repeat: Callable[[Job], Awaitable[bool]]

    async def make(self, job: Job) -> Result:
        """Settle what was started, then carry out what is due."""
        if job.started is None:
            return await self._looked_after(job, await carry_out(job.answered, self.drivers))
        settled = await settle(job.started, self.target, self.drivers)
        if settled is not None or job.order is None:
            return settled
        return await self._looked_after(job, await self._again(job.order))

    async def _looked_after(self, job: Job, result: Result) -> Result:
        """What a job comes to after this try: before every further one it is looked up what became of the last.

        What was answered well and yet is not shown is not tried again.
        """
        if _is_fruitless(result):
            return await self._looked_for(job, result)
        link = link_stream(job.driver[0], self.target, job.driver[1])
        for step, seconds in enumerate(LOOK_AFTER):
            if not _is_unknown(result):
                break
            await self.pause(spread(seconds, link, step))
            settled = await settle(job.answered, self.target, self.drivers)
            if settled is not None or not await self.may_repeat(job):
                return settled
            result = await self._again(job.answered)
        return await self._looked_for(job, result) if _is_fruitless(result) else result

    async def _looked_for(self, job: Job, result: Result) -> Result:
        """What a job comes to that was answered well: some targets show only a while later what was written."""
        link = link_stream(job.driver[0], self.target, job.driver[1])
        for step, seconds in enumerate(LOOK_FOR):
            await self.pause(spread(seconds, link, step))
            if (settled := await settle(job.answered, self.target, self.drivers)) is not None:
                return settled
        return result

    async def _again(self, order: Order) -> Result:
        """Carry out what was started before. Where this try fails, the first may still take effect, however late.

        So a refusal of it, or that the driver is missing or somebody else, counts only once it was looked up again.
        """
        result = await carry_out(order, self.drivers)
        if isinstance(result, Done | Withdrawn):
            return result
        failure = failure_of(result)
        if failure is None or CLASSES[failure.reason] is FailureClass.FINAL:
            return await settle(order, self.target, self.drivers) or result
        return result if _is_unknown(result) else Unsettled(failure=failure)


def failure_of(result: Result) -> CallFailure | None:
    """Why a job did not do what was asked, if it did not."""
    if isinstance(result, Unsettled):
        return result.failure
    return result if isinstance(result, Rejected | Unavailable) else None


def _is_unknown(result: Result) -> bool:
    return isinstance(result, Rejected | Unavailable) and CLASSES[result.reason] is FailureClass.UNKNOWN


def _is_fruitless(result: Result) -> bool:
    """Whether the target has answered, and yet does not do it: at once it would not do it either."""
    return isinstance(result, Rejected) and result.reason is Reason.NOT_EFFECTIVE


async def carry_out(order: Order, drivers: TargetDrivers) -> Answer | Withdrawn:
    """Make the calls that an order means; what overrides somebody else's value is read back, to know it again."""
    answer = await _carry_out(order, drivers)
    return await _as_shown(answer, drivers) if order.is_override and isinstance(answer, Done) else answer


async def _as_shown(done: Done, drivers: TargetDrivers) -> Done:
    try:
        seen = await drivers.find(done.seen.key, done.seen.profile)
    except TargetFailed:
        return done
    return Done(seen=seen) if seen is not None and seen.active else done


async def _carry_out(order: Order, drivers: TargetDrivers) -> Answer | Withdrawn:
    match order.fact:
        case CreateDecided.TOPIC:
            return await drivers.create(order.wished_key, order.profile)
        case DeleteDecided.TOPIC:
            return await drivers.delete(order.key) if order.key else Withdrawn()
    return await _carry_out_on(order, drivers)


async def _carry_out_on(order: Order, drivers: TargetDrivers) -> Answer:
    """The orders that are about a driver whom the target has already."""
    if order.wished_key is None:
        raise ValueError(f"{order.fact} needs a wished key")
    if order.fact == RenameDecided.TOPIC and order.key is not None:
        return await drivers.rename(order.key, order.wished_key, order.profile)
    if order.fact == ReinstateDecided.TOPIC:
        return await drivers.reinstate(order.wished_key, order.profile)
    if order.fact in (LinkDecided.TOPIC, UpdateDecided.TOPIC):
        return await drivers.update(order.wished_key, order.profile, order.fields)
    raise ValueError(f"no call is known for {order.fact}")


async def settle(order: Order, target: Target, drivers: TargetDrivers) -> Answer | Withdrawn | Unsettled | None:
    """Look up whether an order that was started has taken effect; None: it has not, or repeating it is harmless."""
    is_delete = order.fact == DeleteDecided.TOPIC
    try:
        seen = await drivers.find(order.key if is_delete else order.wished_key, order.profile)
        if seen is None:
            return None
        if is_delete:
            return None if seen.active else Done(seen=seen)
        return _settled_write(order, target, seen) or await _settled_rename(order, seen, drivers)
    except TargetFailed as failed:
        return Unsettled(failure=failed.failure)


def _settled_write(order: Order, target: Target, seen: TargetDriver) -> Answer | None:
    differing = to_change(target, order.profile, seen.profile)
    if seen.active and not differing and seen.key == (order.wished_key or seen.key):
        return Done(seen=seen) if _is_told_by_reading(order, target) else None
    return Exists(seen=seen) if order.fact == CreateDecided.TOPIC else None


async def _settled_rename(order: Order, seen: TargetDriver, drivers: TargetDrivers) -> Answer | None:
    """Whoever has the wished key while nobody has the old one was renamed, whatever else the target shows of it.

    A rename that nobody wants any more is not repeated, so this is how its link learns of its key.
    """
    is_rename = order.fact == RenameDecided.TOPIC and order.key != order.wished_key
    if not is_rename or not seen.active or seen.key != order.wished_key:
        return None
    former = await drivers.find(order.key, order.profile)
    return Done(seen=seen) if former is None or former.key == seen.key else None


def _is_told_by_reading(order: Order, target: Target) -> bool:
    """A create or a rename shows; of a field that cannot be read back nobody knows whether it was written."""
    if order.fact in (CreateDecided.TOPIC, RenameDecided.TOPIC):
        return True
    return not set(unreadable(target, order.profile)) & set(order.fields)
