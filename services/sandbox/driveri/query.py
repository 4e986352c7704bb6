"""What a Driveri client asks for in the address of a call.

Source: driveri-python-sdk 1.0.0.
"""

from collections.abc import Collection, Mapping

from starlette.datastructures import QueryParams

from services.sandbox.driveri.assumptions import Assumptions
from services.sandbox.driveri.tenant import Query
from services.sandbox.driveri.wire import invalid, not_modelled

LONGEST_LIMIT = 200
UNMODELLED = frozenset({"subFleet"})
"""Parameters that the vendor documents, and that the sandbox has nothing for."""

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


def check_known(parameters: QueryParams, known: Collection[str]) -> None:
    """Refuse what would be ignored otherwise: parameters that the call does not have, or that are stated twice."""
    names = [name for name, _ in parameters.multi_items()]
    for name in names:
        if name in UNMODELLED and parameters[name].strip():
            raise not_modelled(name)
        if name not in known and name not in UNMODELLED:
            raise invalid(f"{name}: the sandbox does not know this parameter")
        if names.count(name) > 1:
            raise invalid(f"{name}: stated more than once")


def page_asked_for(parameters: Mapping[str, str], assumptions: Assumptions) -> tuple[int, int]:
    """Offset and limit; raises `Refused`."""
    offset = _number(parameters, "offset")
    limit = _number(parameters, "limit")
    limit = _DEFAULT_PAGE if limit is None else limit
    if limit < 1 or (limit > LONGEST_LIMIT and assumptions.long_limit == "refused"):
        raise invalid(f"limit: 1 to {LONGEST_LIMIT}")
    return offset or 0, min(limit, assumptions.longest_page)


def query_asked_for(parameters: Mapping[str, str]) -> Query:
    """Which drivers a list is about; raises `Refused`."""
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
