import asyncio
from collections.abc import Mapping, Sequence
from itertools import count

import httpx
import pytest

from domain.identity import Target
from domain.matching import ObservedDriver, to_desired
from domain.ports import TargetDrivers
from domain.profile import to_change
from tests.benchmarks.fleet import Fleet, many_fleets, number_of, profile
from tests.benchmarks.load import Load, Run
from tests.benchmarks.projecting import Counting, to_drivers
from tests.benchmarks.stand_in import standing_in

RATE = 20
"""Changes a second, of two drivers: each is changed ten times."""


class ByHand:
    """A pipeline that asks both targets itself; Motive only for every second change of a driver."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._seconds = count()

    def commit(self, fleet: Fleet, number: int, edition: int) -> None:
        stated = profile(number, edition=edition)
        path = f"/v1/tenants/{fleet.account}/drivers/{stated['driveri_driver_id']}"
        self._client.put(path, json={"lastName": stated["last_name"]}).raise_for_status()
        if edition % 2:
            headers, body = {"X-Api-Key": fleet.account}, {"last_name": stated["last_name"]}
            self._client.put(f"/v1/users/{number}", json=body, headers=headers).raise_for_status()

    def seconds(self) -> Mapping[str, float]:
        """A second more at each look."""
        return {"only": float(next(self._seconds))}


def ran(backlog: Sequence[float], rate: float = 100.0) -> Run:
    return Run(asked=100.0, rate=rate, changes=600, latencies={}, used={}, backlog=backlog)


@pytest.mark.parametrize(
    ("backlog", "rate", "steady"),
    [
        ([4.0, 5.0, 4.0, 5.0, 4.0, 5.0], 100.0, True),
        ([4.0, 14.0, 24.0, 34.0, 44.0, 54.0], 100.0, False),
        ([60.0, 60.0, 60.0, 60.0, 60.0, 60.0], 100.0, True),
        ([4.0, 5.0, 4.0, 5.0, 4.0, 5.0], 90.0, False),
    ],
    ids=["a short backlog that stays", "a backlog that grows", "a long backlog that stays", "a client too slow"],
)
def test_a_rate_is_steady_where_it_is_held_and_the_backlog_does_not_grow(
    backlog: Sequence[float],
    rate: float,
    steady: bool,  # noqa: FBT001 - what is told apart
) -> None:
    assert ran(backlog, rate).is_steady is steady


def test_a_change_has_arrived_with_the_later_one_that_took_its_place() -> None:
    with standing_in(2) as targets, httpx.Client(base_url=targets.url) as client:
        run = Load(ByHand(client), targets, many_fleets(1, 2)).run(RATE, 1.0)
    driveri, motive = (run.latencies[target] for target in Target)
    assert len(driveri) == len(motive) == RATE
    assert max(driveri) < 0 < max(motive)
    assert run.processor_time == pytest.approx(1000 / run.changes)
    assert run.changes == 3 * RATE


@pytest.mark.parametrize("target", Target)
def test_the_stand_in_has_every_driver_as_the_portal_states_them(target: Target) -> None:
    (fleet,) = many_fleets(1, 450)
    with standing_in(450) as targets:
        shown = asyncio.run(scanned(to_drivers(target, targets.url, fleet.account, Counting())))
    assert len(shown) == 450
    for number in fleet.numbers:
        desired = to_desired(
            fleet.account, target, fleet.driver(number), sequence=1, profile=profile(number), is_wanted=True
        )
        assert not to_change(target, desired.profile, shown[number].profile)


async def scanned(drivers: TargetDrivers) -> Mapping[int, ObservedDriver]:
    shown = [driver async for page in drivers.scan() for driver in page]
    await drivers.close()
    return {number_of(driver.key): driver for driver in shown}
