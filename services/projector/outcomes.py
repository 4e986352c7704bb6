"""The results of attempts: the outcomes that are reported, and what is left to do for their links."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from domain.driver_link import RenameDecided
from domain.failures import CLASSES, MOST_TRIES, CallFailure, FailureClass, Park, Retry, after_failure
from domain.identity import Key, Target, delivery_stream, link_stream
from domain.matching import ObservedDriver
from domain.outcomes import CallAnswered, Outcome
from domain.ports import Done, Exists, Missing
from domain.store import Store, Unit
from services.projector.breaker import Breakers, EndedCall
from services.projector.calls import Attempt, OutcomeUnknown, Result, Withdrawn, failure_of
from services.projector.projections import project_roster
from services.projector.read_models import FIRST_OF_ALL, DeliveryRow, reported
from services.projector.roster import Freshness
from services.runtime.context import Clock
from services.runtime.read_models import projected


class Outcomes:
    """What follows from the results of one target's attempts."""

    def __init__(self, store: Store, target: Target, clock: Clock, breakers: Breakers, freshness: Freshness) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._breakers = breakers
        self._freshness = freshness

    def add(self, unit: Unit, results: Sequence[tuple[Attempt, Result]]) -> None:
        """Put into the unit what follows from these results, apart from those that are stored already.

        It has to be committed by `Breakers.commit`.
        """
        if not results:
            return
        known = self._store.among(DeliveryRow, DeliveryRow.KEY, [attempt.driver for attempt, _ in results])
        rows, ended = {row.place: row for row in known}, list[EndedCall]()
        for attempt, result in results:
            row = rows.get(attempt.driver)
            # A commit can have worked without our hearing so: what does not count as started any more is stored.
            if row is None or row.started != attempt.delivery.decision:
                continue
            (account, driver), failure = attempt.driver, failure_of(result)
            if not isinstance(result, Withdrawn):
                ended.append(EndedCall(account=account, subject=driver, failure=failure, is_delivery=True))
            if failure is None:
                row, outcome = self._end(row, attempt, result)
            else:
                is_unknown = isinstance(result, OutcomeUnknown) or CLASSES[failure.reason] is FailureClass.UNKNOWN
                row, outcome = self._fail(row, attempt, failure, is_unknown=is_unknown)
            if outcome is not None:
                unit.events.append(outcome)
                row = reported(row, outcome)
            unit.keep([row])
        unit.add(projected(self._store, project_roster, [(0, event) for event in unit.events]))
        self._breakers.record(unit, ended)
        self._freshness.note(unit.events)

    def _end(self, row: DeliveryRow, attempt: Attempt, result: Result) -> tuple[DeliveryRow, CallAnswered | None]:
        """The outcome of an attempt that did not fail; None: what was started had no effect, and is not due."""
        if result is None:
            return replace(row, started=0, started_body={}, due=FIRST_OF_ALL if row.body else ""), None
        row, delivery = replace(row, started=0, started_body={}, due="", tries=0), attempt.delivery
        match result:
            case Done(seen=seen, is_shown=is_shown):
                is_rename = delivery.fact == RenameDecided.TOPIC and delivery.key != seen.key
                left = delivery.key if is_rename else None
                return row, self._answered(row, attempt, Outcome.CONFIRMED, seen, left=left, is_shown=is_shown)
            case Exists(seen=seen):
                return row, self._answered(row, attempt, Outcome.EXISTS, seen)
            case Missing(key=key):
                return row, self._answered(row, attempt, Outcome.MISSING, left=key)
            case _:
                return row, self._answered(row, attempt, Outcome.CONFIRMED)

    def _fail(
        self, row: DeliveryRow, attempt: Attempt, failure: CallFailure, *, is_unknown: bool
    ) -> tuple[DeliveryRow, CallAnswered | None]:
        """Try again later, or give up; only the first failure in a row is reported, and a rate limit never is.

        `is_unknown`: the call may have taken effect, so it still counts as started and is read back, even later.
        """
        (account, driver), tries = attempt.driver, row.tries
        if not is_unknown:
            row = replace(row, started=0, started_body={})
        is_alone = self._breakers.is_alone(account, driver, failure)
        if is_alone:
            detail = f"refused for this driver only, while other calls are answered: {failure.detail}"
            failure = replace(failure, detail=detail)
        match after_failure(failure, tries, link_stream(account, self._target, driver), is_alone=is_alone):
            case Park(detail=detail):
                row = replace(row, due="", tries=MOST_TRIES if row.started else 0)
                return row, self._answered(row, attempt, Outcome.REFUSED, reason=failure.reason, detail=detail)
            case Retry(after=after, tries=following):
                moment = (self._clock() + timedelta(seconds=after)).isoformat()
                row = replace(row, due=moment, tries=following)
        if tries or CLASSES[failure.reason] is FailureClass.RATE_LIMITED:
            return row, None
        return row, self._answered(row, attempt, Outcome.DEFERRED, reason=failure.reason, detail=failure.detail)

    def _answered(
        self,
        row: DeliveryRow,
        attempt: Attempt,
        outcome: Outcome,
        seen: ObservedDriver | None = None,
        *,
        left: Key | None = None,
        is_shown: bool = True,
        reason: str = "",
        detail: str = "",
    ) -> CallAnswered:
        account, driver = attempt.driver
        return CallAnswered(
            originator_id=delivery_stream(account, self._target, driver),
            originator_version=row.reports + 1,
            at=self._clock(),
            account=account,
            target=str(self._target),
            driver=driver,
            decision=attempt.delivery.decision,
            outcome=str(outcome),
            key=seen.key if seen else None,
            active=seen.active if seen else False,
            profile=dict(seen.profile) if seen else {},
            left=left,
            reason=str(reason),
            detail=detail,
            is_shown=is_shown,
        )
