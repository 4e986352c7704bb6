"""When daily reconciliations begin."""

from datetime import UTC, date, datetime, time, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from domain.identity import AccountId, Target
from domain.reconciliation import MOST_JITTER, next_reconciliation

ACME = AccountId("acme")
DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)

accounts = st.text(min_size=1, max_size=20).map(AccountId)
targets = st.sampled_from(list(Target))
zones = st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-7))])
moments = st.builds(datetime.fromtimestamp, st.floats(1_500_000_000, 2_500_000_000), zones)
times_of_day = st.one_of(st.just(""), st.times().map(lambda each: each.strftime("%H:%M")))


def reconciled_in(day: datetime, account: AccountId, target: Target, reconcile_at: str) -> list[datetime]:
    """The reconciliations of two days from this midnight on."""
    found = [next_reconciliation(account, target, reconcile_at, day - timedelta(microseconds=1))]
    while found[-1] < day + 2 * DAY:
        found.append(next_reconciliation(account, target, reconcile_at, found[-1]))
    return found[:-1]


@given(accounts, targets, times_of_day, moments)
def test_the_next_reconciliation_is_ahead_and_not_further_than_a_day_and_the_jitter(
    account: AccountId, target: Target, reconcile_at: str, after: datetime
) -> None:
    ahead = next_reconciliation(account, target, reconcile_at, after) - after
    assert timedelta(0) < ahead <= DAY + MOST_JITTER


@given(accounts, targets, times_of_day, st.dates(date(2020, 1, 1), date(2040, 1, 1)))
def test_each_day_has_exactly_one_reconciliation(
    account: AccountId, target: Target, reconcile_at: str, day: date
) -> None:
    midnight = datetime.combine(day, time(tzinfo=UTC))
    reconciled = reconciled_in(midnight, account, target, reconcile_at)
    assert [moment.date() for moment in reconciled] == [day, day + DAY]


@given(accounts, targets, times_of_day, moments)
def test_the_same_question_has_the_same_answer_wherever_it_is_asked(
    account: AccountId, target: Target, reconcile_at: str, after: datetime
) -> None:
    asked_in_utc = next_reconciliation(account, target, reconcile_at, after.astimezone(UTC))
    assert next_reconciliation(account, target, reconcile_at, after) == asked_in_utc


@given(accounts, targets, st.times(), moments)
def test_a_reconciliation_begins_at_its_time_of_day_or_a_little_later(
    account: AccountId, target: Target, stated: time, after: datetime
) -> None:
    moment = next_reconciliation(account, target, stated.strftime("%H:%M"), after)
    begins = datetime.combine(moment.date(), time(stated.hour, stated.minute, tzinfo=UTC))
    assert begins <= moment <= begins + MOST_JITTER


def test_fleets_without_a_time_of_their_own_spread_over_the_day() -> None:
    hours = [
        next_reconciliation(AccountId(f"fleet-{number}"), Target.MOTIVE, "", MIDNIGHT).hour for number in range(2400)
    ]
    counts = [hours.count(hour) for hour in range(24)]
    assert min(counts) > 60
    assert max(counts) < 150


def test_fleets_of_one_time_do_not_all_begin_at_once() -> None:
    begun = {
        next_reconciliation(AccountId(f"fleet-{number}"), Target.MOTIVE, "03:00", MIDNIGHT) for number in range(500)
    }
    assert len(begun) == 500
    assert max(begun) - min(begun) > timedelta(minutes=25)


def test_the_targets_of_an_account_and_its_days_differ_in_jitter() -> None:
    one, other = (next_reconciliation(ACME, target, "03:00", MIDNIGHT) for target in Target)
    assert one != other
    assert next_reconciliation(ACME, Target.MOTIVE, "03:00", MIDNIGHT + DAY) - DAY not in (one, other)
