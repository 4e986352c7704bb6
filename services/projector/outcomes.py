"""The results of attempts, stored as outcomes with everything that follows from them for this projector."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from domain.driver_link import RenameDecided
from domain.failures import CLASSES, CallFailure, FailureClass, Park, Reason, Rejected, Retry, after_failure
from domain.identity import Target, delivery_stream, link_stream
from domain.outcomes import CallAnswered, Outcome
from domain.ports import Done, Exists, Missing
from domain.store import Store, StoreConflict, StoreFailed, Unit, Where
from services.projector.breaker import Breakers, EndedCall
from services.projector.calls import Attempt, OutcomeUnknown, Result, Withdrawn, failure_of
from services.projector.read_models import (
    AnswerCount,
    DueDelivery,
    RosterRow,
    StartedAttempt,
    count_after,
    drivers_of,
    keys_of,
    place_of,
    shown_after,
    unanswered,
    unseen,
)
from services.projector.roster import Freshness
from services.runtime.context import Clock
from services.runtime.isolation import own_trouble

_log = structlog.get_logger()


class Outcomes:
    """Stores the outcomes of one target's attempts."""

    def __init__(self, store: Store, target: Target, clock: Clock, breakers: Breakers, freshness: Freshness) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._breakers = breakers
        self._freshness = freshness

    def store(self, results: Sequence[tuple[Attempt, Result]]) -> None:
        """Store a batch of results in one transaction; those that are stored already are left out.

        Raises `StoreConflict` when another process has stored into the same histories, or has got the accounts.
        """
        where = drivers_of(attempt.driver for attempt, _ in results)
        started = {place_of(row): row.body["decision"] for row in self._store.select(StartedAttempt, where)}
        # A commit can have worked without our hearing so: what does not count as started any more is stored already.
        results = [each for each in results if started.get(each[0].driver) == each[0].delivery.decision]
        counts = {place_of(row): row for row in self._store.select(AnswerCount, where)}
        failed = [attempt.driver for attempt, result in results if failure_of(result)]
        due = self._store.select(DueDelivery, drivers_of(failed)) if failed else []
        tries = {place_of(row): row.deferred for row in due}
        ended, unit = [], Unit()
        for attempt, result in results:
            (account, driver), failure = attempt.driver, failure_of(result)
            if not isinstance(result, Withdrawn):
                ended.append(EndedCall(account=account, subject=driver, failure=failure, is_delivery=True))
            count = counts.get(attempt.driver) or unanswered(account, driver)
            if failure is not None:
                is_unknown = isinstance(result, OutcomeUnknown) or CLASSES[failure.reason] is FailureClass.UNKNOWN
                tried = tries.get(attempt.driver, 0)
                outcome = self._fail(unit, attempt, failure, tried, count, is_unknown=is_unknown)
            else:
                outcome = self._end(unit, attempt, result, count)
            if outcome is not None:
                unit.events.append(outcome)
                unit.keep([count_after(count, outcome)])
        self._keep_roster(unit)
        self._breakers.record(unit, ended)
        self._freshness.note(unit.events)
        self._store.commit(unit)

    def store_safely(self, results: Sequence[tuple[Attempt, Result]]) -> None:
        """The same; a result that cannot be stored parks its own driver, with the reason.

        Raises `StoreConflict` and `StoreFailed`.
        """
        try:
            self.store(results)
        except (StoreConflict, StoreFailed):
            raise
        except Exception as failure:  # noqa: BLE001 - one driver's trouble is its own, whatever it is
            if len(results) > 1:
                for result in results:
                    self.store_safely([result])
                return
            ((attempt, _),) = results
            _log.error("answer cannot be stored", account=attempt.driver[0], trouble=type(failure).__name__)
            detail = f"the answer of {self._target} cannot be stored ({type(failure).__name__})"
            with own_trouble("answer is given up", account=attempt.driver[0]):
                self.store([(attempt, Rejected(reason=Reason.INVALID, detail=detail))])

    def _end(self, unit: Unit, attempt: Attempt, result: Result, count: AnswerCount) -> CallAnswered | None:
        """The outcome of an attempt that did not fail; None: what was started had no effect, and is not due."""
        unit.remove(StartedAttempt, _where(attempt))
        if result is None:
            return None
        unit.remove(DueDelivery, _where(attempt))
        outcome, delivery = self._confirmed(attempt, count), attempt.delivery
        match result:
            case Done(seen=seen, is_shown=is_shown):
                is_rename = delivery.fact == RenameDecided.TOPIC and delivery.key != seen.key
                outcome = replace(outcome, left=delivery.key if is_rename else None, is_shown=is_shown)
            case Exists(seen=seen):
                outcome = replace(outcome, outcome=str(Outcome.EXISTS))
            case Missing(key=key):
                return replace(outcome, outcome=str(Outcome.MISSING), left=key)
            case _:
                return outcome
        return replace(outcome, key=seen.key, active=seen.active, profile=dict(seen.profile))

    def _fail(
        self, unit: Unit, attempt: Attempt, failure: CallFailure, tries: int, count: AnswerCount, *, is_unknown: bool
    ) -> CallAnswered | None:
        """Try again later, or give up; only the first failure in a row is reported, and a rate limit never is.

        `is_unknown`: the call may have taken effect, so it still counts as started and is read back, even later.
        """
        account, driver = attempt.driver
        if not is_unknown:
            unit.remove(StartedAttempt, _where(attempt))
        is_alone = self._breakers.is_alone(account, driver, failure)
        if is_alone:
            detail = f"refused for this driver only, while other calls are answered: {failure.detail}"
            failure = replace(failure, detail=detail)
        outcome = replace(self._confirmed(attempt, count), reason=str(failure.reason))
        match after_failure(failure, tries, link_stream(account, self._target, driver), is_alone=is_alone):
            case Park(detail=detail):
                unit.remove(DueDelivery, _where(attempt))
                return replace(outcome, outcome=str(Outcome.REFUSED), detail=detail)
            case Retry(after=after, tries=following):
                not_before = (self._clock() + timedelta(seconds=after)).isoformat()
                unit.keep([DueDelivery(**_where(attempt), not_before=not_before, deferred=following)])
        if tries or CLASSES[failure.reason] is FailureClass.RATE_LIMITED:
            return None
        return replace(outcome, outcome=str(Outcome.DEFERRED), detail=failure.detail)

    def _confirmed(self, attempt: Attempt, count: AnswerCount) -> CallAnswered:
        account, driver = attempt.driver
        return CallAnswered(
            originator_id=delivery_stream(account, self._target, driver),
            originator_version=count.version + 1,
            at=self._clock(),
            account=account,
            target=str(self._target),
            driver=driver,
            decision=attempt.delivery.decision,
            outcome=str(Outcome.CONFIRMED),
            key=None,
            active=False,
            profile={},
            left=None,
            reason="",
            detail="",
        )

    def _keep_roster(self, unit: Unit) -> None:
        """Keep what the outcomes show of the target's drivers."""
        outcomes = [event for event in unit.events if isinstance(event, CallAnswered)]
        shown = [(outcome.account, key, outcome) for outcome in outcomes for key in keys_of(outcome)]
        if not shown:
            return
        where: Where = {
            "account": sorted({account for account, _, _ in shown}),
            "key": sorted({key for _, key, _ in shown}),
        }
        known = {(row.account, row.key): row for row in self._store.select(RosterRow, where)}
        unit.keep(
            shown_after(known.get((account, key)) or unseen(account, key), outcome) for account, key, outcome in shown
        )


def _where(attempt: Attempt) -> dict[str, str]:
    return {"account": attempt.driver[0], "driver": attempt.driver[1]}
