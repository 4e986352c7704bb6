"""The distributed shape, put together (the stores follow)."""

from services.control.installation import Installation
from services.distributed.settings import DistributedSettings


def open_distributed(settings: DistributedSettings) -> Installation:
    """Every service on its schema of the database."""
    raise NotImplementedError
