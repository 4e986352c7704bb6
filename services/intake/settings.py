"""The settings of the Portal's API, in every shape."""

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings

from services.runtime.settings import BaseUrl


class PortalSettings(BaseSettings):
    """How drivers are read by the Portal's API; accounts without credentials there are not read."""

    portal_url: BaseUrl = Field(
        default=HttpUrl("https://api.gpsinsight.com"), description="The base address of the Portal's API."
    )
    portal_read_every: float = Field(
        default=300.0,
        ge=0.1,
        le=86_400.0,
        description="Seconds between two readings of an account's list, and up to a tenth more.",
    )
    portal_driver_id_attribute: str = Field(
        default="Driveri DriverID",
        max_length=200,
        description="The custom attribute of the Portal that holds the Driveri DriverID; empty: none does.",
    )
    portal_ref_id_attribute: str = Field(
        default="",
        max_length=200,
        description="The one that holds the RefID, which the API's list does not tell; empty: none does.",
    )
    portal_calls_per_second: float = Field(
        default=10.0,
        ge=0.01,
        allow_inf_nan=False,
        description="The most calls a second that the Portal gets for one account; attributes cost one a driver.",
    )
    portal_calls_at_once: int = Field(
        default=4, gt=0, le=100, description="The most calls under way at the Portal for one account."
    )
