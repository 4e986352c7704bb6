"""A fleet of which every tenth driver is erased: what is personal of them, and where bytes of it are left."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from domain.identity import Target
from services.sandbox.story import Announcement
from tests.support.fleet_story import FleetStage
from tests.support.fleets import PartOfFleet, divided

ACCOUNT = "fleet-1"
DRIVERS = 40
LEAVING = tuple(str(number) for number in range(1, DRIVERS + 1, 10))
"""The drivers who are erased: one of ten."""

_BATCH = 20


def profile(driver: str, *, is_former: bool = False) -> dict[str, str]:
    """Everything personal of a driver, each text its own; also what it was at first, and is no more."""
    name = f"{'Former' if is_former else 'Later'}{int(driver):03}"
    return {
        "first_name": f"Zacharias{name}",
        "last_name": f"Quillfeather{name}",
        "email": f"zq.{name}@fleet.test".lower(),
        "phone": f"60255{'1' if is_former else '2'}{int(driver):04}",
        "licence_number": f"QF{'8' if is_former else '9'}77{int(driver):04}",
        "licence_state": "AZ",
        "licence_country": "US",
        "driveri_driver_id": f"DRV-{driver}",
        "ref_id": f"R-{driver}",
    }


def personal(drivers: Iterable[str]) -> list[bytes]:
    """What must not be found anywhere of these drivers."""
    fields = ("first_name", "last_name", "email", "phone", "licence_number")
    profiles = [profile(driver, is_former=is_former) for driver in drivers for is_former in (True, False)]
    return [each[field].encode() for each in profiles for field in fields]


def left_of(drivers: Iterable[str], places: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Where something personal of these drivers is, in whatever letter case, and what."""
    wanted = [text.lower() for text in personal(drivers)]
    return [
        (name, text.decode())
        for name, content in places
        for lower in [content.lower()]
        for text in wanted
        if text in lower
    ]


def new_part() -> PartOfFleet:
    """The account, with a tenant that has those who leave already, and a company that has nobody yet."""
    (part,) = divided([ACCOUNT], 1)
    drivers = [_in_driveri(profile(driver, is_former=True)) for driver in LEAVING]
    return replace(part, rows=(), tenant={**part.tenant, "drivers": drivers}, company={**part.company, "users": []})


def _in_driveri(stated: Mapping[str, str]) -> dict[str, object]:
    return {
        "driverId": stated["driveri_driver_id"],
        "firstName": stated["first_name"],
        "lastName": stated["last_name"],
        "email": stated["email"],
        "status": 1,
        "createdDate": 1720944000000,
        "updatedDate": 1725955200000,
    }


class ErasedFleet:
    """What happens to the fleet, as commands of the API."""

    def __init__(self, client: httpx.AsyncClient, part: PartOfFleet) -> None:
        self._client = client
        self.stage = FleetStage(client, part)

    async def begin(self) -> None:
        """Everybody is listed, and sync is turned on."""
        await self.stage.open_account()
        everybody = [str(number) for number in range(1, DRIVERS + 1)]
        for start in range(0, DRIVERS, _BATCH):
            some = everybody[start : start + _BATCH]
            lines = [
                {"line": line, "driver": driver, "profile": profile(driver, is_former=True)}
                for line, driver in enumerate(some, 1)
            ]
            await self.stage.take(lines)
        await self.stage.turn_on()

    async def change(self) -> None:
        """The drivers who leave get other data, so that there is more of them than what is there now."""
        for driver in LEAVING:
            await self.stage.announce(Announcement(action="update", driver=driver, profile=profile(driver)))

    async def delete(self) -> None:
        """The Portal deletes them."""
        for driver in LEAVING:
            await self.stage.announce(Announcement(action="delete", driver=driver, profile={}))

    async def erase(self, driver: str) -> None:
        """The Master User erases one."""
        body = {"driver": driver, "note": "asked for by the person"}
        answer = await self._client.post(f"/v1/accounts/{ACCOUNT}/erasures", json=body)
        assert answer.is_success, answer.text

    async def verify(self) -> None:
        """Every event is as it was stored."""
        after: str | None = ""
        while after is not None:
            part = await self.stage.get("/verification", after=after)
            assert part["broken"] is None, part
            after = part["next"]

    async def proofs(self) -> list[Mapping[str, Any]]:
        """A proof for an event of each of them, that it was there when roots were signed."""
        found = []
        for driver in LEAVING:
            event = (await self.stage.events({"account": ACCOUNT, "driver": driver, "log": "changes"}))[0]
            found.append(await self.stage.get("/proofs", log="changes", position=event["position"]))
        return found

    async def shown(self) -> list[Mapping[str, Any]]:
        """What people see of the drivers who are erased: every event, their page, their explanation, and a search."""
        found: list[Mapping[str, Any]] = []
        for log in ("changes", "decisions", *(f"outcomes-{target}" for target in Target)):
            found += await self.stage.events({"account": ACCOUNT, "log": log})
        for driver in LEAVING:
            found.append(await self.stage.get(f"/accounts/{ACCOUNT}/drivers/{driver}"))
            found.append(await self.stage.get(f"/accounts/{ACCOUNT}/explanation", driver=driver))
            found.append(await self.stage.get(f"/accounts/{ACCOUNT}/drivers", find=profile(driver)["last_name"]))
        return found


def as_places(found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Answers as places that may have something."""
    yield "answers", json.dumps(found).encode()
