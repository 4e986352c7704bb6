"""An attempt as calls to the target as its account reaches it.

An attempt that was started before is read back first, which tells whether it took effect.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

import structlog

from domain.driver_link import CreateDecided, DeleteDecided, LinkDecided, ReinstateDecided, RenameDecided, UpdateDecided
from domain.failures import (
    CLASSES,
    LOOK_AFTER,
    LOOK_FOR,
    CallFailure,
    FailureClass,
    Reason,
    Rejected,
    TargetFailed,
    Unavailable,
    spread,
)
from domain.identity import AccountId, Target, link_stream
from domain.matching import ObservedDriver
from domain.ports import Answer, Done, Exchange, Exists, TargetDrivers
from domain.profile import to_change, unreadable
from domain.store import StoreFailed
from services.projector.read_models import Delivery, Driver

_log = structlog.get_logger()

Connecting = Callable[[AccountId], TargetDrivers | Rejected]
"""The target as one account reaches it, or why it cannot."""


class Connected:
    """A target as accounts reach it, with the slots that it has for each of them."""

    def __init__(self, connect: Connecting) -> None:
        self._connect = connect
        self._reached: dict[AccountId, TargetDrivers] = {}

    def to(self, account: AccountId) -> TargetDrivers | Rejected:
        """The target as this account reaches it now, or why it cannot. Raises `StoreFailed`."""
        try:
            drivers = self._connect(account)
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("account cannot be connected", account=account)
            detail = f"the account cannot be connected: unexpected {type(failure).__name__}; see the log"
            drivers = Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)
        if isinstance(drivers, Rejected):
            self._reached.pop(account, None)
        else:
            self._reached[account] = drivers
        return drivers

    def slots(self, account: AccountId) -> int:
        """How many calls of this account may be under way; one is enough to learn that it cannot reach the target.

        Only `to` looks its credentials up again.
        """
        drivers = self._reached.get(account) or self.to(account)
        return 1 if isinstance(drivers, Rejected) else drivers.slots()

    def free_in(self, account: AccountId, calls: int) -> float:
        """Seconds until this many calls of this account may be under way, if none ends; infinite where one has to."""
        drivers = self._reached.get(account)
        return drivers.free_in(calls) if drivers else inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a delivery.

    `was_started`: an attempt was started before and has no outcome, so it is read back first.
    `is_due`: the calls may be made; otherwise the delivery is only read back.
    `exchanges` are what was exchanged with the target, once it has ended.
    """

    driver: Driver
    delivery: Delivery
    was_started: bool = False
    is_due: bool = True
    exchanges: tuple[Exchange, ...] = ()


Pause = Callable[[float], Awaitable[None]]
"""Waits for this many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """There was nothing yet to delete, so no call was needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknown:
    """Whether a delivery took effect is not known, because the read back failed."""

    failure: CallFailure


Result = Answer | Withdrawn | OutcomeUnknown | None
"""The result of an attempt; None: what was started had no effect, and is not due any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCaller:
    """Makes the calls of an attempt. `may_repeat` says whether its delivery is still due."""

    target: Target
    drivers: TargetDrivers
    pause: Pause
    may_repeat: Callable[[Attempt], Awaitable[bool]]

    async def make(self, attempt: Attempt) -> Result:
        """Read back what was started before, then carry out what is due."""
        if not attempt.was_started:
            return await self._until_known(attempt, await carry_out(attempt.delivery, self.drivers))
        known = await self._read_back(attempt)
        if known is not None or not attempt.is_due:
            return known
        return await self._until_known(attempt, await self._repeat(attempt))

    async def _until_known(self, attempt: Attempt, result: Result) -> Result:
        """The result after a few more tries; before each of them, the last one is read back.

        A call that was answered well and does not show is not repeated: some targets show a write only later.
        """
        link = link_stream(attempt.driver[0], self.target, attempt.driver[1])
        for step, seconds in enumerate(LOOK_AFTER):
            if not _is_unknown(result) or _is_without_effect(result):
                break
            await self.pause(spread(seconds, link, step))
            known = await self._read_back(attempt)
            if known is not None or not await self.may_repeat(attempt):
                return known
            result = await self._repeat(attempt)
        if _is_without_effect(result):
            for step, seconds in enumerate(LOOK_FOR):
                await self.pause(spread(seconds, link, step))
                if (known := await self._read_back(attempt)) is not None:
                    return known
        return result

    async def _repeat(self, attempt: Attempt) -> Result:
        """Carry out what was started before. Where this try fails, the first may still take effect, however late.

        So a refusal of it, or that the driver is missing or another one, counts only after another read back.
        """
        result = await carry_out(attempt.delivery, self.drivers)
        if isinstance(result, Done | Withdrawn):
            return result
        failure = failure_of(result)
        if failure is None or CLASSES[failure.reason] is FailureClass.FINAL:
            return await self._read_back(attempt) or result
        return result if _is_unknown(result) else OutcomeUnknown(failure=failure)

    async def _read_back(self, attempt: Attempt) -> Answer | Withdrawn | OutcomeUnknown | None:
        return await read_back(attempt.delivery, self.target, self.drivers)


def failure_of(result: Result) -> CallFailure | None:
    """Why an attempt failed, if it did."""
    if isinstance(result, OutcomeUnknown):
        return result.failure
    return result if isinstance(result, Rejected | Unavailable) else None


def _is_unknown(result: Result) -> bool:
    return isinstance(result, Rejected | Unavailable) and CLASSES[result.reason] is FailureClass.UNKNOWN


def _is_without_effect(result: Result) -> bool:
    return isinstance(result, Rejected) and result.reason is Reason.NOT_EFFECTIVE


async def carry_out(delivery: Delivery, drivers: TargetDrivers) -> Answer | Withdrawn:
    """Make the calls of a delivery. One that overrides another value is read again, to know how the target shows it."""
    if delivery.fact == DeleteDecided.TOPIC and delivery.key is None:
        return Withdrawn()
    answer = await _call(delivery, drivers)
    if not delivery.is_override or not isinstance(answer, Done):
        return answer
    try:
        seen = await drivers.find(answer.seen.key, answer.seen.profile)
    except TargetFailed:
        return answer
    return Done(seen=seen) if seen is not None and seen.active else answer


async def _call(delivery: Delivery, drivers: TargetDrivers) -> Answer:
    key, desired_key = delivery.key, delivery.desired_key
    if delivery.fact == CreateDecided.TOPIC:
        return await drivers.create(desired_key, delivery.profile)
    if delivery.fact == DeleteDecided.TOPIC and key is not None:
        return await drivers.delete(key)
    if desired_key is None:
        raise ValueError(f"{delivery.fact} needs a desired key")
    if delivery.fact == RenameDecided.TOPIC and key is not None:
        return await drivers.rename(key, desired_key, delivery.profile)
    if delivery.fact == ReinstateDecided.TOPIC:
        return await drivers.reinstate(desired_key, delivery.profile)
    if delivery.fact in (LinkDecided.TOPIC, UpdateDecided.TOPIC):
        return await drivers.update(desired_key, delivery.profile, delivery.fields)
    raise ValueError(f"no call is known for {delivery.fact}")


async def read_back(
    delivery: Delivery, target: Target, drivers: TargetDrivers
) -> Answer | Withdrawn | OutcomeUnknown | None:
    """Look up whether a delivery that was started took effect; None: it did not, or repeating it is harmless."""
    is_delete = delivery.fact == DeleteDecided.TOPIC
    try:
        seen = await drivers.find(delivery.key if is_delete else delivery.desired_key, delivery.profile)
        if seen is None:
            return None
        if is_delete:
            return None if seen.active else Done(seen=seen)
        return _shown_write(delivery, target, seen) or await _shown_rename(delivery, seen, drivers)
    except TargetFailed as failed:
        return OutcomeUnknown(failure=failed.failure)


def _shown_write(delivery: Delivery, target: Target, seen: ObservedDriver) -> Answer | None:
    differing = to_change(target, delivery.profile, seen.profile)
    if seen.active and not differing and seen.key == (delivery.desired_key or seen.key):
        # A create or a rename shows; a field that cannot be read back may or may not have been written.
        is_shown = delivery.fact in (CreateDecided.TOPIC, RenameDecided.TOPIC)
        is_shown = is_shown or not set(unreadable(target, delivery.profile)) & set(delivery.fields)
        return Done(seen=seen) if is_shown else None
    return Exists(seen=seen) if delivery.fact == CreateDecided.TOPIC else None


async def _shown_rename(delivery: Delivery, seen: ObservedDriver, drivers: TargetDrivers) -> Answer | None:
    """The driver with the desired key was renamed if none has the old one, whatever else the target shows.

    A rename that is not due any more is not repeated, so this is how its link learns its key.
    """
    is_rename = delivery.fact == RenameDecided.TOPIC and delivery.key != delivery.desired_key
    if not is_rename or not seen.active or seen.key != delivery.desired_key:
        return None
    former = await drivers.find(delivery.key, delivery.profile)
    return Done(seen=seen) if former is None or former.key == seen.key else None
