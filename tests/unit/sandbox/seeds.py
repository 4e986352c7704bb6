"""What the sandboxes under test start from, and small ways to look inside them."""

from typing import Any

from httpx import AsyncClient

Json = dict[str, Any]

VIEWING = ["View Drivers", "View Fleet Configurations", "Create Access Token", "View Access Token"]
START = 1_800_000_000_000

DRIVERI: Json = {
    "tenants": [
        {
            "tenant": "acme",
            "clients": [
                {"client_id": "acme-key", "client_secret": "acme-secret", "token_lifetime": 60_000},
                {"client_id": "acme-viewer", "client_secret": "viewer-secret", "scopes": VIEWING},
            ],
            "drivers": [
                {
                    "driverId": "A1",
                    "firstName": "Ann",
                    "lastName": "Able",
                    "email": "ann@acme.test",
                    "userName": "ann",
                    "phone": "555-0101",
                    "licenceNumber": "L1",
                    "licenseCountry": "US",
                    "licenseState": "CA",
                    "updatedDate": 1000,
                    "driverPreferences": {"exemptHos": True},
                },
                {
                    "driverId": "B2",
                    "firstName": "Bob",
                    "updatedDate": 2000,
                    "group": {"groupName": "North", "groupUniqueName": "north"},
                },
                {"driverId": "C3", "firstName": "Cid", "status": 4, "updatedDate": 3000},
                {"driverId": "D4", "firstName": "Dee", "status": 2, "updatedDate": 4000},
            ],
        },
        {
            "tenant": "bolt",
            "clients": [{"client_id": "bolt-key", "client_secret": "bolt-secret"}],
            "statuses": [{"status": 3, "description": "ACTIVE"}, {"status": 1, "description": "deleted"}],
            "drivers": [{"driverId": "A1", "firstName": "Una"}],
        },
    ]
}

MOTIVE: Json = {
    "companies": [
        {
            "company": "Acme",
            "api_key": "acme-key",
            "users": [
                {
                    "id": 11,
                    "first_name": "Ann",
                    "last_name": "Able",
                    "email": "ann@acme.test",
                    "phone": "5550101",
                    "driver_company_id": "007",
                    "time_zone": "Mountain Time (US & Canada)",
                    "cycle": "70_8",
                    "external_ids": [
                        {"id": 501, "external_id": "T1", "integration_name": "generic_tms"},
                        {"id": 502, "external_id": "P1", "integration_name": "gps_portal"},
                    ],
                },
                {"id": 12, "first_name": "Bob", "last_name": "Best", "username": "bob", "status": "deactivated"},
                {"id": 13, "first_name": "Flo", "last_name": "Free", "email": "flo@acme.test", "role": "fleet_user"},
                {
                    "id": 14,
                    "first_name": "Gus",
                    "last_name": "Gone",
                    "email": "gus@acme.test",
                    "role": "fleet_user",
                    "status": "deactivated",
                },
            ],
        },
        {
            "company": "Bolt",
            "api_key": "bolt-key",
            "users": [{"id": 21, "first_name": "Una", "last_name": "Unit", "email": "una@bolt.test"}],
        },
        {"company": "Acme in test mode", "api_key": "test-key", "test_mode": True, "users": []},
    ],
    "elsewhere": ["taken@elsewhere.test"],
}


class Clock:
    """A clock that stands still until it is set, in milliseconds since the epoch."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> int:
        return self.at


async def journal(client: AsyncClient, after: int = 0) -> list[Json]:
    """The sandbox's journal entries with numbers above `after`."""
    answer = await client.get("/sandbox/journal", params={"after": after})
    entries: list[Json] = answer.json()["entries"]
    return entries


async def stored_driver(client: AsyncClient, driver_id: str, tenant: int = 0) -> Json:
    """All that the Driveri sandbox keeps of one driver."""
    state = (await client.get("/sandbox/state")).json()
    return next(driver for driver in state["tenants"][tenant]["drivers"] if driver["driverId"] == driver_id)


async def stored_user(client: AsyncClient, user_id: int) -> Json:
    """All that the Motive sandbox keeps of one user."""
    user: Json = (await client.get(f"/v1/users/{user_id}")).json()["user"]
    return user
