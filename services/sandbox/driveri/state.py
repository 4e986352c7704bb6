"""The whole state of the Driveri sandbox: tenants, API keys, journal."""

from services.sandbox.clock import Now
from services.sandbox.driveri.driver import inspected
from services.sandbox.driveri.keys import Client, Keys
from services.sandbox.driveri.seed import parsed_seed
from services.sandbox.driveri.tenant import Tenant
from services.sandbox.journal import Journal


class DriveriState:
    """Several tenants in one place, seeded from a JSON document; raises `SeedRefused` if that is no good."""

    def __init__(self, document: object, now: Now) -> None:
        self.now = now
        self.journal = Journal("tenant")
        self.keys = Keys()
        self.tenants: dict[str, Tenant] = {}
        self.seed(document)

    def seed(self, document: object) -> None:
        """Replace everything; tokens of API keys that stay as they are stay valid. Raises `SeedRefused`."""
        self._seed, self._seeded_at = parsed_seed(document), self.now()
        self.reset()

    def reset(self) -> None:
        """Go back to what was seeded last, and forget the journal."""
        tenants = self._seed.tenants
        self.tenants = {tenant.tenant: tenant.built_tenant(self._seeded_at) for tenant in tenants}
        self.keys = self.keys.replaced([client for tenant in tenants for client in tenant.built_clients()])
        self.journal.forget()

    def shown(self) -> dict[str, object]:
        """Everything, also what the API never shows; it can be seeded again as it is."""
        return {"tenants": [self._shown_tenant(tenant) for tenant in self.tenants.values()]}

    def _shown_tenant(self, tenant: Tenant) -> dict[str, object]:
        return {
            "tenant": tenant.name,
            "clients": [_shown_client(client) for client in self.keys.of_tenant(tenant.name)],
            "statuses": shown_statuses(tenant),
            "assumptions": tenant.assumptions.model_dump(),
            "drivers": [inspected(driver) for driver in tenant.all()],
        }


def shown_statuses(tenant: Tenant) -> list[dict[str, object]]:
    """The tenant's status codes with their descriptions, as the API shows them."""
    descriptions = tenant.statuses.descriptions
    return [{"status": code, "description": text} for code, text in descriptions.items()]


def _shown_client(client: Client) -> dict[str, object]:
    return {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "scopes": list(client.scopes),
        "token_lifetime": client.token_lifetime,
    }
