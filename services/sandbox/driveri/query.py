"""What a Driveri client asks for in the address of a call.

Source: driveri-python-sdk 1.0.0.
"""

from collections.abc import Mapping

from services.sandbox.driveri.tenant import Query
from services.sandbox.driveri.wire import invalid

LONGEST_PAGE = 200
_DEFAULT_PAGE = 100


def stated(parameters: Mapping[str, str], *names: str) -> dict[str, str]:
    """Those of the named parameters that say something."""
    return {name: value for name in names if (value := parameters.get(name, "").strip())}


def flag(parameters: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false, and false when left out; raises `Refused`."""
    value = parameters.get(name, "").lower() or "false"
    if value not in ("true", "false"):
        raise invalid(f"{name}: true or false")
    return value == "true"


def page_asked_for(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Offset and limit; raises `Refused`."""
    offset = _number(parameters, "offset")
    limit = _number(parameters, "limit")
    limit = _DEFAULT_PAGE if limit is None else limit
    if not 1 <= limit <= LONGEST_PAGE:
        raise invalid(f"limit: 1 to {LONGEST_PAGE}")
    return offset or 0, limit


def query_asked_for(parameters: Mapping[str, str]) -> Query:
    """Which drivers a list is about; raises `Refused`."""
    if stated(parameters, "subFleet"):
        raise invalid("subFleet: the sandbox has no sub-fleets")
    return Query(
        states=_states(parameters),
        show_all=flag(parameters, "showAll"),
        group=parameters.get("group") or None,
        from_date=_number(parameters, "fromDate"),
        to_date=_number(parameters, "toDate"),
    )


def _states(parameters: Mapping[str, str]) -> frozenset[int]:
    codes = [code.strip() for code in parameters.get("state", "").split(",") if code.strip()]
    if not all(code in {"1", "2", "3", "4", "5"} for code in codes):
        raise invalid("state: status codes from 1 to 5, separated by commas")
    return frozenset(map(int, codes))


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"{name}: a whole number, 0 or more")
    return int(text)
