"""A successor starts from the logs behind a fence: nothing is done again, and what was unfinished is done once."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from adapters.portal.csv_export import ExportRow, read_export
from domain.identity import AccountId, Target
from domain.store import FILLED, DeadLetter, ReadModelVersion, Unit
from services.projector.deliveries import RESERVED_SLOTS
from services.projector.read_models import DeliveryRow
from services.runtime.context import ACCOUNTS, DECISIONS
from services.sandbox.sample import SAMPLE as FOLDER
from services.wiring import rebuild
from services.wiring.rebuild import Replayed, hand_over
from services.wiring.registry import SERVICES
from tests.support.stepped_services import ACME, SteppedServices, both_targets
from tests.support.target_twin import TargetTwin
from tests.unit.services.wiring.rebuilt import checked, opened_stores

DRIVERI = "projector-driveri"


_ROWS = (row for row in read_export(FOLDER / "portal-drivers.csv") if isinstance(row, ExportRow))
SAMPLE = {str(row.driver): dict(row.profile.fields) for row in islice(_ROWS, 9)}

Twins = dict[tuple[AccountId, Target], TargetTwin]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the predecessor left: the files, the targets with every call that reached them, and the time."""

    folder: Path
    twins: Twins
    now: datetime

    def copied(self, folder: Path) -> "Ended":
        """The same once more."""
        shutil.copytree(self.folder, folder)
        return Ended(folder=folder, twins=recording(self.twins), now=self.now)


def recording(twins: Twins) -> Twins:
    """The targets as they are now, recording what reaches them from now on, too."""
    copies = both_targets()
    for place, twin in twins.items():
        copies[place].drivers = deepcopy(twin.drivers)
        copies[place].called = list(twin.called)
    return copies


def play(services: SteppedServices) -> None:
    """Drivers of the sample fleet are synchronised, and all of them change."""
    services.add()
    for driver, profile in SAMPLE.items():
        services.state(driver, profile)
    services.run()
    for driver, profile in SAMPLE.items():
        services.state(driver, {**profile, "last_name": f"{profile['last_name']}-Roe"})
    services.decide()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Killed when Driveri has answered two calls and done two more, one has not reached it, and others are due."""
    folder = tmp_path_factory.mktemp("ended")
    services = SteppedServices(folder, both_targets())
    play(services)
    services.follow(Target.DRIVERI)
    attempts = services.start(Target.DRIVERI, RESERVED_SLOTS + 5)
    assert len(attempts) == 5
    services.answer(Target.DRIVERI, services.made(Target.DRIVERI, attempts[:2]))
    services.made(Target.DRIVERI, attempts[2:4])
    services.close()
    return Ended(folder=folder, twins=dict(services.twins), now=services.now)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Target, Counter[str]]:
    """What reaches the targets where nothing is killed."""
    services = SteppedServices(tmp_path_factory.mktemp("undisturbed"), both_targets())
    play(services)
    services.run()
    services.close()
    return writes(services.twins)


def writes(twins: Mapping[tuple[AccountId, Target], TargetTwin]) -> Mapping[Target, Counter[str]]:
    """Every call that a target has had and that could change something."""
    return {
        target: Counter(call for call in twins[ACME, target].called if not call.startswith("find")) for target in Target
    }


def go_live(ended: Ended) -> Mapping[Target, Counter[str]]:
    """The successor goes on; every call that the targets have had then."""
    services = SteppedServices(ended.folder, ended.twins, now=ended.now)
    for app in services.projectors.values():
        app._deliveries.resume()
    services.run()
    assert set(services.states().values()) == {"in_sync"}
    assert services.decider_store.count(DeadLetter) == {(): 0}
    services.close()
    return writes(ended.twins)


def test_nothing_is_done_again_and_what_was_unfinished_is_done_once(
    ended: Ended, undisturbed: Mapping[Target, Counter[str]], tmp_path: Path
) -> None:
    copy = ended.copied(tmp_path / "data")
    called = len(copy.twins[ACME, Target.DRIVERI].called)
    with opened_stores(copy.folder) as stores:
        done = hand_over(stores, DRIVERI, partition_of=None)
        decided = [record.event for record in stores["decider"].log.read(0, 10_000)]
    assert len(copy.twins[ACME, Target.DRIVERI].called) == called
    assert done.replayed[DECISIONS] == Replayed(events=len(decided), mark=len(decided))
    assert done.unfinished == len(SAMPLE) - 2
    assert go_live(copy) == undisturbed
    assert checked(copy.folder) == []


class Watched:
    """A store that reports before and after everything that changes it."""

    def __init__(self, store: Any, tell: Callable[[], None]) -> None:  # noqa: ANN401 - whatever it is
        self._store = store
        self._tell = tell

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        found = getattr(self._store, name)
        if name not in ("begin_beside", "put_beside", "end_beside", "drop_beside", "commit"):
            return found

        def called(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
            self._tell()
            result = found(*arguments, **named)
            self._tell()
            return result

        return called


@pytest.mark.parametrize("again", [True, False], ids=["handed over again", "gone live as it was left"])
def test_after_a_kill_at_any_moment_of_the_handover_it_is_the_same(
    ended: Ended, undisturbed: Mapping[Target, Counter[str]], tmp_path: Path, *, again: bool
) -> None:
    live, numbers = ended.copied(tmp_path / "live"), count()
    with opened_stores(live.folder) as stores:

        def leave() -> None:
            shutil.copytree(live.folder, tmp_path / str(next(numbers)))

        watched = {**stores, DRIVERI: Watched(stores[DRIVERI], leave)}
        hand_over(watched, DRIVERI, partition_of=None)
    moments = next(numbers)
    assert moments > 8
    for number in range(moments):
        killed = Ended(folder=tmp_path / str(number), twins=recording(ended.twins), now=ended.now)
        if again:
            with opened_stores(killed.folder) as stores:
                hand_over(stores, DRIVERI, partition_of=None)
        assert go_live(killed) == undisturbed, number


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The projector of Driveri is new in this version, and what was decided before is not for it."""
    new = replace(SERVICES[DRIVERI], begins_behind_fence=True)
    monkeypatch.setattr(rebuild, "SERVICES", MappingProxyType({**SERVICES, DRIVERI: new}))


@pytest.mark.usefixtures("arriving")
def test_a_new_consumer_replays_what_there_is_and_goes_live_behind_it(ended: Ended, tmp_path: Path) -> None:
    copy = ended.copied(tmp_path / "data")
    for file in copy.folder.glob(f"{DRIVERI}.sqlite*"):
        file.unlink()
    with opened_stores(copy.folder) as stores:
        store = stores[DRIVERI]
        ends = {log: stores[name].log.end() for log, name in ((DECISIONS, "decider"), (ACCOUNTS, "accounts"))}
        assert {log: store.position(f"{log}/0") for log in ends} == ends
        assert store.count(DeliveryRow) == {(): len(SAMPLE)}
        assert store.count(DeliveryRow, {"due": FILLED}) == {(): 0}
    twins = both_targets()
    services = SteppedServices(copy.folder, twins, now=copy.now)
    services.follow(Target.DRIVERI)
    assert services.start(Target.DRIVERI) == []
    driver, profile = next(iter(SAMPLE.items()))
    services.state(driver, {**profile, "last_name": "Later"})
    services.decide()
    services.follow(Target.DRIVERI)
    assert [attempt.driver[1] for attempt in services.start(Target.DRIVERI)] == [driver]
    services.close()


@pytest.mark.usefixtures("arriving")
def test_a_service_that_is_not_new_never_begins_behind_a_fence(ended: Ended, tmp_path: Path) -> None:
    copy = ended.copied(tmp_path / "data")
    with opened_stores(copy.folder) as stores:
        before = stores[DRIVERI].position(f"{DECISIONS}/0")
        unit = Unit()
        unit.keep(ReadModelVersion(name=row.TABLE, version="0") for row in SERVICES[DRIVERI].tables)
        stores[DRIVERI].commit(unit)
    with opened_stores(copy.folder) as stores:
        assert stores[DRIVERI].position(f"{DECISIONS}/0") == before


def test_a_fence_is_in_every_partition_where_there_are_several(ended: Ended, tmp_path: Path) -> None:
    copy = ended.copied(tmp_path / "data")
    for file in copy.folder.glob(f"{DRIVERI}.sqlite*"):
        file.unlink()
    with opened_stores(copy.folder) as stores:
        fence = {DECISIONS: stores["decider"].log.end(), ACCOUNTS: 0}
        models = {DRIVERI: SERVICES[DRIVERI].read_models}
        rebuild.rebuild(stores, models, partition_of=lambda _: 2, fences={DRIVERI: fence}, partitions=3)
        store = stores[DRIVERI]
        assert [store.position(f"{DECISIONS}/{number}") for number in range(4)] == [*[fence[DECISIONS]] * 3, 0]
        assert store.position(f"{ACCOUNTS}/0") == 0
        assert store.count(DeliveryRow) == {(): len(SAMPLE)}
