"""What happened to an account, as far as it concerns its drivers, in one plain sentence each."""

from domain.account import (
    DeletesApproved,
    DeletesJudged,
    ModeSet,
    RetryRequested,
    SweepRequested,
    SyncAllowed,
    SyncTurnedOff,
    SyncTurnedOn,
)
from domain.event import Event
from services.asking.telling.words import named, person


def told(event: Event) -> str:
    """A fact about an account; empty if it says nothing about its drivers."""
    match event:
        case SyncAllowed():
            return f"{person(event.by, event.role)} allowed Sync Drivers on the account's tier."
        case SyncTurnedOn():
            return f"{person(event.by, event.role)} turned Sync Drivers on."
        case SyncTurnedOff():
            return f"{person(event.by, event.role)} turned Sync Drivers off."
        case ModeSet():
            return f"{person(event.by, event.role)} set the mode for {named(event.target)} to {event.mode}."
        case RetryRequested() | SweepRequested():
            return f"{person(event.by, event.role)} asked {_asked(event)}."
    return ""


def _asked(event: RetryRequested | SweepRequested) -> str:
    if isinstance(event, RetryRequested):
        return f"to look again at {_set_aside(event)}"
    return f"for a sweep of {f'driver {event.driver}' if event.driver else 'everybody'} on {named(event.target)}"


def _set_aside(event: RetryRequested) -> str:
    who = f"driver {event.driver}, where set aside" if event.driver else "who is set aside"
    why = f" ({event.reason.replace('_', ' ')})" if event.reason else ""
    return f"{who}{why} on {named(event.target) if event.target else 'any target'}"


def told_in_vain(event: DeletesJudged) -> str:
    """A person's word on a held delete that nothing came of."""
    verb = "approved" if isinstance(event, DeletesApproved) else "rejected"
    return (
        f"{person(event.by, event.role)} {verb} a held delete on {named(event.target)}, and nothing came of it: "
        "it was not that hold any more, the mode is not full, or the approval came too late."
    )
