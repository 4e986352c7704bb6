"""What a fault asks of the vendor's API itself: carried in the scope of the call, and asked for by its endpoints."""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Final

from starlette.requests import Request

Scope = MutableMapping[str, Any]

Arrangement = Callable[[Sequence[int]], Sequence[int]]
"""The rows of a list, as one call shows them."""

_NAME: Final = "sandbox.fault"
_ARRANGEMENT: Final = "sandbox.arrangement"
_HOLLOW: Final = "sandbox.hollow"


def mark_fault(scope: Scope, name: str) -> None:
    """Let the journal name the fault that this call meets."""
    scope[_NAME] = name


def fault_of(scope: Scope) -> str | None:
    """The fault that this call meets."""
    name: str | None = scope.get(_NAME)
    return name


def mark_arrangement(scope: Scope, arrangement: Arrangement) -> None:
    """Let this call show a list otherwise than it is."""
    scope[_ARRANGEMENT] = arrangement


def arrangement_of(request: Request) -> Arrangement:
    """How this call shows a list: as it is, unless a fault says otherwise."""
    arrangement: Arrangement = request.scope.get(_ARRANGEMENT, as_it_is)
    return arrangement


def mark_hollow(scope: Scope) -> None:
    """Let this create answer well and leave everything as it is."""
    scope[_HOLLOW] = True


def is_hollow(request: Request) -> bool:
    """Whether this create only answers as if."""
    return _HOLLOW in request.scope


def as_it_is(rows: Sequence[int]) -> Sequence[int]:
    """A list that no fault has touched."""
    return rows
