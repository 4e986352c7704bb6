"""Every service on real stores in a folder, with a twin for each account's target, one step at a time."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from adapters.store.sqlite import SqliteStore
from domain.account import Account, AccountEvent, Mode, Request, Tier
from domain.driver_link import DriverLink, LinkEvent
from domain.failures import Reason, Rejected
from domain.identity import AccountId, PortalDriverId, Target
from domain.ports import TargetDrivers
from domain.profile import DataSubject, Profile
from domain.store import Event, Store
from services.accounts.handlers import Accounts
from services.decider.batch import load_links
from services.decider.read_models import LinkRow
from services.intake.erasing import BegunErasure, Erasing, Erasure
from services.intake.handlers import Intake
from services.projector.calls import Attempt, Result
from services.projector.deliveries import MOST_CALLS
from services.projector.read_models import Driver
from services.projector.scanning import MOST_LOOK_UPS
from services.projector.service import ProjectorApp
from services.runtime.context import Assignment, log_of
from services.runtime.service import Notifier, Service
from services.wiring import registry
from services.wiring.embedded import open_keys
from services.wiring.rebuild import upgrade
from tests.support.made_stores import put_stores
from tests.support.stated import whole
from tests.support.target_twin import TargetTwin

ACME = AccountId("acme")
BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
MOST_ROUNDS = 60

Wrapping = Callable[[str, Store], Store]
"""What a service gets in place of its store."""


class SteppedServices:
    """Time passes by a second with every step. `twins` are the targets of each account; others cannot be reached.

    Calls are started by `start`, and with `starts_at_once` also when their decisions are consumed.
    Profiles in events are sealed where they are `is_sealed`.
    """

    def __init__(
        self,
        folder: Path,
        twins: Mapping[tuple[AccountId, Target], TargetTwin],
        *,
        wrapping: Wrapping = lambda _, store: store,
        now: datetime = BEGIN,
        starts_at_once: bool = False,
        is_sealed: bool = False,
    ) -> None:
        self.now = now
        self.twins = twins
        self.folder = folder
        self._wrapping = wrapping
        self._starts_at_once = starts_at_once
        self._begun: dict[Target, list[Attempt]] = {target: [] for target in Target}
        notifier = Notifier()
        put_stores(folder)
        self.keys = open_keys(folder, self.clock) if is_sealed else None
        opened = {
            name: SqliteStore(folder / f"{name}.sqlite", log_name=spec.log, rows=spec.rows, keys=self.keys)
            for name, spec in registry.SERVICES.items()
        }
        upgrade(opened, partition_of=None)
        stores = {name: wrapping(name, store) for name, store in opened.items()}
        self.accounts_store, self.intake_store = stores["accounts"], stores["intake"]
        self.decider_store = registry.SERVICES["decider"].caching(stores["decider"])
        self.projector_stores = {
            target: registry.SERVICES[f"projector-{target}"].caching(stores[f"projector-{target}"]) for target in Target
        }
        self.accounts = Accounts(self.accounts_store, self.clock)
        self.intake = Intake(self.intake_store, self.clock)
        self.destroyed: list[DataSubject] = []
        self.erasing = Erasing(self.intake_store, self.destroy)
        self.decider = registry.build_decider(
            self.decider_store, clock=self.clock, notifier=notifier, assignment=Assignment()
        )
        self.projectors = {
            target: registry.build_projector(
                store,
                target,
                connect=partial(self._connect, target),
                clock=self.clock,
                notifier=notifier,
                assignment=Assignment(),
                destroy=self.destroy,
                pause=self._pause,
            )
            for target, store in self.projector_stores.items()
        }
        logs = {log_of(store.log.name): store.log for store in stores.values()}
        for service in self.services.values():
            service.follow(logs[name] for name in service.consumes)

    @property
    def services(self) -> Mapping[str, Service]:
        """The services that follow streams, by name."""
        return {each.name: each for each in (self.decider, *(app.service for app in self.projectors.values()))}

    def clock(self) -> datetime:
        """The present moment, for every service."""
        return self.now

    def wait(self, **time: float) -> None:
        """Time passes."""
        self.now += timedelta(**time)

    def reopened(self) -> "SteppedServices":
        """The same, after the process was killed and started again; the twins know nothing of it."""
        self.close()
        again = SteppedServices(
            self.folder, self.twins, wrapping=self._wrapping, now=self.now, is_sealed=self.keys is not None
        )
        for app in again.projectors.values():
            app._deliveries.resume()
            app._probing.reload()
        return again

    def close(self) -> None:
        """Let go of the files."""
        for service in self.services.values():
            service.close()
        self.accounts_store.close()
        self.intake_store.close()
        if self.keys:
            self.keys.close()

    def add(
        self, account: AccountId = ACME, *, is_on: bool = True, mode: Mode = Mode.FULL, tier: Tier = Tier.PRO
    ) -> None:
        """The account is known; jane is its Master User, bob its account manager."""
        modes = dict.fromkeys(Target, mode)
        self.accounts.add(
            account,
            "operator",
            lambda person, known: person.add(known, tier=tier, master_user="jane", account_manager="bob", modes=modes),
        )
        if is_on:
            self.turn_on(account)

    def turn_on(self, account: AccountId = ACME) -> None:
        """Jane ticks Sync Drivers."""
        self.ask(lambda person, known: person.turn_on(known), account)

    def turn_off(self, account: AccountId = ACME) -> None:
        """Jane unticks Sync Drivers."""
        self.ask(lambda person, known: person.turn_off(known), account)

    def set_mode(self, target: Target, mode: Mode, account: AccountId = ACME) -> None:
        """Jane says how far synchronisation with a target may go."""
        self.ask(lambda person, known: person.set_mode(known, target, mode), account)

    def ask(self, asking: Callable[[Request, Account], tuple[AccountEvent, ...]], account: AccountId = ACME) -> None:
        """Jane asks something of an account."""
        self.accounts.ask(account, "jane", asking)

    def state(self, driver: str, profile: Profile, account: AccountId = ACME) -> None:
        """The Portal states a driver's whole profile."""
        self.intake.state(account, PortalDriverId(driver), whole(profile), source="api")

    def delete(self, *drivers: str, account: AccountId = ACME) -> None:
        """The Portal deletes these drivers."""
        for driver in drivers:
            self.intake.delete(account, PortalDriverId(driver), source="api")

    def erase(self, driver: str, account: AccountId = ACME) -> Erasure:
        """Jane erases a driver."""
        return self.erasing.erase(self.begun(driver, account))

    def begun(self, driver: str, account: AccountId = ACME) -> BegunErasure:
        """What is noted as Jane erases a driver."""
        return BegunErasure(
            account=account,
            driver=driver,
            at=self.now.isoformat(),
            by="jane",
            role="master_user",
            authenticated="",
            note="",
        )

    def destroy(self, subjects: Collection[DataSubject]) -> None:
        """The keys of these are destroyed."""
        self.destroyed.extend(subjects)
        if self.keys:
            self.keys.destroy(subjects)

    def decide(self) -> int:
        """The decider takes what there is, and does its chores; how much there was."""
        done = 0
        while step := self.decider.step():
            done += step
        self.wait(seconds=1)
        return done

    def follow(self, target: Target) -> int:
        """A projector takes what there is; how much there was."""
        deliveries, done = self.projectors[target]._deliveries, 0
        if self._starts_at_once:
            deliveries.begin_by(lambda calls: self._begun[target].extend(attempt for attempt, _ in calls))
        while step := self.projectors[target].service.step():
            done += step
        if self._starts_at_once:
            deliveries.begin_by(None)
        return done

    def scan(self, target: Target) -> int:
        """A projector scans the rosters that are due, and looks up the requested drivers; how much it reported."""
        app, log = self.projectors[target], self.projector_stores[target].log
        self.wait(seconds=1)
        scans, reported = [*app._scans.due()], log.end()
        self.wait(seconds=1)
        for scan in scans:
            asyncio.run(app._scanning.scan(scan))
        for row in app._scanning._reads.due((), MOST_LOOK_UPS):
            asyncio.run(app._scanning.read(row))
        return log.end() - reported

    def call(self, target: Target) -> int:
        """A projector makes the calls that are due, and stores the answers; how many."""
        attempts = self.start(target)
        self.answer(target, self.made(target, attempts))
        return len(attempts)

    def start(self, target: Target, room: int = MOST_CALLS, *busy: Driver) -> list[Attempt]:
        """A projector starts the calls that are due."""
        deliveries, begun = self.projectors[target]._deliveries, list[Attempt]()
        started = {attempt.driver for attempt in self._begun[target]}
        deliveries.under_way, deliveries.most_calls = {*busy, *started}, room + len(busy)
        deliveries.begin_by(lambda calls: begun.extend(attempt for attempt, _ in calls))
        deliveries.turn([])
        deliveries.begin_by(None)
        self.wait(seconds=1)
        begun, self._begun[target] = self._begun[target] + begun, []
        return begun

    def made(self, target: Target, attempts: Sequence[Attempt]) -> list[tuple[Attempt, Result]]:
        """The target has answered these calls, and no answer is stored yet."""
        return asyncio.run(_made(self.projectors[target], attempts)) if attempts else []

    def answer(self, target: Target, results: Sequence[tuple[Attempt, Result]]) -> None:
        """A projector stores these answers."""
        if results:
            self.projectors[target]._deliveries.turn(results)

    def probe(self, target: Target) -> int:
        """A projector asks for the accounts whose breakers are open, where it is time; how many it closed."""
        probing = self.projectors[target]._probing
        return sum(asyncio.run(probing.probe(account)) for account in probing.due())

    def project(self, target: Target) -> int:
        """A projector does everything once; how much there was."""
        return self.follow(target) + self.probe(target) + self.scan(target) + self.call(target)

    def run(self) -> None:
        """Everybody works until nothing is left to do now."""
        for _ in range(MOST_ROUNDS):
            if not self.decide() + sum(self.project(target) for target in Target):
                return
        raise AssertionError(f"not at rest after {MOST_ROUNDS} rounds")

    def link(self, driver: str, target: Target = Target.DRIVERI, account: AccountId = ACME) -> DriverLink:
        """A driver's link as it is now."""
        places = [(account, target, PortalDriverId(driver))]
        return load_links(self.decider_store, places)[account, target][PortalDriverId(driver)]

    def decided(self, target: Target | None = None) -> list[LinkEvent]:
        """Everything that was decided, in order."""
        events = logged(self.decider_store)
        return [each for each in events if isinstance(each, LinkEvent) and target in (None, each.target)]

    def facts(self, driver: str, target: Target = Target.DRIVERI) -> list[str]:
        """The names of the facts about one link, in order."""
        return [type(event).__name__ for event in self.decided(target) if event.driver == driver]

    def states(self, target: Target = Target.DRIVERI) -> dict[str, str]:
        """How each link stands."""
        rows = self.decider_store.select(LinkRow, {"target": str(target)}, order_by="driver")
        return {row.driver: row.state for row in rows}

    async def _pause(self, seconds: float) -> None:
        self.wait(seconds=seconds)

    def _connect(self, target: Target, account: AccountId) -> TargetDrivers | Rejected:
        twin = self.twins.get((account, target))
        return twin or Rejected(reason=Reason.NOT_CONFIGURED, detail=f"no credentials for {target}")


def both_targets(*accounts: AccountId) -> dict[tuple[AccountId, Target], TargetTwin]:
    """An empty twin of each target for each of these accounts, or for one."""
    return {(account, target): TargetTwin(target) for account in accounts or (ACME,) for target in Target}


def person(number: int, **changed: str) -> dict[str, str]:
    """A whole profile, of which nothing is shared with that of another number; a blank leaves a field out."""
    profile = {
        "first_name": f"First {number}",
        "last_name": f"Last {number}",
        "ref_id": f"R{number}",
        "driveri_driver_id": f"D{number}",
        "email": f"p{number}@fleet.test",
    }
    return {field: text for field, text in {**profile, **changed}.items() if text}


def logged(store: Store) -> list[Event]:
    """Every event of a store, in the order of commits."""
    return [record.event for record in store.log.read(0, 1_000_000) if record.event is not None]


async def _made(app: ProjectorApp, attempts: Sequence[Attempt]) -> list[tuple[Attempt, Result]]:
    return [await app._make_safely(attempt, app._deliveries._connected.to(attempt.driver[0])) for attempt in attempts]
