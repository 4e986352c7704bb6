"""On PostgreSQL too, what no store takes is one account's trouble: a NUL, which SQLite would take, among it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.store.postgres import PostgresStore, migrate
from domain.driver_link import CreateDecided
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.outcomes import DriverLookedUp, RosterScanFailed
from domain.store import FILLED, Store
from services.projector.read_models import DeliveryRow
from services.runtime.context import outcomes_of
from services.wiring.registry import PROJECTOR_ROWS
from tests.support.stepped_services import ACME, SteppedServices, both_targets
from tests.support.unstorable import UNSTORABLE
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.rosters import request
from tests.unit.services.projector.sayings import answered, reported, say, waiting

DRIVERI = Target.DRIVERI
WORDS = {"a NUL": "no \0", "half a character": UNSTORABLE}


@pytest.fixture(params=list(WORDS))
def words(request: pytest.FixtureRequest) -> str:
    return WORDS[request.param]


@pytest.fixture
def fleet(database: str, tmp_path: Path) -> Iterator[SteppedServices]:
    """Two accounts that are on; the projector of Driveri is on PostgreSQL."""
    schema = f"trouble_{tmp_path.name.lower()[-20:]}".replace("-", "_")
    migrate(database, "", {schema: PROJECTOR_ROWS})

    def wrapping(name: str, store: Store) -> Store:
        if name != f"projector-{DRIVERI}":
            return store
        store.close()
        return PostgresStore(database, "", schema=schema, log_name=outcomes_of(DRIVERI), rows=PROJECTOR_ROWS)

    services = SteppedServices(tmp_path, both_targets(ACME, SECOND), wrapping=wrapping)
    services.add(ACME)
    services.add(SECOND)
    services.follow(DRIVERI)
    yield services
    services.close()


def with_words(failure: Rejected | Unavailable, words: str) -> Rejected | Unavailable:
    """The same failure in such words, as if they had not been cleaned."""
    object.__setattr__(failure, "detail", words)
    return failure


def test_an_answer_that_cannot_be_stored_sets_only_its_driver_aside(fleet: SteppedServices, words: str) -> None:
    fleet.twins[ACME, DRIVERI].failing["create D1"] = with_words(Rejected(reason=Reason.INVALID, detail="no"), words)
    say(fleet, CreateDecided)
    say(fleet, CreateDecided, "p2", desired_key="D2")
    say(fleet, CreateDecided, account=SECOND)
    fleet.call(DRIVERI)
    assert sorted(answered(fleet)) == [("p1", 1, "confirmed"), ("p1", 1, "refused"), ("p2", 1, "confirmed")]
    assert waiting(fleet)["started"] == 0


def test_whom_a_target_shows_so_is_set_aside_alone(fleet: SteppedServices, words: str) -> None:
    shown = ObservedDriver(key=Key("D1"), active=True, profile={"first_name": words})
    fleet.twins[ACME, DRIVERI].drivers.put(shown)
    say(fleet, CreateDecided)
    say(fleet, CreateDecided, "p2", desired_key="D2")
    fleet.call(DRIVERI)
    assert ("p2", 1, "confirmed") in answered(fleet)
    assert not fleet.projector_stores[DRIVERI].select(DeliveryRow, {"started": FILLED})


def test_a_scan_that_fails_in_such_words_is_reported_as_failed(fleet: SteppedServices, words: str) -> None:
    failure = with_words(Unavailable(reason=Reason.DOWN, detail="no"), words)
    fleet.twins[ACME, DRIVERI].breaks_off = 0, failure
    fleet.scan(DRIVERI)
    assert [each.reason for each in reported(fleet) if isinstance(each, RosterScanFailed)] == ["down"]


def test_a_look_up_that_fails_in_such_words_is_reported_as_failed(fleet: SteppedServices, words: str) -> None:
    fleet.scan(DRIVERI)
    fleet.twins[ACME, DRIVERI].blind = with_words(Unavailable(reason=Reason.DOWN, detail="no"), words)
    request(fleet, DRIVERI, "p1", "1")
    fleet.scan(DRIVERI)
    done = reported(fleet)[-1]
    assert isinstance(done, DriverLookedUp)
    assert done.reason == "down"
