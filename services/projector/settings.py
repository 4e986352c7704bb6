"""The settings of the targets, in every shape."""

from typing import Self

from pydantic import Field, HttpUrl, model_validator
from pydantic_settings import BaseSettings

from services.runtime.settings import BaseUrl


class TargetSettings(BaseSettings):
    """Where the targets are, and how they name things."""

    driveri_url: BaseUrl = Field(
        default=HttpUrl("https://api.netradyne.com/driveri"), description="The base address of Driveri's API."
    )
    driveri_active_status: str = Field(
        default="Active", min_length=1, description="What Driveri's configurations call a driver in service."
    )
    driveri_deleted_status: str = Field(
        default="Deleted", min_length=1, description="What Driveri's configurations call a deleted driver."
    )
    driveri_calls_per_second: float = Field(
        default=10.0,
        ge=0.01,
        allow_inf_nan=False,
        description="The most calls a second that Driveri gets for one account; it publishes no limit, but has one.",
    )
    driveri_calls_at_once: int = Field(
        default=8, gt=0, le=100, description="The most calls under way at Driveri for one account."
    )
    motive_url: BaseUrl = Field(
        default=HttpUrl("https://api.gomotive.com"), description="The base address of Motive's API."
    )
    motive_token_url: HttpUrl | None = Field(
        default=None,
        description="Where Motive renews access tokens; unless set, `/oauth/token` below `DRIVERLINK_MOTIVE_URL`.",
    )
    motive_calls_per_second: float = Field(
        default=5.0,
        ge=0.01,
        allow_inf_nan=False,
        description="The same for Motive, of which clients are known that stay at one call a second.",
    )
    motive_calls_at_once: int = Field(
        default=4,
        gt=0,
        le=100,
        description="The same for Motive, of which clients are known that stay at two calls under way.",
    )
    motive_portal_integration: str = Field(
        default="gps_portal", min_length=1, description="The integration name under which Motive keeps the Portal's id."
    )
    motive_driveri_integration: str = Field(
        default="driveri", min_length=1, description="The integration name under which Motive keeps the DriverID."
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.driveri_active_status.casefold() == self.driveri_deleted_status.casefold():
            raise ValueError("DRIVERLINK_DRIVERI_ACTIVE_STATUS and ..._DELETED_STATUS must differ")
        if self.motive_portal_integration == self.motive_driveri_integration:
            raise ValueError("DRIVERLINK_MOTIVE_PORTAL_INTEGRATION and ..._DRIVERI_INTEGRATION must differ")
        return self
