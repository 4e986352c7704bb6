"""When a call that failed is tried again, and when it is given up."""

from itertools import pairwise
from uuid import UUID, uuid5

import pytest

from domain.failures import (
    BACKOFF_SCHEDULE,
    CLASSES,
    LONGEST_WAIT,
    MOST_TRIES,
    CallFailure,
    FailureClass,
    Park,
    Reason,
    Rejected,
    Retry,
    Unavailable,
    after_failure,
    doubled,
    is_final,
    seldom,
    spread,
)

LINK = UUID("6f1f7a58-8c2e-4c39-9c0e-1d6b2f0a7b11")
DOWN = Unavailable(reason=Reason.DOWN, detail="answered 503")

HOUR = 3600.0


def of(failure_class: FailureClass) -> list[Reason]:
    return [reason for reason, each in CLASSES.items() if each is failure_class]


def failed(reason: Reason, retry_after: float | None = None) -> Unavailable:
    return Unavailable(reason=reason, detail="no", retry_after=retry_after)


def test_every_reason_has_a_class() -> None:
    assert CLASSES.keys() == set(Reason)


def test_a_target_that_was_given_up_may_take_the_same_again() -> None:
    assert [reason for reason in Reason if is_final(reason)] == of(FailureClass.FINAL)
    assert not is_final("given up after 6 tries")


@pytest.mark.parametrize("reason", [*of(FailureClass.PASSING), *of(FailureClass.UNKNOWN)])
def test_what_may_pass_follows_the_backoff_schedule_and_is_given_up_after_its_last_step(reason: Reason) -> None:
    failure: CallFailure = failed(reason)
    steps = [after_failure(failure, tries, LINK) for tries in range(MOST_TRIES)]
    retries = [step for step in steps if isinstance(step, Retry)]
    assert [retry.tries for retry in retries] == [1, 2, 3, 4, 5]
    for retry, about in zip(retries, (300.0, 1800.0, 2 * HOUR, 6 * HOUR, 24 * HOUR), strict=True):
        assert about <= retry.after <= 1.1 * about
    assert steps[-1] == Park(detail="given up after 6 tries: no")


@pytest.mark.parametrize("reason", of(FailureClass.FINAL))
def test_what_is_refused_for_good_is_parked_with_the_targets_words(reason: Reason) -> None:
    assert after_failure(Rejected(reason=reason, detail="answered 400"), 0, LINK) == Park(detail="answered 400")


@pytest.mark.parametrize("tries", [0, 3, len(BACKOFF_SCHEDULE)])
@pytest.mark.parametrize("reason", of(FailureClass.ACCESS))
def test_what_speaks_of_the_account_waits_for_the_breaker_alone(reason: Reason, tries: int) -> None:
    following = after_failure(Rejected(reason=reason, detail="answered 401"), tries, LINK)
    assert following == Retry(after=0.0, tries=max(tries, 1))


@pytest.mark.parametrize("reason", of(FailureClass.ACCESS))
def test_what_is_refused_to_one_link_only_follows_the_backoff_schedule(reason: Reason) -> None:
    failure = Rejected(reason=reason, detail="answered 403")
    steps = [after_failure(failure, tries, LINK, is_alone=True) for tries in range(MOST_TRIES)]
    assert [step.tries for step in steps if isinstance(step, Retry)] == [1, 2, 3, 4, 5]
    assert steps[-1] == Park(detail="given up after 6 tries: answered 403")


def test_what_an_answer_proves_little_for_is_asked_as_seldom_as_the_backoff_schedule_says() -> None:
    assert [seldom(tries) for tries in range(7)] == [300.0, 1800.0, 2 * HOUR, 6 * HOUR, 24 * HOUR, 24 * HOUR, 24 * HOUR]


@pytest.mark.parametrize("tries", [0, len(BACKOFF_SCHEDULE)])
def test_a_rate_limit_does_not_count_as_a_try(tries: int) -> None:
    assert after_failure(failed(Reason.LIMITED, 90.0), tries, LINK) == Retry(after=90.0, tries=tries)


def test_a_limit_without_a_time_waits_a_little() -> None:
    assert after_failure(failed(Reason.LIMITED), 0, LINK) == Retry(after=1.0, tries=0)


def test_a_target_that_asks_for_more_patience_than_the_step_gets_it() -> None:
    assert after_failure(failed(Reason.DOWN, HOUR), 0, LINK) == Retry(after=HOUR, tries=1)


@pytest.mark.parametrize("asked_for", [1e12, float("inf")])
def test_a_target_that_asks_for_more_than_a_day_gets_a_day(asked_for: float) -> None:
    assert after_failure(failed(Reason.LIMITED, asked_for), 0, LINK) == Retry(after=24 * HOUR, tries=0)


def test_the_same_step_of_the_same_link_waits_equally_long_each_time() -> None:
    assert after_failure(DOWN, 2, LINK) == after_failure(DOWN, 2, LINK)


def test_links_that_failed_together_do_not_come_back_together() -> None:
    waits = sorted(spread(300.0, uuid5(LINK, str(number)), 0) for number in range(200))
    assert 300.0 <= waits[0] <= waits[-1] <= 330.0
    assert max(later - earlier for earlier, later in pairwise(waits)) < 5.0


def test_what_is_read_for_an_account_waits_twice_as_long_each_time_up_to_five_minutes() -> None:
    assert [doubled(tries) for tries in range(9)] == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert doubled(10_000) == LONGEST_WAIT
