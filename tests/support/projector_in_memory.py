"""The projector without a store: carries out the newest decision of each link, one call at a time."""

from dataclasses import dataclass
from datetime import datetime

from domain.account import Mode
from domain.driver_link import Confirmed, Decision, DeleteDecided, DeleteHeld, LinkEvent, Parked, RenameDecided
from domain.failures import Unavailable
from domain.identity import AccountId, Key, PortalDriverId, Target, delivery_stream
from domain.matching import ObservedDriver
from domain.outcomes import CallAnswered, Outcome
from domain.ports import Answer, Done, Exists, Missing
from domain.situations import Situation
from tests.support.target_in_memory import TargetInMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer in the words of a report."""

    outcome: Outcome
    seen: ObservedDriver | None = None
    left: Key | None = None
    reason: str = ""
    is_shown: bool = True


@dataclass(slots=True, kw_only=True)
class Delivery:
    """What the projector knows of one link: the decision that stands, the call under way, and how many it settled."""

    standing: Decision | None = None
    started: Decision | None = None
    is_lost: bool = False
    answers: int = 0
    reports: int = 0


class ProjectorInMemory:
    """Follows the decisions, calls the target, and queues what to report."""

    def __init__(self, target: TargetInMemory) -> None:
        self._target = target
        self.mode = Mode.OFF
        self.policy_generation = 0
        self.reports: list[CallAnswered] = []
        self._deliveries: dict[PortalDriverId, Delivery] = {}

    def follow(self, event: LinkEvent) -> None:
        """Take what was decided: only the newest decision of a link stands, and none once it is set aside."""
        delivery = self._deliveries.setdefault(PortalDriverId(event.driver), Delivery())
        if isinstance(event, Decision):
            delivery.standing = event
        elif isinstance(event, Parked | DeleteHeld) or (isinstance(event, Confirmed) and not event.decision):
            delivery.standing = None

    @property
    def due(self) -> list[PortalDriverId]:
        """The links with a decision that stands and is not void, and no call under way."""
        return sorted(driver for driver, each in self._deliveries.items() if not each.started and self._is_due(each))

    @property
    def under_way(self) -> list[PortalDriverId]:
        """The links with a call that was started, and is not settled."""
        return sorted(driver for driver, each in self._deliveries.items() if each.started)

    def start(self, driver: PortalDriverId) -> None:
        """Start the call that is due for this link."""
        delivery = self._deliveries[driver]
        delivery.started = delivery.standing

    def finish(self, driver: PortalDriverId, at: datetime, *, loses_answer: bool = False) -> None:
        """Let the call under way take effect, and report its answer; one that got lost is looked up the next time."""
        delivery = self._deliveries[driver]
        order = delivery.started
        assert order is not None
        said = self._carry_out(delivery, order)
        if said is not None and loses_answer:
            said = Said(outcome=Outcome.DEFERRED, reason="no_answer")
        delivery.is_lost = said is not None and loses_answer
        delivery.started = order if delivery.is_lost else None
        delivery.answers += said is not None and not delivery.is_lost
        if said is not None:
            self._report(delivery, order, said, at)

    def _is_due(self, delivery: Delivery) -> bool:
        order = delivery.standing
        if order is None or order.answers < delivery.answers or order.policy_generation != self.policy_generation:
            return False
        return self.mode is Mode.FULL or (self.mode is Mode.UPSERT and not _deletes(order))

    def _carry_out(self, delivery: Delivery, order: Decision) -> Said | None:
        if isinstance(order, DeleteDecided) and order.key is None:
            return Said(outcome=Outcome.CONFIRMED)
        settled = self._target.read_back(order) if delivery.is_lost else None
        if settled is None and delivery.is_lost and not (delivery.standing == order and self._is_due(delivery)):
            return None
        answer = settled or self._target.perform(order)
        if isinstance(answer, Done) and order.rationale.get("situation") == Situation.DRIFTED:
            answer = Done(seen=self._target.shown(answer.seen.key) or answer.seen)
        return _to_said(order, answer)

    def _report(self, delivery: Delivery, order: Decision, said: Said, at: datetime) -> None:
        delivery.reports += 1
        account, target, driver = AccountId(order.account), Target(order.target), PortalDriverId(order.driver)
        report = CallAnswered(
            originator_id=delivery_stream(account, target, driver),
            originator_version=delivery.reports,
            at=at,
            account=account,
            target=target,
            driver=driver,
            decision=order.originator_version,
            outcome=str(said.outcome),
            key=said.seen.key if said.seen else None,
            active=said.seen is not None and said.seen.active,
            profile=dict(said.seen.profile) if said.seen else {},
            left=said.left,
            reason=said.reason,
            detail="",
            is_shown=said.is_shown,
        )
        self.reports.append(report)


def _deletes(order: Decision) -> bool:
    return isinstance(order, DeleteDecided) and not order.is_withdrawal


def _to_said(order: Decision, answer: Answer) -> Said:
    match answer:
        case Done(seen=seen, is_shown=is_shown):
            left = Key(order.key) if isinstance(order, RenameDecided) and order.key and order.key != seen.key else None
            return Said(outcome=Outcome.CONFIRMED, seen=seen, left=left, is_shown=is_shown)
        case Exists(seen=seen):
            return Said(outcome=Outcome.EXISTS, seen=seen)
        case Missing(key=key):
            return Said(outcome=Outcome.MISSING, left=key)
        case Unavailable():
            return Said(outcome=Outcome.DEFERRED, reason=str(answer.reason))
    return Said(outcome=Outcome.REFUSED, reason=str(answer.reason))
