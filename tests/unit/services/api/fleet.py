"""The stepped services of one account, as its people see them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from domain.account import DeletesApproved, DeletesJudged, Mode, Tier
from domain.driver_link import Decision, DeleteDecided, DriverLink
from domain.failures import CallFailure, Reason
from domain.identity import (
    Key,
    PortalDriverId,
    Target,
    breaker_stream,
    delivery_stream,
    link_stream,
    scan_stream,
)
from domain.matching import UnreadableRecord, UnreadableRecords
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    DriverLookedUp,
    Outcome,
    ReportEvent,
    ReportOrigin,
)
from domain.ports import Answer, Done, PortalLine
from domain.store import Event, Unit
from services.accounts.handlers import AccountChange
from services.api.approvals import HeldSet, held
from services.api.driver_states import DriverState
from services.api.explanations import Explanation, explain
from services.decider.batch import load_links
from services.decider.read_models import LinkRow
from services.projector.breaker import Breakers
from services.projector.calls import Attempt, Withdrawn
from services.projector.deliveries import Outcomes
from services.projector.read_models import DeliveryRow, to_delivery
from services.projector.scans import Freshness, RosterScan, Scans
from services.runtime.context import Assignment
from tests.support.stated import whole
from tests.support.stepped_services import ACME, SteppedServices, both_targets

JANE = {"first_name": "Jane", "last_name": "Doe", "ref_id": "R1", "driveri_driver_id": "D1"}


class Fleet:
    """The stepped services of one account, whose decisions a test answers itself; everything takes a minute.

    `accounts`, `intake`, `decider` and `reports` are their stores, `targets` the drivers that each target has.
    """

    def __init__(self, folder: Path) -> None:
        self._services = services = SteppedServices(folder, both_targets(), now=datetime(2026, 3, 1, 8, tzinfo=UTC))
        self.accounts, self.intake = services.accounts_store, services.intake_store
        self.decider, self.reports = services.decider_store, services.projector_stores
        self.targets = {target: services.twins[ACME, target].drivers for target in Target}
        self.portal = services.intake
        self.clock = services.clock
        self.close = services.close

    @property
    def now(self) -> datetime:
        """The present moment, for every service."""
        return self._services.now

    def later(self) -> None:
        """A minute passes."""
        self._services.wait(minutes=1)

    def add(self, tier: Tier = Tier.PRO) -> None:
        """The account is known; jane is its Master User, bob its account manager."""
        self.add_only(tier)
        self.decide()

    def add_only(self, tier: Tier = Tier.PRO) -> None:
        """The account was added, and the decider does not know yet."""
        self._services.add(is_on=False, tier=tier)

    def ask(self, by: str, asking: AccountChange) -> None:
        """Somebody asks something of the account."""
        self._services.accounts.ask(ACME, by, asking)
        self.decide()

    def request(self, target: Target) -> int:
        """At which version of the account a reconciliation of everybody was last requested."""
        return self._services.accounts.show(ACME).reconciliations.get(target, 0)

    def turn_on(self) -> None:
        self.ask("jane", lambda person, known: person.turn_on(known))

    def turn_off(self) -> None:
        self.ask("jane", lambda person, known: person.turn_off(known))

    def set_mode(self, target: Target, mode: Mode) -> None:
        self.ask("jane", lambda person, known: person.set_mode(known, target, mode))

    def start(self, *drivers: str) -> None:
        """Sync is on and everybody is in sync; these drivers have DriverIDs and RefIDs such as D1 and R1."""
        self.add()
        for driver in drivers:
            self.state(driver, first_name="Jane", last_name="Doe", ref_id=f"R{driver}", driveri_driver_id=f"D{driver}")
        self.turn_on()
        self.scan()
        self.settle()

    def state(self, driver: str, **profile: str) -> None:
        """The Portal states a driver's whole profile."""
        self.portal.state(ACME, PortalDriverId(driver), whole(profile), source="export")
        self.decide()

    def delete(self, *drivers: str) -> None:
        """The Portal deletes these drivers."""
        for driver in drivers:
            self.portal.delete(ACME, PortalDriverId(driver), source="export")
        self.decide()

    def take_snapshot(self, name: str, *drivers: str) -> None:
        """A complete list shows these drivers as they were stated last."""
        known = [self.portal.show(ACME, PortalDriverId(driver)) for driver in drivers]
        stated = [PortalLine(line=1, driver=each.driver, profile=whole(each.profile or {})) for each in known]
        self.portal.take_list(ACME, stated, source="export", snapshot=name)
        self.portal.finish_snapshot(ACME, source="export", snapshot=name, refused=[])
        self.decide()

    def scan(self, *targets: Target, unreadable: Iterable[UnreadableRecord] = ()) -> None:
        """The rosters of these targets, or of all, are read, but for these records."""
        records = UnreadableRecords()
        records.add(unreadable)
        for target in targets or Target:
            shown = self.targets[target].scan()
            scans, scan = self._scan(target)
            there = {driver.key for driver in shown}
            scans.take_page(scan, shown)
            gone = [Key(row.key) for row in scans.known(scan, None) if row.is_there and row.key not in there]
            scans.take_gone(scan, gone)
            scans.complete(scan, there, records)
        self.decide()

    def look_up(self, target: Target, driver: str, request: int) -> None:
        """A driver is looked up by the key of its link, because of the request of this version."""
        shown = next(each for each in self.targets[target].scan() if each.key == self.link(target, driver).key)
        scans, scan = self._scan(target)
        scans.take_page(scan, [shown])
        origin = self._origin(target, scan_stream(ACME, target))
        self._report(target, DriverLookedUp(**origin, driver=driver, request=request, reason="", detail=""))

    def fail_scan(self, target: Target, failure: CallFailure) -> None:
        """The roster of this target cannot be read."""
        scans, scan = self._scan(target)
        scans.fail(scan, failure)
        self.decide()

    def open_breaker(self, target: Target, reason: Reason, detail: str) -> datetime:
        """No calls are made to this target from now on; since when."""
        at = self.now
        history = breaker_stream(ACME, target)
        self._report(target, BreakerOpened(**self._origin(target, history), reason=str(reason), detail=detail))
        return at

    def close_breaker(self, target: Target) -> None:
        """Calls are made to this target again."""
        self._report(target, BreakerClosed(**self._origin(target, breaker_stream(ACME, target))))

    def give_up(self, target: Target, decision: Decision, reason: Reason) -> None:
        """A decision was tried as often as any is, and this target did not carry it out."""
        history = delivery_stream(ACME, target, PortalDriverId(decision.driver))
        answered = CallAnswered(
            **self._origin(target, history),
            driver=decision.driver,
            decision=decision.originator_version,
            outcome=str(Outcome.REFUSED),
            key=None,
            active=False,
            profile={},
            left=None,
            reason=str(reason),
            detail="given up after 6 tries",
        )
        self._report(target, answered)

    def decide(self) -> None:
        """The decider takes what there is, and no call is made."""
        self._services.decide()
        self._services.wait(seconds=59)

    def settle(self) -> None:
        """Calls are made and decided on until nothing is left to do."""
        while pending := [(target, decision) for target in Target for decision in self.pending(target)]:
            for target, decision in pending:
                self.answer(target, decision, self._perform(target, decision))

    def settle_once(self, target: Target) -> None:
        """Each pending decision of this target is answered once."""
        for decision in self.pending(target):
            self.answer(target, decision, self._perform(target, decision))

    def pending(self, target: Target) -> list[Decision]:
        """The decisions that wait for an answer of this target."""
        rows = self.decider.select(LinkRow, {"target": str(target), "state": "pending"}, order_by="driver")
        links = load_links(self.decider, ((ACME, target, PortalDriverId(row.driver)) for row in rows))
        return [link.pending for link in links.get((ACME, target), {}).values() if link.pending]

    def answer(self, target: Target, decision: Decision, answer: Answer | Withdrawn) -> None:
        """The target answers a decision so."""
        attempt = Attempt(driver=(ACME, PortalDriverId(decision.driver)), delivery=to_delivery(decision))
        known = self.reports[target].select(DeliveryRow, {"account": ACME, "driver": decision.driver})
        row = known[0] if known else DeliveryRow(account=ACME, driver=decision.driver)
        version, unit, breakers = decision.originator_version, Unit(), self._breakers(target)
        started = Unit()
        started.keep([replace(row, version=version, body=attempt.delivery.to_json(), started=version)])
        self.reports[target].commit(started)
        Outcomes(self.reports[target], target, self.clock, breakers, Freshness()).add(unit, [(attempt, answer)])
        breakers.commit(unit)
        self.decide()

    def judge(self, target: Target, verdict: type[DeletesJudged] = DeletesApproved) -> HeldSet:
        """Jane approves or rejects what is held on this target."""
        chosen = next(each for each in self.held() if each.target == target)
        self.judge_set(chosen, verdict)
        return chosen

    def judge_set(self, chosen: HeldSet, verdict: type[DeletesJudged] = DeletesApproved) -> None:
        """Jane approves or rejects a set that she has seen."""
        holds: list[list[str | int]] = [[each.driver, each.hold] for each in chosen.drivers]
        target = Target(chosen.target)
        self.ask(
            "jane",
            lambda person, known: person.judge(known, verdict, target=target, digest=chosen.digest, holds=holds),
        )

    def held(self) -> list[HeldSet]:
        return held(self.decider, ACME)

    def link(self, target: Target, driver: str = "1") -> DriverLink:
        """A driver's link as it is now."""
        return self._services.link(driver, target)

    def decided(self, target: Target, driver: str = "1") -> Sequence[Event]:
        """Every fact of a driver's link."""
        history = link_stream(ACME, target, PortalDriverId(driver))
        return self.decider.histories([history])[history]

    def explain(self, driver: str = "1") -> Explanation:
        return explain(ACME, PortalDriverId(driver), accounts=self.accounts, intake=self.intake, decider=self.decider)

    def state_on(self, target: Target, driver: str = "1") -> DriverState:
        return next(each for each in self.explain(driver).states if each.target == target)

    def facts(self, where: str, driver: str = "1") -> list[str]:
        """What the timeline shows of this place."""
        return [entry.fact for entry in self.explain(driver).timeline if entry.where == where]

    def why(self, where: str, version: int, driver: str = "1") -> tuple[str, ...]:
        """Why the fact of this number came about."""
        entries = self.explain(driver).timeline
        return next(entry.why for entry in entries if (entry.where, entry.version) == (where, version))

    def _origin(self, target: Target, history: UUID) -> ReportOrigin:
        """The fields that the next report of this history starts with."""
        return {
            "originator_id": history,
            "originator_version": len(self.reports[target].histories([history])[history]) + 1,
            "at": self.now,
            "account": ACME,
            "target": str(target),
        }

    def _report(self, target: Target, report: ReportEvent) -> None:
        self.reports[target].commit(Unit(events=[report]))
        self.decide()

    def _breakers(self, target: Target) -> Breakers:
        return Breakers(self.reports[target], target, self.clock, Assignment())

    def _scan(self, target: Target) -> tuple[Scans, RosterScan]:
        policy_generation = self._services.accounts.show(ACME).policy_generation.get(target, 0)
        scan = RosterScan(
            account=ACME, policy_generation=policy_generation, request=self.request(target), began=self.now
        )
        self.later()
        return Scans(self.reports[target], target, self.clock, Assignment(), self._breakers(target), Freshness()), scan

    def _perform(self, target: Target, decision: Decision) -> Answer | Withdrawn:
        if isinstance(decision, DeleteDecided) and decision.key is None:
            return Withdrawn()
        answer = self.targets[target].perform(decision)
        shown = self.targets[target].shown(answer.seen.key) if isinstance(answer, Done) else None
        return Done(seen=shown) if shown and to_delivery(decision).is_override else answer
