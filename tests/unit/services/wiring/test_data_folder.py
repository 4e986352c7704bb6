"""A data folder has what its services need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.store import Misconfigured, Unit
from services.wiring.data_folder import STORES
from services.wiring.registry import SERVICES
from tests.golden.samples import SAMPLES
from tests.unit.services.wiring.rebuilt import opened, opened_stores

CREATED: Any = SAMPLES["PortalDriver.DriverCreated"]
KEYS, MASTER = "profile-keys.sqlite", "profile-master-key"


def test_a_data_folder_has_a_file_for_each_service() -> None:
    """The list is stated twice, so that commands need not load the services."""
    assert tuple(SERVICES) == STORES


def _without_keys(folder: Path) -> None:
    for each in folder.glob(f"{KEYS}*"):
        each.unlink()


def _with_empty_keys(folder: Path) -> None:
    _without_keys(folder)
    (folder / KEYS).touch()


def _without_either(folder: Path) -> None:
    _without_keys(folder)
    (folder / MASTER).unlink()


def _without_master_key(folder: Path) -> None:
    (folder / MASTER).unlink()


def _with_another_master_key(folder: Path) -> None:
    (folder / MASTER).write_text("ab" * 32)


@pytest.mark.parametrize(
    "lose", [_without_keys, _with_empty_keys, _without_either, _without_master_key, _with_another_master_key]
)
def test_nothing_starts_without_the_keys_of_what_is_stored(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    """Also where nothing is left to be done; the copies that are put back are all that is needed then."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    with opened_stores(folder) as stores:
        stores["intake"].commit(Unit(events=[CREATED]))
        events = [each.event for each in stores["intake"].log.read(0, 1000)]
    kept = {name: (folder / name).read_bytes() for name in (KEYS, MASTER)}
    lose(folder)
    with pytest.raises(Misconfigured, match="put back"), opened(folder):
        pass
    assert not [*folder.glob(f"{KEYS}-*")], "what lies beside the file would be taken for a part of the copy"
    for name, data in kept.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    with opened(folder), opened_stores(folder) as stores:
        assert [each.event for each in stores["intake"].log.read(0, 1000)] == events
