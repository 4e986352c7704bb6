"""Moments as people write them: how long ago, or a date or time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from services.cli.client import CommandRefused

_WRITTEN = "write 15m, 1h or 2d for how long ago, else 2026-05-31 or 2026-05-31T08:30+00:00"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="As it was this long ago (15m, 1h, 2d), or at this date or time (ISO 8601).",
        show_default=False,
    ),
]


def moment_of(written: str | None) -> str | None:
    """A moment in ISO 8601: `1h` is an hour ago. Raises `CommandRefused`."""
    if written is None:
        return None
    if spoken := re.fullmatch(r"([0-9]{1,6})([smhd])", written):
        try:
            return (datetime.now(UTC) - timedelta(**{_UNITS[spoken[2]]: int(spoken[1])})).isoformat()
        except OverflowError:
            raise CommandRefused(f"{written} ago is before the year 1; name a later moment") from None
    try:
        datetime.fromisoformat(written)
    except ValueError:
        raise CommandRefused(f"{written!r} is not a date or time; {_WRITTEN}") from None
    return written
