"""The state of a licence: a code of ISO 3166-2 with its country, as in US-CO, or without it.

Which of them Driveri takes is not public, so a form that it refuses is followed by the other one.
"""

from collections.abc import Mapping

import httpx

from adapters.driveri.wire import words_of
from adapters.http import REFUSED
from domain.licence_states import spellings

_STATE = "licenseState"


def is_refused_for_state(reply: httpx.Response) -> bool:
    """Whether Driveri refuses a write, and names the state of the licence as the reason."""
    return reply.status_code in REFUSED and _STATE.casefold() in words_of(reply).casefold()


def in_other_form(body: Mapping[str, object]) -> dict[str, object] | None:
    """The same body with the state in the other form; None where it states none, or no country of two letters."""
    state, country = str(body.get(_STATE) or ""), str(body.get("licenseCountry") or "")
    if not state or len(country) != len("US"):
        return None
    prefix = f"{country.upper()}-"
    is_with_country = state.upper().startswith(prefix)
    known = spellings(state)
    code = known[1] if len(known) > 1 else state[len(prefix) :] if is_with_country else state
    return {**body, _STATE: code if is_with_country else f"{prefix}{code}"}
