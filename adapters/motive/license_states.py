"""The state of a licence: by its code, by its code with the country, or by its name.

Which of them Motive takes is not public, so a spelling that it refuses is followed by the others.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import httpx

from adapters.http import REFUSED
from adapters.motive.wire import words_of
from domain.licence_states import spellings

_STATE: Final = "drivers_license_state"


def is_refused_for_state(reply: httpx.Response) -> bool:
    """Whether Motive refuses a write, and names the state of the licence as the reason."""
    words = words_of(reply).casefold().replace(" ", "_")
    return reply.status_code in REFUSED and "license_state" in words


class StateSpelling:
    """Which spelling a company takes, as far as it was found out; as it is written until then."""

    def __init__(self) -> None:
        self._place = 0

    def bodies(self, body: Mapping[str, object]) -> Iterator[tuple[int, Mapping[str, object]]]:
        """The same body in each spelling that it can have, the one that worked last first, with its place.

        None where it states no licence.
        """
        if not body.get(_STATE):
            return
        written = spellings(str(body[_STATE]))
        first = self._place if self._place < len(written) else 0
        places = {text: place for place, text in reversed([*enumerate(written)])}
        ordered = sorted(set(places.values()) | {first}, key=lambda place: (place != first, place))
        for place in ordered:
            yield place, {**body, _STATE: written[place]}

    def has_worked(self, place: int) -> None:
        """A write in this spelling was not refused for it."""
        self._place = place
