"""One order as calls to a target, and what became of an order whose answer was lost."""

from dataclasses import dataclass

from domain.driver_link import (
    CreateDecided,
    DeleteDecided,
    LinkDecided,
    ReinstateDecided,
    RenameDecided,
    UpdateDecided,
)
from domain.failures import TargetFailed, Unavailable
from domain.identity import Target
from domain.ports import Answer, Done, Exists, TargetDrivers
from domain.roster import TargetDriver
from domain.wish import to_change, unreadable
from services.projector.read_models import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """There was nothing yet that could be deleted, so no call was needed."""


async def carry_out(order: Order, drivers: TargetDrivers) -> Answer | Withdrawn:
    """Make the calls that an order means."""
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


async def settle(order: Order, target: Target, drivers: TargetDrivers) -> Answer | Withdrawn | None:
    """Look up whether an order that was started has taken effect; None: it has not, or repeating it is harmless."""
    is_delete = order.fact == DeleteDecided.TOPIC
    key = order.key if is_delete else order.wished_key
    try:
        seen = await drivers.find(key, order.profile)
    except TargetFailed as failed:
        failure = failed.failure
        return Unavailable(reason=failure.reason, detail=failure.detail)
    if seen is None:
        return None
    return _settled_delete(seen) if is_delete else _settled_write(order, target, seen)


def _settled_delete(seen: TargetDriver) -> Answer | None:
    return None if seen.active else Done(seen=seen)


def _settled_write(order: Order, target: Target, seen: TargetDriver) -> Answer | None:
    differing = to_change(target, order.profile, seen.profile)
    if seen.active and not differing and seen.key == (order.wished_key or seen.key):
        return Done(seen=seen) if _is_told_by_reading(order, target) else None
    return Exists(seen=seen) if order.fact == CreateDecided.TOPIC else None


def _is_told_by_reading(order: Order, target: Target) -> bool:
    """A create or a rename shows; of a field that cannot be read back nobody knows whether it was written."""
    if order.fact in (CreateDecided.TOPIC, RenameDecided.TOPIC):
        return True
    return not set(unreadable(target, order.profile)) & set(order.fields)
