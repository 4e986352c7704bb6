"""The settings of the embedded shape, from the environment."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, HttpUrl, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class WrongSettings(Exception):
    """A setting is wrong; the message names each one and says what is wrong with it."""


class EmbeddedSettings(BaseSettings):
    """One process, one data folder. Every setting is an environment variable `DRIVERLINK_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="DRIVERLINK_", extra="ignore")

    data: Path = Field(
        default=Path("driverlink-data"),
        description="The data folder: one SQLite file for each service, the credentials, the local socket.",
    )
    driveri_url: HttpUrl = Field(
        default=HttpUrl("https://api.netradyne.com/driveri"), description="The base address of Driveri's API."
    )
    driveri_active_status: str = Field(
        default="Active", min_length=1, description="What Driveri's configurations call a driver in service."
    )
    driveri_deleted_status: str = Field(
        default="Deleted", min_length=1, description="What Driveri's configurations call a deleted driver."
    )
    motive_url: HttpUrl = Field(
        default=HttpUrl("https://api.gomotive.com"), description="The base address of Motive's API."
    )
    motive_portal_integration: str = Field(
        default="gps_portal", min_length=1, description="The integration name under which Motive keeps the Portal's id."
    )
    motive_driveri_integration: str = Field(
        default="driveri", min_length=1, description="The integration name under which Motive keeps the DriverID."
    )
    motive_external_ids_field: Literal["external_ids_attributes", "external_ids"] = Field(
        default="external_ids_attributes", description="How an update of a Motive user spells its external ids."
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.driveri_active_status.casefold() == self.driveri_deleted_status.casefold():
            raise ValueError("DRIVERLINK_DRIVERI_ACTIVE_STATUS and ..._DELETED_STATUS must differ")
        if self.motive_portal_integration == self.motive_driveri_integration:
            raise ValueError("DRIVERLINK_MOTIVE_PORTAL_INTEGRATION and ..._DRIVERI_INTEGRATION must differ")
        return self


def read_settings(data: Path | None = None) -> EmbeddedSettings:
    """The settings from the environment, with the data folder given; raises `WrongSettings`."""
    _check_names()
    try:
        return EmbeddedSettings(data=data) if data else EmbeddedSettings()
    except ValidationError as wrong:
        raise WrongSettings("; ".join(map(_problem, wrong.errors()))) from None


def _problem(error: Any) -> str:  # noqa: ANN401 - pydantic's own shape
    named = f"DRIVERLINK_{str(error['loc'][0]).upper()}: " if error["loc"] else ""
    return f"{named}{error['msg'].removeprefix('Value error, ')}"


def _check_names() -> None:
    """A name that is nearly one of ours is a slip, and what it was to set would be missed in silence."""
    prefix = str(EmbeddedSettings.model_config["env_prefix"])
    known = [f"{prefix}{name.upper()}" for name in EmbeddedSettings.model_fields]
    for name in sorted(os.environ):
        near = get_close_matches(name, known, n=1, cutoff=0.9)
        if name.startswith(prefix) and name not in known and near:
            raise WrongSettings(f"{name} is no setting; did you mean {near[0]}?")
