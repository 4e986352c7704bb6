"""The golden capsules, each of a history that the system makes on sandboxes: `python -m tests.golden.made_capsules`.

They are kept as regression tests, so one is made again only when what a capsule holds changes, never because its replay
differs.
"""

import asyncio
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import httpx
from starlette.applications import Starlette

from domain.account import DeletesApproved
from domain.guard import digest_of_holds
from domain.identity import AccountId, PortalDriverId, Target
from domain.store import Store
from services.capsules.capsule import Capsule, encoded
from services.capsules.gathering import gather
from services.capsules.masking import masked
from services.decider.read_models import LinkRow
from services.runtime.context import log_of
from services.sandbox import driveri, motive
from services.wiring.connections import connected_by_key
from tests.contract.targets.sandboxes import Time, _InProcess
from tests.support.stepped_services import ACME, SteppedServices, person
from tests.support.target_twin import TargetTwin

FOLDER = Path(__file__).parent / "capsules"
DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
_KEY = ("key", "secret")

Json = dict[str, Any]


class SandboxedFleet:
    """Every service on real stores, the real adapters, and a sandbox for each target."""

    def __init__(self, folder: Path) -> None:
        self.time = Time()
        clients = [{"client_id": _KEY[0], "client_secret": _KEY[1]}]
        tenant = {"tenant": "acme", "clients": clients}
        company = {"company": "acme", "api_key": _KEY[1]}
        pause = self.time.pause
        self.sandboxes: Mapping[Target, Starlette] = {
            DRIVERI: driveri.application({"tenants": [tenant]}, self.time.milliseconds, pause=pause),
            MOTIVE: motive.application({"companies": [company]}, self.time.milliseconds, pause=pause, first_id=4001),
        }
        drivers = {
            (ACME, target): connected_by_key(
                target,
                "http://sandbox.test",
                _KEY,
                "acme",
                transport=_InProcess(app),
                clock=self.time,
                pause=pause,
                jitter=lambda: 0.0,
            )
            for target, app in self.sandboxes.items()
        }
        twins = cast("Mapping[tuple[AccountId, Target], TargetTwin]", drivers)
        self.services = SteppedServices(folder, twins)

    @property
    def logs(self) -> dict[str, Store]:
        """The stores by the names of their logs."""
        stores = [self.services.decider_store, self.services.accounts_store, self.services.intake_store]
        return {log_of(store.log.name): store for store in (*stores, *self.services.projector_stores.values())}

    def put(self, target: Target, *people: Json) -> None:
        """Let the target have these drivers, as if somebody had made them by hand."""
        state = self._asked(target, "GET", "state").json()
        owner, named = (state["tenants"][0], "drivers") if target is DRIVERI else (state["companies"][0], "users")
        owner[named] += people
        self._asked(target, "PUT", "state", state)

    def fail(self, target: Target, *rules: Json) -> None:
        """Let calls fail by these rules from now on; by none, let them work again."""
        self._asked(target, "PUT", "faults", {"rules": rules})

    def capsule(self, driver: str) -> Capsule:
        """The capsule of a driver, masked in the same way each time."""
        raw = gather(self.logs, ACME, PortalDriverId(driver), made_by="driverlink 0 (golden)", now=self.services.now)
        return masked(raw, random.Random(driver))  # noqa: S311 - the same each time

    def close(self) -> None:
        """Let go of the files."""
        self.services.close()

    def _asked(self, target: Target, method: str, about: str, body: object = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.sandboxes[target])
            async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
                return (await client.request(method, f"/sandbox/{about}", json=body)).raise_for_status()

        return asyncio.run(ask())


def whole_person(number: int, **changed: str) -> dict[str, str]:
    """A whole profile in which every field is stated."""
    more = {
        "phone": f"+1 303 555 01{number:02}",
        "time_zone": "America/Denver",
        "licence_number": f"CO-77-{number:04}",
        "licence_state": "CO",
        "licence_country": "US",
        "driveri_group": "North yard",
    }
    return person(number, **{**more, **changed})


def adopt(fleet: SandboxedFleet) -> None:
    """The driver is on both targets already, in another letter case there, and is brought to the Portal's."""
    fleet.put(DRIVERI, {"driverId": "d1", "firstName": "Fist 1", "lastName": "Last 1", "email": "P1@fleet.test"})
    fleet.put(MOTIVE, {"id": 17, "first_name": "First 1", "last_name": "Last 1", "email": "P1@fleet.test"})
    fleet.services.add()
    fleet.services.state("p1", whole_person(1))
    fleet.services.run()


def chain(fleet: SandboxedFleet) -> None:
    """Three drivers move on by one id: the first one waits for the second, and that one for the third."""
    services = fleet.services
    services.add()
    for number in (1, 2, 3):
        services.state(f"p{number}", whole_person(number))
    services.run()
    for number in (1, 2, 3):
        services.state(f"p{number}", whole_person(number, driveri_driver_id=f"D{number + 1}"))
    services.run()


def conflict(fleet: SandboxedFleet) -> None:
    """Two portal drivers want the same id; the holder leaves, and the other one gets it."""
    services = fleet.services
    services.add()
    services.state("p2", whole_person(2))
    services.run()
    services.state("p1", whole_person(1, driveri_driver_id="d2"))
    services.run()
    services.state("p2", whole_person(2, driveri_driver_id="D9"))
    services.run()


def refused(fleet: SandboxedFleet) -> None:
    """Both targets refuse an update for good; a person asks to try again, and it works."""
    services = fleet.services
    services.add()
    services.state("p1", whole_person(1))
    services.run()
    for target in Target:
        fleet.fail(target, {"fault": "failing", "status": 400, "methods": ["PUT"]})
    services.state("p1", whole_person(1, last_name="Roe"))
    services.run()
    for target in Target:
        fleet.fail(target)
    services.ask(lambda jane, known: jane.retry(known, target=None, driver="p1", reason=""))
    services.run()


def timeout(fleet: SandboxedFleet) -> None:
    """A create takes effect and has no answer, so it is read back; another one has none for longer, and waits."""
    services = fleet.services
    services.add()
    services.state("p0", whole_person(5))
    services.run()
    fleet.fail(DRIVERI, {"fault": "reset_after", "methods": ["POST"], "times": 1})
    silent = {"fault": "reset_before", "methods": ["GET"]}
    fleet.fail(MOTIVE, {"fault": "reset_after", "methods": ["POST"]}, silent)
    services.state("p1", whole_person(1))
    services.run()
    fleet.fail(MOTIVE)
    services.wait(hours=1)
    services.run()


def mass_delete(fleet: SandboxedFleet) -> None:
    """Four of six drivers are deleted: the last one is held until the Master User approves."""
    services = fleet.services
    services.add()
    for number in range(1, 7):
        services.state(f"p{number}", whole_person(number))
    services.run()
    services.delete("p2", "p3", "p4", "p1")
    services.run()
    for target in Target:
        rows = services.decider_store.select(LinkRow, {"account": ACME, "target": str(target), "state": "held"})
        holds = [(PortalDriverId(row.driver), row.hold) for row in rows]
        digest, named = digest_of_holds(target, holds), [[driver, hold] for driver, hold in holds]
        services.ask(
            lambda jane, known, target=target, digest=digest, named=named: jane.judge(  # type: ignore[misc]
                known, DeletesApproved, target=target, digest=digest, holds=named
            )
        )
    services.run()


def re_hire(fleet: SandboxedFleet) -> None:
    """A driver leaves, and comes back under another id of the Portal."""
    services = fleet.services
    services.add()
    services.state("p7", whole_person(1))
    services.run()
    services.delete("p7")
    services.run()
    services.state("p1", whole_person(1, last_name="Roe"))
    services.run()


def drift(fleet: SandboxedFleet) -> None:
    """Somebody changes the driver by hand, and the reconciliation that finds it puts it right."""
    services = fleet.services
    services.add()
    services.state("p1", whole_person(1))
    services.run()
    for target in Target:
        state = fleet._asked(target, "GET", "state").json()
        if target is DRIVERI:
            state["tenants"][0]["drivers"][0]["lastName"] = "Drifted"
        else:
            state["companies"][0]["users"][0]["last_name"] = "Drifted"
        fleet._asked(target, "PUT", "state", state)
    services.ask(lambda jane, known: jane.go_by(known, dict.fromkeys(Target, "")))
    services.run()


STORIES: Mapping[str, Callable[[SandboxedFleet], None]] = {
    "adopt": adopt,
    "chain": chain,
    "conflict": conflict,
    "refused": refused,
    "timeout": timeout,
    "mass-delete": mass_delete,
    "re-hire": re_hire,
    "drift": drift,
}


@contextmanager
def told(name: str) -> Iterator[SandboxedFleet]:
    """A fleet after one of the stories."""
    with TemporaryDirectory() as folder, closing(SandboxedFleet(Path(folder))) as fleet:
        STORIES[name](fleet)
        yield fleet


def made(name: str) -> bytes:
    """The capsule of the driver that a story is about."""
    with told(name) as fleet:
        return b"".join(encoded(fleet.capsule("p1")))


if __name__ == "__main__":
    for story in STORIES:
        path = FOLDER / f"{story}.json"
        path.write_bytes(made(story))
        sys.stdout.write(f"made {path.name}: {path.stat().st_size:,} bytes\n")
