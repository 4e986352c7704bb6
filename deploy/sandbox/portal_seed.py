"""What the Portal's API shows of the fleet, where a custom attribute holds the Driveri DriverID."""

from collections.abc import Sequence

from fleet import PortalDriver

Driver = dict[str, object]

_USER = {"username": "sample-user", "app_token": "sample-app-token"}


def portal_seed(drivers: Sequence[PortalDriver]) -> dict[str, object]:
    """The Portal sandbox's seed: the fleet's account, with a user whose token is not a secret."""
    return {"accounts": [{"account": "sample-fleet", "users": [_USER], "drivers": [_driver(each) for each in drivers]}]}


def _driver(driver: PortalDriver) -> Driver:
    return {
        "id": int(driver.driver_id),
        "firstname": driver.first_name,
        "lastname": driver.last_name,
        "email": driver.email,
        "phone": driver.phone,
        "ref_id": driver.ref_id or None,
        "attributes": {"Driveri DriverID": driver.driveri_driver_id, "Reference ID": driver.ref_id},
    }
