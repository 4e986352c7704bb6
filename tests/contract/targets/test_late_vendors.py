"""The product at vendors whose lists and look-ups show a write only some seconds later.

No driver is made twice, every one ends in sync, and no account is stopped.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette

from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.identity import Key, Target
from domain.outcomes import BreakerOpened
from domain.ports import TargetDrivers
from services.sandbox import driveri, motive
from tests.contract.targets.sandboxes import Json
from tests.support.stepped_services import ACME, SteppedServices, both_targets, logged, person
from tests.support.target_twin import TargetTwin

FLEET = 40
URL = "http://sandbox.test"


class Late:
    """A fleet on the product and on one vendor's sandbox, in the time of the services; the other target is a twin."""

    def __init__(self, folder: Path, target: Target, lag: float) -> None:
        self.target = target
        twins = both_targets(ACME)
        self.services = SteppedServices(folder, twins)
        make: Callable[[Json], tuple[Starlette, TargetDrivers]] = {
            Target.DRIVERI: self._driveri,
            Target.MOTIVE: self._motive,
        }[target]
        self.app, drivers = make({"shown_after": lag})
        twins[ACME, target] = cast("TargetTwin", drivers)
        self.services.add()

    def run(self) -> None:
        """Everybody works until nothing is left to do, also a day later, with another look at the roster."""
        self.services.run()
        self.services.wait(hours=25)
        self.services.run()

    def journal(self, kind: str) -> list[str]:
        """The drivers of the writes of this kind, in order: "created" or "changed"."""
        entries = asyncio.run(self.ask("/sandbox/journal", limit=1000))["entries"]
        return [str(entry.get("driver") or entry.get("user")) for entry in entries if entry[kind]]

    def stops(self) -> int:
        """How often the breaker has opened."""
        return sum(isinstance(each, BreakerOpened) for each in logged(self.services.projector_stores[self.target]))

    def states(self) -> set[str]:
        return set(self.services.states(self.target).values())

    async def ask(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401
        async with AsyncClient(transport=ASGITransport(self.app), base_url=URL) as client:
            return (await client.get(path, params=parameters)).json()

    def _driveri(self, assumptions: Json) -> tuple[Starlette, TargetDrivers]:
        key = {"client_id": "acme-key", "client_secret": "acme-secret"}
        seed = {"tenants": [{"tenant": "acme", "clients": [key], "assumptions": assumptions}]}
        app = driveri.application(seed, self._milliseconds)
        access = DriveriAccess(base_url=URL, tenant="acme", **key)
        return app, DriveriDrivers(access, transport=ASGITransport(app), **self._time())

    def _motive(self, assumptions: Json) -> tuple[Starlette, TargetDrivers]:
        app = motive.application(
            {"companies": [{"api_key": "acme-key", "assumptions": assumptions}]}, self._milliseconds
        )
        access = MotiveAccess(base_url=URL, api_key="acme-key")
        return app, MotiveDrivers(access, transport=ASGITransport(app), **self._time())

    def _time(self) -> Any:  # noqa: ANN401
        return {"clock": self._seconds, "pause": self.services._pause, "jitter": float}

    def _seconds(self) -> float:
        return self.services.now.timestamp()

    def _milliseconds(self) -> int:
        return int(1000 * self._seconds())


@pytest.mark.parametrize("lag", [0.4, 2.0, 10.0])
@pytest.mark.parametrize("target", list(Target))
def test_forty_creates_that_are_shown_late_are_made_once_and_end_in_sync(
    tmp_path: Path, target: Target, lag: float
) -> None:
    late = Late(tmp_path, target, lag)
    for number in range(FLEET):
        late.services.state(f"p{number}", person(number))
    late.run()
    assert len(late.journal("created")) == FLEET
    assert late.states() == {"in_sync"}
    assert late.stops() == 0
    late.services.close()


@pytest.mark.parametrize("lag", [2.0, 10.0])
@pytest.mark.parametrize("target", list(Target))
def test_changes_and_deletes_that_are_shown_late_end_in_sync(tmp_path: Path, target: Target, lag: float) -> None:
    late = Late(tmp_path, target, lag)
    for number in range(6):
        late.services.state(f"p{number}", person(number))
    late.run()
    late.services.state("p1", person(1, last_name="Roe"))
    late.services.state("p2", person(2, driveri_driver_id="X2"))
    late.services.delete("p3")
    late.run()
    assert len(late.journal("created")) == 6
    assert {name: state for name, state in late.services.states(target).items() if state != "in_sync"} == {
        "p3": "ended"
    }
    assert late.stops() == 0
    late.services.close()


@pytest.mark.parametrize("target", list(Target))
def test_the_sandbox_shows_a_write_as_late_as_it_is_set_to(tmp_path: Path, target: Target) -> None:
    late = Late(tmp_path, target, 5.0)
    drivers = late.services.twins[ACME, target]

    async def shown() -> list[str]:
        return [driver.profile["last_name"] async for page in drivers.scan() for driver in page]

    asyncio.run(drivers.create(Key("D1"), person(1)))
    late.services.wait(seconds=4.9)
    assert asyncio.run(shown()) == []
    late.services.wait(seconds=0.1)
    assert asyncio.run(shown()) == ["Last 1"]
    late.services.close()
