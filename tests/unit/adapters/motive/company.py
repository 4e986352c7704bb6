from collections.abc import Sequence

from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.identity import Key
from domain.matching import ObservedDriver
from domain.profile import Profile
from tests.unit.adapters.vendor import Answer, Vendor, answer

LIST = "GET /v1/users"
ADD = "POST /v1/users"
READ = "GET /v1/users/17"
EDIT = "PUT /v1/users/17"
LOOKUP = "GET /v1/users/lookup"
BY_EXTERNAL_ID = "GET /v1/users/lookup_by_external_id"

KEY = Key("17")
JANE = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test", "portal_driver_id": "p-1"}
BODY = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test"}
OURS = {"id": 1, "external_id": "p-1", "integration_name": "gps_portal"}
NOBODY = answer(404, {"error_message": "user not found"})


def user(
    *external_ids: dict[str, object], role: str = "driver", status: str = "active", number: int = 17
) -> dict[str, object]:
    return {"id": number, "role": role, "status": status, **BODY, "external_ids": list(external_ids) or None}


def one(shown: dict[str, object], status: int = 200) -> Answer:
    return answer(status, {"user": shown})


def listed(*users: dict[str, object], page_no: int = 1, total: int, per_page: int = 100) -> Answer:
    pagination = {"per_page": per_page, "page_no": page_no, "total": total}
    return answer(200, {"users": [{"user": shown} for shown in users], "pagination": pagination})


def driver(*, active: bool = True, profile: Profile = JANE, key: str = "17") -> ObservedDriver:
    return ObservedDriver(key=Key(key), active=active, profile=profile)


def company() -> Vendor:
    vendor = Vendor()
    vendor.on(LOOKUP, NOBODY)
    vendor.on(BY_EXTERNAL_ID, NOBODY)
    return vendor


def drivers(vendor: Vendor) -> MotiveDrivers:
    access = MotiveAccess(base_url="https://motive.test", api_key="hush")
    return MotiveDrivers(access, transport=vendor.transport, clock=lambda: 0.0, pause=vendor.pause, jitter=lambda: 0.0)


async def scanned(target: MotiveDrivers) -> list[Sequence[ObservedDriver]]:
    return [page async for page in target.scan()]


TAKEN = answer(400, {"error_message": "Email has already been taken"})
