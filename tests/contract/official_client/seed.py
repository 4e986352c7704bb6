"""What the sandbox starts from, in front of the official client."""

from typing import Any

ACTIVE, AWAY, DELETED = 5, 3, 2

SEED: dict[str, Any] = {
    "tenants": [
        {
            "tenant": "acme",
            "clients": [
                {"client_id": "acme-key", "client_secret": "acme-secret"},
                {"client_id": "viewer", "client_secret": "viewer-secret", "scopes": ["View Drivers"]},
            ],
            "statuses": [
                {"status": ACTIVE, "description": "Active"},
                {"status": AWAY, "description": "On leave"},
                {"status": DELETED, "description": "Deleted"},
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
                    "createdDate": 500,
                    "updatedDate": 1000,
                    "lastLogin": 700,
                    "enableDriveriApp": True,
                    "authorizedToDrive": 1,
                    "linkedUserName": "ann.able",
                    "imageUrl": "https://images.test/a1",
                    "group": {"groupName": "North Region", "groupUniqueName": "north"},
                    "driverPreferences": {"exemptHos": True, "ruleset": "US 70/8"},
                },
                {"driverId": "B 2/ü", "firstName": "Bob", "updatedDate": 2000, "status": AWAY},
                {"driverId": "C3", "firstName": "Cid", "updatedDate": 3000, "status": DELETED},
                *({"driverId": f"S{number}", "firstName": "Sam", "updatedDate": 4000} for number in range(250)),
            ],
        }
    ]
}
