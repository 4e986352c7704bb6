"""When the daily sweep of an account on a target begins: told by their names and the date, and by nothing else."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID, uuid5

from domain.identity import AccountId, Target, account_stream, sweep_stream

MOST_JITTER: Final = timedelta(minutes=30)
"""By how much a sweep begins later than at its time of day at most, so that those of one time do not all begin at once.

It never goes beyond midnight: each day in UTC has exactly one sweep.
"""

_DAY: Final = timedelta(days=1)


def next_sweep(account: AccountId, target: Target, sweep_at: str, after: datetime) -> datetime:
    """The next moment, strictly behind `after`, at which a daily sweep begins.

    `sweep_at` is the time of day, HH:MM in UTC; without one the account has a time of its own, so that fleets spread
    over the day.
    """
    today = after.astimezone(UTC).date()
    moment = _moment(account, target, sweep_at, today)
    return moment if moment > after else _moment(account, target, sweep_at, today + _DAY)


def _moment(account: AccountId, target: Target, sweep_at: str, day: date) -> datetime:
    since_midnight = _time_of_day(sweep_at) if sweep_at else _DAY * _part(account_stream(account))
    jitter = min(MOST_JITTER, _DAY - since_midnight) * _part(sweep_stream(account, target), day.isoformat())
    return datetime.combine(day, time(tzinfo=UTC)) + since_midnight + jitter


def _time_of_day(sweep_at: str) -> timedelta:
    stated = time.fromisoformat(sweep_at)
    return timedelta(hours=stated.hour, minutes=stated.minute)


def _part(whose: UUID, which: str = "") -> float:
    """A number from 0 up to 1 that an id and a word always give, and others hardly ever."""
    return (uuid5(whose, which).int >> 76) / 2**52
