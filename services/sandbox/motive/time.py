"""How Motive writes a moment."""

from datetime import UTC, datetime


def iso_time(at: int) -> str:
    """ISO 8601 in UTC, from milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
