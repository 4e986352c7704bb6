"""Two drivers swap their ids in a Driveri behind a gateway that loses answers: the adapter, the sandbox, every service.

The rename takes effect and the gateway says 502, its repeat finds the old id no more, and the look-up fails.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from domain.failures import Rejected
from domain.identity import AccountId, Target
from domain.ports import TargetDrivers
from services.decider.read_models import LinkRow
from services.sandbox import driveri
from tests.contract.targets.sandboxes import Time, driveri_seed
from tests.support.stepped_services import SteppedServices, both_targets, person

LOST = {"fault": "failing", "status": 502, "has_effect": True, "methods": ["PUT"], "path": "*/drivers/*"}
BLIND = {"fault": "failing", "status": 503, "methods": ["GET"], "path": "*/driver"}


class BehindAGateway(SteppedServices):
    """The same services, whose Driveri is the sandbox, reached by the real adapter."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, both_targets())
        self._time = Time()
        self._app = driveri.application(driveri_seed(0), self._time.milliseconds, pause=self._time.pause)

    def asked(self, method: str, about: str, body: object = None) -> dict[str, Any]:
        """What the sandbox's own interface answers."""
        return asyncio.run(self._asked(method, about, body))

    def shown(self) -> dict[str, str]:
        """The last name at each DriverID of the tenant, without the drivers of the seed."""
        drivers = self.asked("GET", "state")["tenants"][0]["drivers"]
        shown = {driver["driverId"]: driver["lastName"] or "" for driver in drivers}
        return {key: name for key, name in shown.items() if name.startswith("Last")}

    def _connect(self, target: Target, account: AccountId) -> TargetDrivers | Rejected:
        if target is Target.MOTIVE:
            return super()._connect(target, account)
        access = DriveriAccess(
            base_url="http://sandbox.test", tenant="acme", client_id="acme-key", client_secret="acme-secret"
        )
        transport = httpx.ASGITransport(self._app)
        return DriveriDrivers(access, transport=transport, clock=self._time, pause=self._time.pause, jitter=lambda: 0.0)

    async def _asked(self, method: str, about: str, body: object) -> dict[str, Any]:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
            answer = (await client.request(method, f"/sandbox/{about}", json=body)).raise_for_status()
            return dict(answer.json()) if answer.content else {}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[BehindAGateway]:
    services = BehindAGateway(tmp_path)
    yield services
    services.close()


@pytest.mark.parametrize("lost", [1, 2, 3])
@pytest.mark.parametrize("blind", [1, 4, 40])
def test_a_swap_whose_answers_are_lost_ends_right_and_leaves_no_temporary_id(
    fleet: BehindAGateway, lost: int, blind: int
) -> None:
    fleet.add()
    for number in (1, 2):
        fleet.state(f"p{number}", person(number))
    fleet.run()
    assert fleet.shown() == {"D1": "Last 1", "D2": "Last 2"}
    rules = [{**LOST, "times": lost}, {**BLIND, "times": blind}]
    fleet.asked("PUT", "faults", {"rules": rules})
    for number, other in ((1, 2), (2, 1)):
        fleet.state(f"p{number}", person(number, ref_id=f"R{other}", driveri_driver_id=f"D{other}"))
    for _ in range(20):
        fleet.run()
        fleet.wait(hours=7)
    assert fleet.asked("GET", "faults")["struck"] == [lost, blind]
    assert fleet.shown() == {"D2": "Last 1", "D1": "Last 2"}
    links = fleet.decider_store.select(LinkRow)
    assert {row.state for row in links} == {"in_sync"}
    assert not any("CreateDecided" in fleet.facts(f"p{number}")[1:] for number in (1, 2))
