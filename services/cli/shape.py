"""Which shape commands work on: a data folder, or the database that the environment names."""

import os
from pathlib import Path

from services.distributed.settings import DistributedSettings, KafkaSettings
from services.embedded.settings import EmbeddedSettings
from services.runtime.settings import PREFIX, read_settings

SHAPES = (EmbeddedSettings, DistributedSettings)

Settings = EmbeddedSettings | DistributedSettings


def is_distributed(data: Path | None) -> bool:
    """Whether a command without a data folder of its own is about the database that the environment names."""
    return data is None and bool(os.environ.get(f"{PREFIX}DATABASE_URL"))


def chosen(data: Path | None) -> Settings:
    """The settings of the shape that a command works on. Raises `WrongSettings`."""
    return distributed() if is_distributed(data) else embedded(data)


def embedded(data: Path | None) -> EmbeddedSettings:
    """The settings of a data folder. Raises `WrongSettings`."""
    return read_settings(lambda: EmbeddedSettings(data=data) if data else EmbeddedSettings(), SHAPES)


def distributed() -> DistributedSettings:
    """The settings of the distributed shape. Raises `WrongSettings`."""
    return read_settings(lambda: DistributedSettings.model_validate({}), SHAPES)


def kafka() -> KafkaSettings:
    """What of the distributed shape's settings is about Kafka. Raises `WrongSettings`."""
    return read_settings(lambda: KafkaSettings.model_validate({}), SHAPES)
