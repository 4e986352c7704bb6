from dataclasses import dataclass, field
from typing import Final

VIEW_DRIVERS: Final = "View Drivers"
UPDATE_DRIVERS: Final = "Update Drivers"
VIEW_CONFIGURATIONS: Final = "View Fleet Configurations"
TOKEN_SCOPES: Final = ("Create Access Token", "View Access Token", "Delete Access Token")
SCOPES: Final = (VIEW_DRIVERS, UPDATE_DRIVERS, VIEW_CONFIGURATIONS, *TOKEN_SCOPES)
"""What an API key may do, as Driveri names it. Source: driveri-python-sdk 1.0.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveriAccess:
    """How to reach one tenant of Driveri.

    `client_id` and `client_secret` are the two halves of an API key with the scopes in `SCOPES`.
    `active_status` and `deleted_status` are words from the tenant's configurations, in any letter case.
    `language` is an Accept-Language: the one that those words are in.
    """

    base_url: str
    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    active_status: str = "Active"
    deleted_status: str = "Deleted"
    language: str = "en-US"
