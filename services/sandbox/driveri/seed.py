"""What the Driveri sandbox starts from: tenants with their API keys, status codes and drivers.

The whole state of the Driveri sandbox: tenants, API keys, journal.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from services.sandbox.driveri.tenant import (
    ASSUMED,
    Assumptions,
    Client,
    Driver,
    Group,
    Keys,
    Statuses,
    Tenant,
    inspected,
)
from services.sandbox.journal import Journal
from services.sandbox.state import Now, SeedRefused, check_unique, first_problem

VIEW_DRIVERS = "View Drivers"
UPDATE_DRIVERS = "Update Drivers"
VIEW_CONFIGURATIONS = "View Fleet Configurations"
CREATE_TOKEN = "Create Access Token"  # noqa: S105 - the name of a scope
VIEW_TOKENS = "View Access Token"
DELETE_TOKEN = "Delete Access Token"  # noqa: S105
ALL_SCOPES = (VIEW_DRIVERS, UPDATE_DRIVERS, VIEW_CONFIGURATIONS, CREATE_TOKEN, VIEW_TOKENS, DELETE_TOKEN)


class _Seed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClientSeed(_Seed):
    """An API key. `token_lifetime` is in milliseconds."""

    client_id: str = Field(min_length=1, pattern="^[^:]+$")
    client_secret: str = Field(min_length=1)
    scopes: tuple[str, ...] = ALL_SCOPES
    token_lifetime: int = Field(default=3_600_000, gt=0)


class StatusSeed(_Seed):
    """A status code and what it means."""

    status: int = Field(ge=1, le=5)
    description: str = Field(min_length=1)


class _Camel(_Seed):
    model_config = ConfigDict(alias_generator=to_camel)


class GroupSeed(_Camel):
    """The group a driver is in."""

    group_name: str
    group_unique_name: str


class DriverSeed(_Camel):
    """A driver as Driveri shows it, and what it does not show; all but the id and first name may be left out."""

    driver_id: str = Field(min_length=1)
    first_name: str
    last_name: str | None = None
    status: int | None = None
    created_date: int | None = None
    updated_date: int | None = None
    licence_number: str | None = None
    license_country: str | None = None
    license_state: str | None = None
    user_name: str | None = None
    email: str | None = None
    group: GroupSeed | None = None
    enable_driveri_app: bool = False
    last_login: int | None = None
    authorized_to_drive: int = Field(default=1, ge=0, le=1)
    linked_user_name: str | None = None
    image_url: str | None = None
    driver_preferences: dict[str, object] | None = None
    phone: str | None = None
    invitations: int = Field(default=0, ge=0)
    further_groups: tuple[GroupSeed, ...] | None = None

    def driver(self, statuses: Statuses, at: int) -> Driver:
        """The stored driver; dates that are not stated are the time of the seeding."""
        unstated = {"status": statuses.active, "created_date": at, "updated_date": at}
        values = unstated | self.model_dump(exclude={"group", "further_groups"}, exclude_none=True)
        group = Group(**self.group.model_dump()) if self.group else None
        further = tuple(Group(**each.model_dump()) for each in self.further_groups or ())
        return Driver(**values, group=group, further_groups=further)


_STATUSES = tuple(
    StatusSeed(status=code, description=description)
    for code, description in enumerate(("Active", "Inactive", "Suspended", "Deleted", "Pending"), start=1)
)


class TenantSeed(_Seed):
    """One tenant."""

    tenant: str = Field(min_length=1, pattern="^[^/]+$")
    clients: tuple[ClientSeed, ...] = ()
    statuses: tuple[StatusSeed, ...] = Field(default=_STATUSES, min_length=1)
    assumptions: Assumptions = ASSUMED
    drivers: tuple[DriverSeed, ...] = ()

    @field_validator("statuses")
    @classmethod
    def _check_codes(cls, statuses: tuple[StatusSeed, ...]) -> tuple[StatusSeed, ...]:
        check_unique("status code", (status.status for status in statuses))
        return statuses

    @field_validator("drivers")
    @classmethod
    def _check_ids(cls, drivers: tuple[DriverSeed, ...], info: ValidationInfo) -> tuple[DriverSeed, ...]:
        if info.data.get("assumptions", ASSUMED).ids == "exact":
            check_unique("driverId", (driver.driver_id for driver in drivers))
        else:
            check_unique("driverId (letter case aside)", (driver.driver_id.casefold() for driver in drivers))
        return drivers

    @model_validator(mode="after")
    def _check_statuses(self) -> "TenantSeed":
        declared = self.descriptions()
        for number, driver in enumerate(self.drivers):
            if driver.status is not None and driver.status not in declared:
                raise ValueError(f"driver {number} has a status that is not in statuses")
        return self

    def descriptions(self) -> Mapping[int, str]:
        """What each status code means."""
        return {status.status: status.description for status in self.statuses}

    def built_tenant(self, at: int) -> Tenant:
        """The tenant with its drivers, in the order of the seed."""
        statuses = Statuses(descriptions=self.descriptions())
        drivers = (driver.driver(statuses, at) for driver in self.drivers)
        return Tenant(self.tenant, statuses, drivers, self.assumptions)

    def built_clients(self) -> list[Client]:
        """The tenant's API keys."""
        return [Client(tenant=self.tenant, **client.model_dump()) for client in self.clients]


class DriveriSeed(_Seed):
    """All tenants of one sandbox."""

    tenants: tuple[TenantSeed, ...] = ()

    @field_validator("tenants")
    @classmethod
    def _check_names(cls, tenants: tuple[TenantSeed, ...]) -> tuple[TenantSeed, ...]:
        check_unique("tenant", (tenant.tenant for tenant in tenants))
        check_unique("client_id", (client.client_id for tenant in tenants for client in tenant.clients))
        return tenants


def parsed_seed(document: object) -> DriveriSeed:
    """The seed in a JSON document; raises `SeedRefused`."""
    try:
        return DriveriSeed.model_validate(document)
    except ValidationError as error:
        raise SeedRefused(first_problem(error)) from None


class DriveriState:
    """Several tenants in one place, seeded from a JSON document; raises `SeedRefused` if that is not valid."""

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
