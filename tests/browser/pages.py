"""Every page of the console, by the name of its picture in `docs/pictures/console/`."""

from urllib.parse import urlencode

UNKNOWN_TYPE = {
    "service": "decider",
    "type": "DriverUpdated",
    "reason": "LookupError: the type DriverUpdated has no version 9 here",
}
"""A group of dead letters."""

PAGES = {
    "overview": "",
    "sync": "accounts/acme/sync",
    "sync-off": "accounts/north/sync",
    "sync-not-allowed": "accounts/west/sync",
    "drivers": "accounts/acme/drivers",
    "drivers-found": "accounts/acme/drivers?find=jane",
    "driver": "accounts/acme/drivers/1",
    "driver-set-aside": "accounts/acme/drivers/4",
    "driver-compact": "accounts/acme/drivers/11?view=compact",
    "driver-json": "accounts/acme/drivers/10?view=json",
    "driver-held": "accounts/acme/drivers/15",
    "driver-long": "accounts/acme/drivers/5",
    "unmanaged": "accounts/acme/drivers?state=unmanaged",
    "plan": "accounts/north/plan",
    "approvals": "accounts/acme/approvals",
    "issues": "accounts/acme/issues",
    "drift": "accounts/acme/drift?target=driveri",
    "history": "accounts/acme/history",
    "events": "events?account=acme&type=CreateDecided",
    "events-filtered": "events?account=acme&driver=4&reason=conflict&since=2020-01-01",
    "history-of-settings": "accounts/west/history",
    "accounts": "accounts",
    "settings": "accounts/acme",
    "push-secrets": "accounts/acme/push-secrets",
    "webhooks": "accounts/acme/webhooks",
    "keys": "keys",
    "dead-letters": f"dead-letters?{urlencode(UNKNOWN_TYPE)}",
    "dead-letter": "dead-letters/letter?name=decider/portal.driver-changes.v1/0/3",
    "refused": "accounts/acme/drivers/unknown",
}
