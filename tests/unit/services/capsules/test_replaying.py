"""Any history is decided the same when its capsules are replayed, masked, in another place."""

import asyncio
import random
from contextlib import closing
from pathlib import Path

import pytest

from domain.identity import AccountId, PortalDriverId, Target
from services.capsules.calling import ReplayedCall
from services.capsules.capsule import encoded, read
from services.capsules.gathering import gather
from services.capsules.masking import masked
from services.capsules.replay import replay_whole
from services.decider.order import BatchRow
from services.runtime.context import log_of
from tests.support.stepped_services import ACME, SteppedServices, both_targets
from tests.unit.services.decider.test_backtest import Story

OTHER = AccountId("other")
SEEDS = [7, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, 30))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_driver_of_a_random_history_is_decided_as_it_was(tmp_path: Path, seed: int) -> None:
    decided = called = 0
    with closing(SteppedServices(tmp_path, both_targets(ACME, OTHER))) as fleet:
        Story(fleet, seed).tell(110)
        stores = [fleet.decider_store, fleet.accounts_store, fleet.intake_store, *fleet.projector_stores.values()]
        logs = {log_of(store.log.name): store for store in stores}
        for number in range(1, 9):
            raw = gather(logs, ACME, PortalDriverId(f"p{number}"), made_by="test", now=fleet.now)
            capsule = read(b"".join(encoded(masked(raw, random.Random(seed)))))  # noqa: S311 - the same each time
            assert capsule.unordered == 0
            steps = asyncio.run(replay_whole(capsule))
            assert [each for each in steps if not each.is_equal] == []
            decided += sum(not isinstance(each, ReplayedCall) for each in steps)
            called += sum(isinstance(each, ReplayedCall) for each in steps)
    assert decided > 20
    assert called > 8


def test_other_drivers_of_a_large_account_are_not_in_it(fleet: SteppedServices) -> None:
    fleet.add()
    for number in range(1, 40):
        profile = {"first_name": "A", "last_name": "B", "driveri_driver_id": f"D{number}", "ref_id": f"R{number}"}
        fleet.state(f"p{number}", profile)
    fleet.run()
    stores = [fleet.decider_store, fleet.accounts_store, fleet.intake_store, *fleet.projector_stores.values()]
    logs = {log_of(store.log.name): store for store in stores}
    capsule = gather(logs, ACME, PortalDriverId("p7"), made_by="test", now=fleet.now)
    assert capsule.others() == 0
    assert sum(map(len, capsule.facts.values())) < 20
    handled = [at for each in capsule.batches for at in each.handled]
    assert len(handled) < 20 < sum(len(each.handled) for each in fleet.decider_store.select(BatchRow))
    answered = [each for target in Target for _, each in capsule.facts[f"targets.outcomes.v1.{target}"]]
    assert {getattr(each, "driver", "p7") for each in answered} == {"p7"}
