"""Each vendor's adapter in front of its sandbox, the twins of both targets, and the people who are there."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import httpx

from adapters.driveri import DriveriAccess, DriveriDrivers
from adapters.motive import MotiveAccess, MotiveDrivers
from adapters.motive.access import ExternalIdsField
from domain.identity import Key, Target
from domain.ports import TargetDrivers
from domain.profile import Profile
from domain.roster import TargetDriver
from services.sandbox import driveri, motive
from tests.support.target_twin import TargetTwin

NOW = 1_767_268_800
SEEDED = 230
"""More than a page, for either vendor."""

JANE = {
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "jane@fleet.test",
    "phone": "+1 (555) 010-0100",
    "licence_number": "0042",
    "licence_state": "TX",
}
BOB = {"first_name": "Bob", "last_name": "Ray", "email": "bob@fleet.test", "phone": "+1 555 010 0199"}
DRIVERI_JANE = {**JANE, "driveri_group": "North", "licence_country": "US"}
MOTIVE_JANE = {
    **JANE,
    "ref_id": "R-1",
    "time_zone": "America/Denver",
    "portal_driver_id": "p-jane",
    "driveri_driver_id": "A 1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand(ABC):
    """A target's drivers, behind the port.

    `wished_key` and `jane` are for a driver who is not there yet; `bob` is, and so is `departed`, who is not active.
    `unknown` is a key that nobody has.
    """

    target: Target
    drivers: TargetDrivers
    wished_key: Key | None
    jane: Profile
    bob: Key
    departed: Key
    unknown: Key

    async def find(self, key: Key) -> TargetDriver:
        """The driver of this key as the target shows it now."""
        found = await self.drivers.find(key, {})
        assert found is not None
        return found

    @abstractmethod
    async def writes(self) -> list[dict[str, Any]]:
        """Every write that has reached the target, with what it changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStand(Stand):
    """One vendor's adapter in front of its sandbox."""

    transport: httpx.ASGITransport

    async def writes(self) -> list[dict[str, Any]]:
        """The sandbox's journal."""
        return list((await self._told("journal"))["entries"])

    async def state(self) -> dict[str, Any]:
        """Everything that the sandbox keeps, also what the vendor never shows."""
        return await self._told("state")

    async def _told(self, about: str) -> dict[str, Any]:
        async with httpx.AsyncClient(transport=self.transport, base_url="http://sandbox.test") as client:
            return dict((await client.get(f"/sandbox/{about}")).json())


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinStand(Stand):
    """The twin of a target in memory."""

    twin: TargetTwin

    async def writes(self) -> list[dict[str, Any]]:
        """What had an effect."""
        return [{"call": effect} for effect in self.twin.effects]


def clock() -> float:
    """The adapters' time; the sandboxes have the same in milliseconds."""
    return float(NOW)


async def pause(_: float) -> None:
    """No time passes."""


def names(number: int) -> dict[str, str]:
    return {"driverId": f"S-{number}", "firstName": f"First {number}", "lastName": f"Last {number}"}


def driveri_seed() -> dict[str, object]:
    bob = {"driverId": "B 2", "firstName": "Bob", "lastName": "Ray", "email": "bob@fleet.test", "phone": "555"}
    departed = {"driverId": "D/3", "firstName": "Dee", "status": 2}
    return {
        "tenants": [
            {
                "tenant": "acme",
                "clients": [{"client_id": "acme-key", "client_secret": "acme-secret"}],
                "statuses": [
                    {"status": 5, "description": "active"},
                    {"status": 3, "description": "On leave"},
                    {"status": 2, "description": "DELETED"},
                ],
                "drivers": [bob, departed, *(names(number) for number in range(SEEDED))],
            }
        ]
    }


def motive_seed() -> dict[str, object]:
    payroll = {"id": 900, "external_id": "payroll-9", "integration_name": "payroll"}
    bob = {"id": 2, "first_name": "Bob", "last_name": "Ray", "email": "bob@fleet.test", "external_ids": [payroll]}
    departed = {"id": 3, "first_name": "Dee", "last_name": "Low", "status": "deactivated"}
    office = {"id": 4, "role": "fleet_user", "first_name": "Olga", "last_name": "Fee", "email": "olga@fleet.test"}
    others = [
        {"id": 100 + number, "first_name": f"First {number}", "last_name": f"Last {number}"} for number in range(SEEDED)
    ]
    return {
        "companies": [
            {"api_key": "acme-key", "users": [bob, departed, {**office, "cycle": "70_8"}, *others]},
            {"api_key": "test-key", "test_mode": True},
        ],
        "elsewhere": ["taken@other.test"],
    }


def driveri_drivers(transport: httpx.AsyncBaseTransport, **other: str) -> DriveriDrivers:
    usual = {"tenant": "acme", "client_id": "acme-key", "client_secret": "acme-secret"}
    access = DriveriAccess(base_url="http://driveri.test", **{**usual, **other})
    return DriveriDrivers(access, transport=transport, clock=clock, pause=pause, jitter=lambda: 0.0)


def motive_drivers(
    transport: httpx.AsyncBaseTransport,
    *,
    api_key: str = "acme-key",
    external_ids_field: ExternalIdsField = "external_ids_attributes",
) -> MotiveDrivers:
    access = MotiveAccess(base_url="http://motive.test", api_key=api_key, external_ids_field=external_ids_field)
    return MotiveDrivers(access, transport=transport, clock=clock, pause=pause, jitter=lambda: 0.0)


def tenant() -> SandboxStand:
    transport = httpx.ASGITransport(driveri.application(driveri_seed(), lambda: NOW * 1000))
    return SandboxStand(
        target=Target.DRIVERI,
        drivers=driveri_drivers(transport),
        wished_key=Key("Zoë/1 %2F"),
        jane=DRIVERI_JANE,
        bob=Key("B 2"),
        departed=Key("D/3"),
        unknown=Key("nobody"),
        transport=transport,
    )


def company() -> SandboxStand:
    transport = httpx.ASGITransport(motive.application(motive_seed(), lambda: NOW * 1000))
    return SandboxStand(
        target=Target.MOTIVE,
        drivers=motive_drivers(transport),
        wished_key=None,
        jane=MOTIVE_JANE,
        bob=Key("2"),
        departed=Key("3"),
        unknown=Key("99999"),
        transport=transport,
    )


def driveri_twin() -> TwinStand:
    twin = TargetTwin(Target.DRIVERI)
    _seed(twin, Key("B 2"), Key("D/3"), [Key(f"S-{number}") for number in range(SEEDED)])
    return TwinStand(
        target=Target.DRIVERI,
        drivers=twin,
        wished_key=Key("Zoë/1 %2F"),
        jane=DRIVERI_JANE,
        bob=Key("B 2"),
        departed=Key("D/3"),
        unknown=Key("nobody"),
        twin=twin,
    )


def motive_twin() -> TwinStand:
    twin = TargetTwin(Target.MOTIVE)
    _seed(twin, Key("2"), Key("3"), [Key("1"), *(Key(str(number)) for number in range(4, SEEDED + 3))])
    return TwinStand(
        target=Target.MOTIVE,
        drivers=twin,
        wished_key=None,
        jane=MOTIVE_JANE,
        bob=Key("2"),
        departed=Key("3"),
        unknown=Key("99999"),
        twin=twin,
    )


def _seed(twin: TargetTwin, bob: Key, departed: Key, others: list[Key]) -> None:
    twin.drivers.put(TargetDriver(key=bob, active=True, profile=BOB))
    twin.drivers.put(TargetDriver(key=departed, active=False, profile={"first_name": "Dee"}))
    for number, key in enumerate(others):
        profile = {"first_name": f"First {number}", "last_name": f"Last {number}"}
        twin.drivers.put(TargetDriver(key=key, active=True, profile=profile))
