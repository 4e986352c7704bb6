"""The settings of the embedded shape, from the environment."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.intake.settings import PortalSettings
from services.projector.settings import TargetSettings
from services.runtime.settings import PREFIX


class EmbeddedSettings(TargetSettings, PortalSettings):
    """One process, one data folder."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    data: Path = Field(
        default=Path("driverlink-data"),
        description="The data folder: one SQLite file for each service, the credentials, the local socket.",
    )

    @field_validator("data", mode="before")
    @classmethod
    def _check_named(cls, data: object) -> object:
        """An empty name would be the folder in which the command happens to run."""
        if data == "":
            raise ValueError("must name a folder, or not be set")
        return data
