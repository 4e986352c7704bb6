from collections.abc import Sequence

from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from domain.identity import Key
from domain.matching import ObservedDriver
from domain.profile import Profile
from tests.unit.adapters.vendor import Answer, Vendor, answer

ACCESS = DriveriAccess(
    base_url="https://vendor.test/driveri", tenant="acme", client_id="id", client_secret="hush", language="en-GB"
)
TENANT = "/driveri/v1/tenants/acme"
LIST = f"GET {TENANT}/drivers"
LOOK = f"GET {TENANT}/driver"
ADD = f"POST {TENANT}/drivers"
CONFIGURATIONS = f"GET {TENANT}/configurations"
TOKENS = ["GET /driveri/v1/auth/tokens", "POST /driveri/v1/auth/token"]

ACTIVE, AWAY, DELETED = 3, 5, 2
A1, B2 = Key("A1"), Key("B2")
JANE = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test", "phone": "555-0100"}
SHOWN = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test"}
SENT = {"firstName": "Jane", "lastName": "Doe", "email": "jane@fleet.test", "phone": "555-0100"}
MESSAGE = answer(200, {"data": {"message": "done"}})
NOBODY = answer(404, {"error": {"status": 404, "message": "no such driver"}})


def edit(key: str) -> str:
    return f"PUT {TENANT}/drivers/{key}"


def row(key: str, status: int = ACTIVE, profile: Profile = SHOWN) -> dict[str, object]:
    return {
        "driverId": key,
        "status": status,
        "firstName": profile.get("first_name"),
        "lastName": profile.get("last_name"),
        "email": profile.get("email"),
    }


def listed(*rows: dict[str, object], following: str | None = None) -> Answer:
    return answer(200, {"data": {"drivers": list(rows)}, "links": {"next": following}, "totalCount": 9})


def driver(key: str, *, active: bool = True, profile: Profile = SHOWN) -> ObservedDriver:
    return ObservedDriver(key=Key(key), active=active, profile=profile)


def tenant() -> Vendor:
    vendor = Vendor()
    vendor.on(TOKENS[0], answer(200, {"data": []}))
    vendor.on(TOKENS[1], answer(200, {"data": {"accessToken": "secret-1", "expiresOn": 9_000_000}}))
    words = [(ACTIVE, "active"), (AWAY, "On leave"), (DELETED, "DELETED")]
    statuses = [{"status": code, "description": word} for code, word in words]
    vendor.on(CONFIGURATIONS, answer(200, {"data": {"configuration": {"driverStatus": statuses}}}))
    vendor.on(LOOK, NOBODY)
    vendor.on(LIST, listed())
    return vendor


def drivers(vendor: Vendor) -> DriveriDrivers:
    return DriveriDrivers(ACCESS, transport=vendor.transport, clock=lambda: 0.0, pause=vendor.pause, jitter=lambda: 0.0)


def calls_after_tokens(vendor: Vendor) -> list[str]:
    return [call for call in vendor.calls if call not in TOKENS]


async def scanned(target: DriveriDrivers) -> list[Sequence[ObservedDriver]]:
    return [page async for page in target.scan()]
