from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveriAccess:
    """How to reach one tenant of Driveri.

    `client_id` and `client_secret` are the two halves of an API key with the scopes View Drivers and Update Drivers.
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
