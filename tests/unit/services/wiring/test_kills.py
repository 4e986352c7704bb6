"""A kill at any moment loses nothing and repeats nothing: the files as each moment leaves them, opened again."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from domain.account import NotPermitted
from domain.driver_link import Decision
from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from domain.store import DeadLetter, Store, Unit
from services.intake.handlers import UnknownDriver
from services.runtime.context import Clock
from tests.support.stepped_services import ACME, BEGIN, SteppedServices, both_targets, person
from tests.support.target_twin import Moment, TargetTwin

Twins = dict[tuple[AccountId, Target], TargetTwin]


def begin(services: SteppedServices) -> None:
    """A fleet of three opts in; one of them is in Driveri already."""
    with suppress(NotPermitted):
        services.add()
    services.turn_on()
    for number in (1, 2, 3):
        services.state(f"p{number}", person(number))


def change(services: SteppedServices) -> None:
    """Two drivers exchange their ids, one leaves, one comes, and one gets another name."""
    services.state("p1", person(1, driveri_driver_id="D2"))
    services.state("p2", person(2, driveri_driver_id="D1", last_name="Roe"))
    with suppress(UnknownDriver):
        services.delete("p3")
    services.state("p4", person(4))


PHASES = (begin, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What a kill leaves: the files, the targets, the time, and how far the Portal was."""

    folder: Path
    twins: Twins
    now: datetime
    phase: int


class Watched:
    """A store that reports when something was committed."""

    def __init__(self, store: Store, tell: Callable[[], None]) -> None:
        self._store = store
        self._tell = tell

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, unit: Unit) -> bool:
        is_stored = self._store.commit(unit)
        self._tell()
        return is_stored


class Run:
    """The whole way of some changes, with a copy of everything at each moment that a kill could hit."""

    def __init__(self, root: Path, *, starts_at_once: bool) -> None:
        self.moments: list[Killed] = []
        self._root = root
        self._numbers = count()
        self._phase = 0
        self.twins = with_a_driver()
        for twin in self.twins.values():
            twin.touched = self._touched
        self._clock: Clock = lambda: BEGIN
        self.services = SteppedServices(
            folder(root / "live"), self.twins, wrapping=self._watched, starts_at_once=starts_at_once
        )
        self._clock = self.services.clock
        for app in self.services.projectors.values():
            app._deliveries.resume()
        for self._phase, phase in enumerate(PHASES):
            phase(self.services)
            rest(self.services)

    def _watched(self, _: str, store: Store) -> Store:
        return Watched(store, self._leave)  # type: ignore[return-value]

    def _touched(self, _: str, moment: Moment) -> None:
        if moment == "after":
            self._leave()

    def _leave(self) -> None:
        copy = self._root / str(next(self._numbers))
        shutil.copytree(self._root / "live", copy)
        twins = with_a_driver()
        for place, twin in self.twins.items():
            twins[place].drivers = deepcopy(twin.drivers)
            twins[place].effects = list(twin.effects)
        self.moments.append(Killed(folder=copy, twins=twins, now=self._clock(), phase=self._phase))


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def with_a_driver() -> Twins:
    twins = both_targets()
    there = ObservedDriver(key=Key("D2"), active=True, profile={"first_name": "Old", "last_name": "Name"})
    twins[ACME, Target.DRIVERI].drivers.put(there)
    return twins


def rest(services: SteppedServices) -> None:
    """Work until nothing is left to do, also not later."""
    for _ in range(2):
        services.run()
        services.wait(minutes=10)


def recovered(killed: Killed) -> SteppedServices:
    """Everybody starts again; the Portal repeats what was not accepted, and goes on."""
    services = SteppedServices(killed.folder, killed.twins, now=killed.now)
    for app in services.projectors.values():
        app._deliveries.resume()
    for phase in PHASES[killed.phase :]:
        phase(services)
        rest(services)
    return services


def decided(services: SteppedServices) -> Counter[tuple[str, str, str]]:
    """How often each change was decided for each target."""
    changes = (event for event in services.decided() if isinstance(event, Decision))
    return Counter(
        (event.target, event.driver, event.rationale["ref"])
        for event in changes
        if event.rationale["trigger"] == "change"
    )


def agreed(services: SteppedServices, target: Target) -> list[ObservedDriver]:
    """Everybody as the target shows them; no link waits for anything."""
    assert set(services.states(target).values()) == {"in_sync", "ended"}
    return services.twins[ACME, target].drivers.scan()


@pytest.fixture(scope="module", params=[False, True], ids=["started apart", "started with decisions"])
def run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Run]:
    """An undisturbed run, in which the starts of calls are stored apart, or with their decisions."""
    run = Run(tmp_path_factory.mktemp("run"), starts_at_once=request.param)
    yield run
    run.services.close()


def test_the_undisturbed_run_ends_in_agreement(run: Run) -> None:
    shown = {
        driver.profile["last_name"]: (driver.key, driver.active) for driver in agreed(run.services, Target.DRIVERI)
    }
    assert shown == {"Last 1": ("D2", True), "Roe": ("D1", True), "Last 3": ("D3", False), "Last 4": ("D4", True)}
    assert len(run.moments) > 60


def test_after_a_kill_at_any_moment_everything_ends_as_if_there_had_been_none(run: Run) -> None:
    expected = {target: agreed(run.services, target) for target in Target}
    for number, killed in enumerate(run.moments):
        services = recovered(killed)
        for target in Target:
            assert agreed(services, target) == expected[target], number
            effects = Counter(services.twins[ACME, target].effects)
            assert effects == Counter(run.twins[ACME, target].effects), number
        assert max(decided(services).values()) == 1, number
        assert decided(services) == decided(run.services), number
        assert services.decider_store.count(DeadLetter) == {(): 0}, number
        services.close()
