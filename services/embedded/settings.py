"""The settings of the embedded shape, from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.projector.settings import TargetSettings
from services.runtime.settings import PREFIX


class EmbeddedSettings(TargetSettings):
    """One process, one data folder."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    data: Path = Field(
        default=Path("driverlink-data"),
        description="The data folder: one SQLite file for each service, the credentials, the local socket.",
    )
