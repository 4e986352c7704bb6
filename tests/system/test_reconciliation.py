"""People change drivers in both targets; `driverlink reconcile` overrides or reports it, as the table says."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from services.sandbox.demo import RunningSandboxes, Stage
from tests.support.acme import Json, acme_sandboxes, get_state, in_sync, open_account, put_state, turn_on, until
from tests.support.commanding import command
from tests.support.hanging import HANGS
from tests.support.processes import Up, outliving_client
from tests.support.stepped_services import person

DRIVERS = range(1, 6)
PAYROLL = {"external_id": "77", "integration_name": "payroll"}
_SECONDS = HANGS

OVERRIDDEN = {
    "driveri": {"drifted": 1, "in_sync": 2, "missing": 2, "unmanaged": 1},
    "motive": {"drifted": 2, "in_sync": 2, "missing": 1, "unmanaged": 1},
}
AFTERWARDS = {target: {"in_sync": 5, "unmanaged": 1} for target in OVERRIDDEN}


class Scene:
    """Both sandboxes, the services as commands reach them, and the account's five drivers."""

    def __init__(self, targets: RunningSandboxes, stage: Stage, variables: Mapping[str, str]) -> None:
        self._targets = targets
        self._stage = stage
        self._variables = variables

    async def play(self) -> None:
        """Everybody is in sync; people change both targets, then one field again; a last reconciliation."""
        await self._let_be_in_step()
        await self._change(self._targets.driveri, _change_driveri)
        await self._change(self._targets.motive, _change_motive)
        drivers, users = await self._drivers(), await self._users()

        assert await self._reconciled() == OVERRIDDEN
        await until(self._stage, lambda account: in_sync(account, len(DRIVERS)))
        await self._check_driveri(drivers["S9"])
        await self._check_motive(users["unmanaged driver@fleet.test"])
        await self._check_what_is_edited_again()
        assert await self._reconciled() == AFTERWARDS

    async def _let_be_in_step(self) -> None:
        await open_account(self._stage)
        lines = [{"line": each, "driver": f"p{each}", "profile": person(each)} for each in DRIVERS]
        await self._stage.post("/accounts/acme/lists", {"lines": lines})
        await turn_on(self._stage)
        await until(self._stage, lambda account: in_sync(account, len(DRIVERS)))

    async def _reconciled(self) -> dict[str, dict[str, int]]:
        """What `driverlink reconcile` reports of each target."""
        return {each["target"]: each["found"] for each in (await self._reconcile())["reconciliations"]}

    async def _reconcile(self, *options: str) -> Json:
        words = ("reconcile", "acme", "--as", "maria", *options, "--json")
        document: Json = (await asyncio.to_thread(command, self._variables, *words)).document
        return document

    async def _check_what_is_edited_again(self) -> None:
        """A field that people change again and again is reported as at odds; one driver can be reconciled alone."""
        await self._change(self._targets.motive, _edit_motive)
        (report,) = (await self._reconcile("--target", "motive"))["reconciliations"]
        assert (report["number"], report["by"], report["drivers"]) == (3, "maria", 6)
        assert report["found"] == {"drifted": 1, "in_sync": 4, "unmanaged": 1}
        assert (report["drifted"], report["at_odds"]) == ({"last_name": 1}, {"last_name": 1})
        await until(self._stage, lambda account: in_sync(account, len(DRIVERS)))
        await self._change(self._targets.motive, _edit_motive)
        (driver,) = (await self._reconcile("--target", "motive", "--driver", "R1"))["drivers"]
        assert (driver["driver"], driver["finding"], driver["drifted"]) == ("p1", "drifted", ["last_name"])
        await until(self._stage, lambda account: in_sync(account, len(DRIVERS)))

    async def _check_driveri(self, unmanaged: Json) -> None:
        drivers = await self._drivers()
        assert drivers["S9"] == unmanaged
        ours = {f"D{number}": (f"Last {number}", 1) for number in DRIVERS}
        assert {key: (each["lastName"], each["status"]) for key, each in drivers.items() if key != "S9"} == ours

    async def _check_motive(self, unmanaged: Json) -> None:
        users = await self._users()
        assert users["unmanaged driver@fleet.test"] == unmanaged
        ours = {f"p{number}@fleet.test": (f"Last {number}", "active") for number in DRIVERS}
        shown = {email: (each["last_name"], each["status"]) for email, each in users.items() if email in ours}
        assert shown == ours
        named = {_name(each) for each in users["p4@fleet.test"]["external_ids"]}
        assert named == {("77", "payroll"), ("p4", "gps_portal"), ("D4", "driveri")}

    async def _drivers(self) -> dict[str, Json]:
        state = await get_state(self._targets.driveri)
        return {each["driverId"]: each for each in state["tenants"][0]["drivers"]}

    async def _users(self) -> dict[str, Json]:
        state = await get_state(self._targets.motive)
        return {each["email"]: each for each in state["companies"][0]["users"]}

    async def _change(self, address: str, by_hand: Callable[[Json], None]) -> None:
        state = await get_state(address)
        by_hand(state)
        await put_state(address, state)


def _change_driveri(state: Json) -> None:
    """One is edited, one deleted, one given another id by hand, who thus is an unmanaged driver.

    Two are left as they are.
    """
    drivers = {each["driverId"]: each for each in state["tenants"][0]["drivers"]}
    drivers["D1"]["lastName"] = "By Hand"
    drivers["D2"]["status"] = 4
    drivers["D3"]["driverId"] = "S9"


def _change_motive(state: Json) -> None:
    """One is edited, one deactivated, one has lost our external ids to payroll's, and one is added."""
    _edit_motive(state)
    users = {each["email"]: each for each in state["companies"][0]["users"]}
    users["p2@fleet.test"]["status"] = "deactivated"
    users["p4@fleet.test"]["external_ids"] = [PAYROLL]
    added = {"first_name": "Some", "last_name": "Body", "email": "unmanaged driver@fleet.test", "role": "driver"}
    state["companies"][0]["users"].append(added)


def _edit_motive(state: Json) -> None:
    users = {each["email"]: each for each in state["companies"][0]["users"]}
    users["p1@fleet.test"]["last_name"] = "By Hand"


def _name(external_id: Json) -> tuple[str, str]:
    return external_id["external_id"], external_id["integration_name"]


async def _embedded(folder: Path) -> None:
    async with asyncio.timeout(_SECONDS), acme_sandboxes() as targets:
        data = folder / "data"
        up = Up(data, targets)
        await up.start()
        async with outliving_client(up.socket) as client:
            await Scene(targets, Stage(client), {"DRIVERLINK_DATA": str(data)}).play()
        assert await up.stop() == 0


def test_a_reconciliation_overrides_what_was_changed_by_hand_and_reports_unmanaged(tmp_path: Path) -> None:
    asyncio.run(_embedded(tmp_path))
