"""A data folder has what its services need."""

from services.wiring.data_folder import STORES
from services.wiring.registry import SERVICES


def test_a_data_folder_has_a_file_for_each_service() -> None:
    """The list is stated twice, so that commands need not load the services."""
    assert tuple(SERVICES) == STORES
