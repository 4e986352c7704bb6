"""As of any position of whatever history, everything is as it was answered live there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import PortalDriverId, Target
from domain.store import Store, Stored
from services.api.as_of import Logs, Marks, marks_at, rewind
from services.api.driver_details import details
from services.api.explanations import explain
from services.api.status import status
from services.decider.read_models import READ_MODELS
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, outcomes_of
from services.wiring.registry import open_dry_run
from tests.support.examples import examples
from tests.support.stepped_services import ACME, SteppedServices
from tests.unit.services.wiring.days import Day, Happening, happenings

_DRIVERS = [PortalDriverId(f"p{number}") for number in range(1, 5)]
_EPOCH = "/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was answered live at a position, and what followed from the logs up to there."""

    marks: Marks
    fleet: object
    tables: Mapping[str, Sequence[Stored]]
    drivers: Mapping[PortalDriverId, object] | None


def logs_of(services: SteppedServices) -> Logs:
    """The stores by their logs."""
    targets = {outcomes_of(target): services.projector_stores[target] for target in Target}
    return {
        DECISIONS: services.decider_store,
        ACCOUNTS: services.accounts_store,
        CHANGES: services.intake_store,
        **targets,
    }


def answered(services: SteppedServices) -> Answered:
    """What is answered now. Of single drivers only where the decider has consumed everything."""
    logs, decider = logs_of(services), services.decider_store
    marks = {name: decider.position(f"{name}{_EPOCH}") for name in logs} | {DECISIONS: decider.log.end()}
    is_whole = all(store.log.end() == marks[name] for name, store in logs.items())
    stores = {"accounts": services.accounts_store, "intake": services.intake_store, "decider": decider}
    return Answered(
        marks=marks,
        fleet=fleet_of(decider),
        tables=tables_of(decider),
        drivers={driver: driver_of(driver, **stores) for driver in _DRIVERS} if is_whole else None,
    )


def fleet_of(decider: Store) -> object:
    """How the account stands; that a reconciliation goes on is work in hand, and in no log."""
    found = status(decider, [ACME])
    return [
        each.model_copy(
            update={"targets": [target.model_copy(update={"is_reconciling": False}) for target in each.targets]}
        )
        for each in found
    ]


def tables_of(decider: Store) -> Mapping[str, Sequence[Stored]]:
    """Every row that the decider keeps of the logs."""
    return {row.TABLE: [*decider.scan(row)] for model in READ_MODELS for row in model.tables}


def driver_of(driver: PortalDriverId, **stores: Any) -> object:  # noqa: ANN401 - the stores
    """One driver, explained and whole."""
    return explain(ACME, driver, **stores), details(ACME, driver, **stores, projectors={})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new folder after the other."""
    return map(partial(_made, tmp_path_factory.mktemp("pasts")), count())


def _made(root: Path, number: int) -> Path:
    folder = root / str(number)
    folder.mkdir()
    return folder


@examples(3, many=100)
@given(happened=happenings, rests=st.booleans())
def test_as_of_every_position_is_as_it_was_live(
    folders: Iterator[Path], happened: Sequence[Happening], *, rests: bool
) -> None:
    day = Day(next(folders))
    services = day.services
    services.add()
    services.run()
    live = [answered(services)]
    moments = [services.now]
    for each in happened:
        services.wait(seconds=1)
        each(day)
        if rests:
            services.run()
        live.append(answered(services))
        moments.append(services.now)
    logs = logs_of(services)
    for then, moment in zip(live, moments, strict=True):
        with open_dry_run() as past:
            assert sum(rewind(past, logs, ACME, then.marks)) == past.log.end()
            assert tables_of(past) == then.tables
            assert fleet_of(past) == then.fleet
        if then.drivers is None:
            continue
        assert marks_at(logs, moment) == then.marks
        for driver, known in then.drivers.items():
            with open_dry_run() as past:
                [*rewind(past, logs, ACME, then.marks, driver)]
                assert driver_of(driver, accounts=past, intake=past, decider=past) == known
    services.close()
