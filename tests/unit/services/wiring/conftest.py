import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.identity import AccountId, Key, Target
from services.decider import read_models as decider
from services.runtime import read_models
from services.wiring import rebuild
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person

OTHER = AccountId("other")


@pytest.fixture(scope="module", autouse=True)
def small_pages() -> Iterator[None]:
    """Pages so small that what belongs together is spread over many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "_PAGE", 3)
        patch.setattr(read_models, "MOST_ROWS", 30)
        patch.setattr(decider, "MOST_LINKS", 3)
        yield


def edit_by_hand(services: SteppedServices) -> None:
    """Somebody renames a driver on Driveri."""
    drivers = services.twins[ACME, Target.DRIVERI].drivers
    shown = drivers.shown(Key("D4"))
    assert shown is not None
    drivers.put(replace(shown, profile={**shown.profile, "last_name": "Roe"}))


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of two accounts after a busy day; some work is still in hand."""
    folder = tmp_path_factory.mktemp("played")
    services = SteppedServices(folder, both_targets(ACME))
    services.add(ACME)
    services.add(OTHER)
    for number in range(1, 9):
        services.state(f"p{number}", person(number))
    services.state("p1", person(1), OTHER)
    services.run()
    services.state("p1", person(1, driveri_driver_id="D2"))
    services.state("p2", person(2, driveri_driver_id="D1"))
    services.state("p3", person(3, email="p4@fleet.test"))
    services.delete("p5", "p6", "p7", "p8")
    services.run()
    for _ in range(2):
        edit_by_hand(services)
        services.ask(lambda jane, known: jane.reconciliation(known, Target.DRIVERI))
        services.run()
    services.state("p9", person(9))
    services.state("p10", person(10))
    services.decide()
    services.project(Target.DRIVERI)
    services.follow(Target.MOTIVE)
    services.start(Target.MOTIVE)
    services.close()
    return folder


@pytest.fixture
def folder(played: Path, tmp_path: Path) -> Path:
    """A copy of these files."""
    copy = tmp_path / "data"
    shutil.copytree(played, copy)
    return copy
