"""How the reports of sweeps read."""

from collections.abc import Mapping
from typing import Any

from services.asking.telling.words import field_name, listed, named
from services.cli.printing import moment

COLUMNS = (
    "when",
    "target",
    "sweep",
    "requested by",
    "read",
    "in step",
    "drifted",
    "missing",
    "strays",
    "contested",
    "held",
    "other",
    "at odds",
)
DRIVER_COLUMNS = ("target", "driver", "key", "finding", "drifted", "at odds", "reason")

_COUNTED = ("in_step", "drifted", "missing", "stray", "contested", "held")
"""The findings that have a column of their own."""

Json = Mapping[str, Any]


def report_row(report: Json) -> tuple[object, ...]:
    """A report as a line of its table."""
    start = (
        moment(report["at"]),
        report["target"],
        report["number"],
        report["by"] or "nobody",
    )
    if report["is_refused"]:
        return (*start, *[""] * (len(_COUNTED) + 1), "refused: another plan", "")
    found = report["found"]
    others = {name: count for name, count in found.items() if name not in _COUNTED}
    counts = [found.get(name, 0) for name in _COUNTED]
    return (*start, report["drivers"], *counts, _counts(others) or 0, _counts(report["at_odds"]) or 0)


def driver_row(found: Json) -> tuple[object, ...]:
    """A driver whom a sweep did not find in step, as a line of its table."""
    fields = (", ".join(map(field_name, found[name])) for name in ("drifted", "at_odds"))
    return (
        found["target"],
        found["driver"],
        found["key"],
        found["finding"].replace("_", " "),
        *fields,
        found["reason"],
    )


def overridden(report: Json) -> str:
    """In which fields how many drivers had drifted; empty if none had."""
    if not report["drifted"]:
        return ""
    name, fields = named(report["target"]), _drivers(report["drifted"])
    return f"Somebody else had changed in {name} {fields}: the Portal wins."


def two_writers(report: Json) -> str:
    """What to know and to do where somebody else writes the same fields again and again; empty where nobody does."""
    if not report["at_odds"]:
        return ""
    name, account, fields = named(report["target"]), report["account"], _drivers(report["at_odds"])
    return (
        f"Two writers at odds in {name}: somebody else wrote {fields} again since the sweep before. "
        f"Find out who, and have it written in the Portal only. By name: driverlink sweeps {account} --details"
    )


def _drivers(fields: Mapping[str, int]) -> str:
    return listed(
        f"the {field_name(field)} of {count} {'driver' if count == 1 else 'drivers'}"
        for field, count in sorted(fields.items())
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(counts.items()))
