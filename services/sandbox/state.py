"""Row numbers in order, below labels: a page is a slice and a lookup is one step, however many drivers there are.

The time a sandbox goes by; tests bring their own.

Ids that a sandbox gives: each once, so that no driver is ever taken for another.

What a vendor shows whose lists and look-ups lag behind its writes.

What is wrong with a body or a seed, in one line.
"""

import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from domain.failures import ClearFailure


class Shelves:
    """For each label the numbers of the rows that carry it, ascending."""

    def __init__(self) -> None:
        self._shelves: dict[Hashable, list[int] | int] = {}
        """Most labels have one number only, and a list of one takes ten times the memory of a number."""

    def on(self, label: Hashable) -> Sequence[int]:
        """The numbers below this label, ascending; to be read at once, not kept."""
        shelf = self._shelves.get(label, ())
        return (shelf,) if isinstance(shelf, int) else shelf

    def move(self, number: int, leaving: AbstractSet[Hashable], entering: AbstractSet[Hashable]) -> None:
        """Take a row from the labels it had to the labels it has now."""
        for label in leaving - entering:
            self._take(label, number)
        for label in entering - leaving:
            self._put(label, number)

    def _put(self, label: Hashable, number: int) -> None:
        shelf = self._shelves.get(label)
        if shelf is None:
            self._shelves[label] = number
        elif isinstance(shelf, int):
            self._shelves[label] = sorted((shelf, number))
        else:
            insort(shelf, number)

    def _take(self, label: Hashable, number: int) -> None:
        shelf = self._shelves[label]
        if isinstance(shelf, int):
            del self._shelves[label]
            return
        del shelf[bisect_left(shelf, number)]
        if not shelf:
            del self._shelves[label]


Now = Callable[[], int]
"""The present moment, in milliseconds since the epoch."""


def wall_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def iso_time(at: int) -> str:
    """A moment as ISO 8601 in UTC, to the second; from milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


_BEGINNING: Final = 1_767_225_600_000
"""The first moment of 2026, in milliseconds since the epoch."""

_PER_MILLISECOND: Final = 10
"""No sandbox gives as many ids in a millisecond."""


def ids_from(at: int) -> int:
    """The first id of a process that starts at this moment: above all that earlier processes have given."""
    return max(at - _BEGINNING, 0) * _PER_MILLISECOND


class Ids:
    """Whole numbers, ascending: none comes again, neither after a deletion nor after a seeding."""

    def __init__(self, first: int) -> None:
        self._next = first

    def __iter__(self) -> "Ids":
        return self

    def __next__(self) -> int:
        given = self._next
        self._next += 1
        return given

    def leave_out(self, number: int) -> None:
        """Give no number up to this one."""
        self._next = max(self._next, number + 1)


Shown = TypeVar("Shown")
Version = TypeVar("Version")


class Lagging(Generic[Shown, Version]):
    """A copy that repeats each write `lag` milliseconds after it was made, in the order of writes."""

    def __init__(self, shown: Shown, put: Callable[[Shown, Version | None, Version], None], lag: float) -> None:
        self._shown = shown
        self._put = put
        self._lag = lag
        self._coming: deque[tuple[float, Version | None, Version]] = deque()

    def add(self, before: Version | None, after: Version, at: int) -> None:
        """A version took the place of another one, or of nothing, at this moment, in milliseconds since the epoch."""
        self._coming.append((at + self._lag, before, after))

    def at(self, now: int) -> Shown:
        """What is shown at this moment; it is to be read only."""
        while self._coming and self._coming[0][0] <= now:
            _, before, after = self._coming.popleft()
            self._put(self._shown, before, after)
        return self._shown


UNKNOWN = "the sandbox does not know this field"

_Body = TypeVar("_Body", bound=BaseModel)


class SeedRefused(ClearFailure, ValueError):
    """A seed that a sandbox cannot start from; the text says where and why, without repeating its values."""


def parsed_body(model: type[_Body], body: bytes, refusal: Callable[[str], Exception]) -> _Body:
    """The body as its wire model; raises what `refusal` makes of the first problem."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise refusal(first_problem(error, unknown=UNKNOWN)) from None


def first_problem(error: ValidationError, unknown: str = "Extra inputs are not permitted") -> str:
    """The first thing found wrong: where, and what the rule is; never the value itself.

    `unknown` is the rule that a field breaks which has no place there.
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    rule = unknown if found["type"] == "extra_forbidden" else found["msg"].removeprefix("Value error, ")
    return f"{where}: {rule}" if where else rule


def check_unique(what: str, values: Iterable[object]) -> None:
    """Raises `ValueError` when a value comes twice, and says at which places, counted from 0; None may come often."""
    first_places: dict[object, int] = {}
    for place, value in enumerate(values):
        if value is not None and first_places.setdefault(value, place) != place:
            raise ValueError(f"numbers {first_places[value]} and {place} have the same {what}")
