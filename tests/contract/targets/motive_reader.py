"""A reader of Motive's users that knows nothing of this project, as models that refuse every field they do not know.

Which fields a live user has, by role, and which of them may be null, is the census of 2,665 users of one company that
the authors of fleetpull published (PyPI, 0.1.4, Apache-2.0, July 2026): 22 fields of everybody, 39 more of drivers, and
3 more of all others. Fields that were null throughout are typed as null or text here.
Their package itself needs a newer Python than this project.
"""

from datetime import date, datetime
from typing import Annotated, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)


class ListedExternalId(_Form):
    """As every call but one shows it."""

    external_id: str
    integration_name: str


class ReadExternalId(ListedExternalId):
    """As the call about one user shows it."""

    id: int


class _User(_Form):
    """The fields of everybody."""

    id: int
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    phone_country_code: str | None
    phone_ext: str | None
    company_reference_id: str | None
    status: Literal["active", "deactivated"]
    group_ids: list[int]
    metric_units: bool
    time_zone: str | None
    created_at: datetime
    updated_at: datetime
    mobile_current_sign_in_at: datetime | None
    mobile_last_active_at: datetime | None
    mobile_last_sign_in_at: datetime | None
    web_current_sign_in_at: datetime | None
    web_last_active_at: datetime | None
    web_last_sign_in_at: datetime | None
    external_ids: list[ReadExternalId] | list[ListedExternalId] | None


class Other(_User):
    """A dispatcher or an administrator."""

    role: Literal["fleet_user", "admin"]
    expires_at: datetime | None
    phone2: str | None
    phone_country_code2: str | None


class Driver(_User):
    """A driver, with everything about hours of service."""

    role: Literal["driver"]
    username: str | None
    driver_company_id: str | None
    drivers_license_number: str | None
    drivers_license_state: str | None
    joined_at: date | None
    associated_dispatcher_id: int | None
    duty_status: str
    eld_mode: str
    cycle: str | None
    cycle2: str | None
    violation_alerts: str
    carrier_name: str | None
    carrier_street: str | None
    carrier_city: str | None
    carrier_state: str | None
    carrier_zip: str | None
    terminal_street: str | None
    terminal_city: str | None
    terminal_state: str | None
    terminal_zip: str | None
    exception_24_hour_restart: bool
    exception_8_hour_break: bool
    exception_adverse_driving: bool
    exception_ca_farm_school_bus: bool
    exception_short_haul: bool
    exception_wait_time: bool
    exception_24_hour_restart2: bool
    exception_8_hour_break2: bool
    exception_adverse_driving2: bool
    exception_ca_farm_school_bus2: bool
    exception_short_haul2: bool
    exception_wait_time2: bool
    export_combined: bool
    export_odometers: bool
    export_recap: bool
    manual_driving_enabled: bool
    minute_logs: bool
    personal_conveyance_enabled: bool
    yard_moves_enabled: bool


User = Annotated[Driver | Other, Field(discriminator="role")]


class _Wrapped(_Form):
    user: User


class _Pagination(_Form):
    per_page: int
    page_no: int
    total: int


class _Page(_Form):
    users: list[_Wrapped]
    pagination: _Pagination


class Error(_Form):
    """What an error says."""

    error_message: str


class FlatExternalId(ListedExternalId):
    """What the calls about single external ids answer."""

    id: int
    external_id_holder_id: int
    external_id_holder_type: Literal["User"]


class Success(_Form):
    """What the removal of an external id answers."""

    success: bool


class _Company(_Form):
    id: int
    company_id: str
    name: str


class _WrappedCompany(_Form):
    company: _Company


class _Companies(_Form):
    companies: list[_WrappedCompany]


_WRAPPED = TypeAdapter(_Wrapped)


class Reader:
    """The calls of an independent client, each with a check of every field that comes back."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def users(self, *, per_page: int = 100, **filters: str) -> list[Driver | Other]:
        """The whole list, by the number of users that the first page states."""
        found: list[Driver | Other] = []
        for number in range(1, 1000):
            query = {"per_page": str(per_page), "page_no": str(number), **filters}
            page = _Page.model_validate_json((await self._get("/v1/users", query)).content)
            found += [wrapped.user for wrapped in page.users]
            if page.pagination.page_no * page.pagination.per_page >= page.pagination.total:
                return found
        raise AssertionError("the list has no end")

    async def user(self, path: str, **query: str) -> Driver | Other:
        """One user, by whatever path."""
        return read_user(await self._get(path, query))

    async def companies(self) -> list[str]:
        """The names of the companies."""
        answer = _Companies.model_validate_json((await self._get("/v1/companies", {})).content)
        return [wrapped.company.name for wrapped in answer.companies]

    async def _get(self, path: str, query: dict[str, str]) -> httpx.Response:
        return (await self._client.get(path, params=query)).raise_for_status()


def read_user(reply: httpx.Response) -> Driver | Other:
    """The user in an answer."""
    return _WRAPPED.validate_json(reply.content).user
