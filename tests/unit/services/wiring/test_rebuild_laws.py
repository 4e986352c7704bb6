"""Whatever happened, and wherever it stopped: the logs explain every read model."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.signing import RootSigner
from domain.store import Record, Stream
from services.api.archives import history_archived
from services.wiring.archiving import archive_history, archived_logs
from services.wiring.rebuild import Stores, differences
from services.wiring.registry import SERVICES
from tests.support.examples import examples
from tests.unit.services.wiring.days import Day, Happening, happenings
from tests.unit.services.wiring.rebuilt import checked, opened_stores


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new folder after the other."""
    return map(partial(_made, tmp_path_factory.mktemp("days")), count())


def _made(root: Path, number: int) -> Path:
    folder = root / str(number)
    folder.mkdir()
    return folder


@examples(8, many=100)
@given(happened=happenings)
def test_rebuilt_read_models_are_as_they_were_kept(folders: Iterator[Path], happened: Sequence[Happening]) -> None:
    folder = next(folders)
    day = Day(folder)
    day.services.add()
    day.services.run()
    for each in happened:
        each(day)
    day.services.close()
    assert checked(folder) == []


@examples(8, many=100)
@given(happened=happenings, cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_read_models_are_rebuilt_from_archives_as_from_the_logs(
    folders: Iterator[Path], happened: Sequence[Happening], cuts: tuple[float, float]
) -> None:
    """Wherever the logs were cut; what was archived is then not in the stores any more."""
    folder = next(folders)
    archive = folder / "archive"
    day = Day(folder)
    day.services.add()
    day.services.run()
    for each in happened:
        each(day)
    day.services.close()
    signer = RootSigner(bytes(32))
    with opened_stores(folder) as stores:
        moments = sorted(_moments(stores))
        for cut in sorted(cuts):
            archive_history(stores, signer, archive, moments[int(cut * (len(moments) - 1))], moments[-1])
        reached = {log: through for log, _, through in sorted(history_archived(stores["accounts"]))}
        logs = archived_logs(stores, archive)
        for name, store in stores.items():
            assert _read(logs[name], 3) == _read(store.log, 1000)
    assert reached
    for spec in SERVICES.values():
        if spec.name != "accounts":  # it has what was archived
            with closing(sqlite3.connect(folder / f"{spec.name}.sqlite")) as connection, connection:
                connection.execute("DELETE FROM stored_events WHERE rowid <= ?", [reached.get(spec.log_title, 0)])
    with opened_stores(folder) as stores:
        found = differences(stores, partition_of=None, logs=archived_logs(stores, archive))
    assert {*found.values()} == {None}


def _moments(stores: Stores) -> Iterator[datetime]:
    return (record.event.at for store in stores.values() for record in store.log.read(0, 1000) if record.event)


def _read(log: Stream, limit: int) -> list[Record]:
    read = list[Record]()
    while page := log.read(read[-1].position if read else 0, limit):
        read += page
    return read
