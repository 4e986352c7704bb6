"""Which events a person asks for, checked: what is unknown is refused, with what may have been meant."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from starlette.datastructures import QueryParams

from domain.cleaning import LONGEST, LONGEST_ID, clean
from domain.event import Event
from services.asking.logged import Filters
from services.control.messages import Malformed
from services.control.naming import target_named
from services.runtime.alike import did_you_mean


def filters_of(query: QueryParams, account: str | None) -> Filters:
    """What this query asks for, of this account; its driver's id is only cleaned. Raises `Malformed`."""
    since, until = _moment(query.get("since")), _moment(query.get("until"))
    if since and until and since > until:
        raise Malformed(f"nothing is since {query['since']} and until {query['until']}: the one is after the other")
    return Filters(
        account=account,
        driver=clean(query["driver"], LONGEST["driver"]) if "driver" in query else None,
        driver_id=clean(query["driver_id"], LONGEST_ID) if "driver_id" in query else None,
        target=target_named(query["target"]) if "target" in query else None,
        types=frozenset(name for text in query.getlist("type") for name in _types(text)),
        since=since,
        until=until,
    )


def _types(text: str) -> Sequence[str]:
    """The events of this name: `Parked`, or as it is stored, `DriverLink.Parked`; in any letter case."""
    names = _names()
    found = names.get(text.strip().casefold())
    if found is None:
        shown = [*Event.BY_TOPIC, *(kind.__name__ for kind in Event.BY_TOPIC.values())]
        raise Malformed(
            f"there is no event of the type {text!r}{did_you_mean(text, shown)}; see docs/reference/events.md"
        )
    return found


def _names() -> Mapping[str, list[str]]:
    """The names of every kind of event, in small letters."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for topic, kind in Event.BY_TOPIC.items():
        for name in {topic, topic.rpartition(".")[2], kind.__name__}:
            names[name.casefold()].append(kind.__name__)
    return names


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"{text!r} is no date or time; write 2026-05-31 or 2026-05-31T08:30+00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
