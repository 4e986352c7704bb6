"""What `driverlink status` shows of the Portal's API."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from adapters.store.sqlite import SqliteStore
from domain.store import Unit
from services.api.status import PortalStatus, portal_statuses
from services.intake.read_models import ReadingRow
from services.runtime.context import CHANGES
from services.wiring.registry import INTAKE_ROWS

NINE, TEN = datetime(2026, 1, 5, 9, tzinfo=UTC), datetime(2026, 1, 5, 10, tzinfo=UTC)
WELL = ReadingRow(account="acme", next_at="", at=NINE.isoformat(), drivers=12, refused=1)
NEVER = ReadingRow(account="bolt", next_at="", failure="down: answered 500", failing_since=TEN.isoformat())


def test_it_shows_when_each_list_was_read_and_why_it_cannot_be(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "intake.sqlite", log_name=CHANGES, rows=INTAKE_ROWS)) as store:
        unit = Unit()
        unit.keep([WELL, NEVER])
        store.commit(unit)
        assert portal_statuses(store, ["acme", "bolt", "cape"]) == {
            "acme": PortalStatus(read_at=NINE, drivers=12, refused=1, failure="", failing_since=None),
            "bolt": PortalStatus(read_at=None, drivers=0, refused=0, failure="down: answered 500", failing_since=TEN),
        }
        assert portal_statuses(store, []) == {}
