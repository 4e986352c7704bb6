"""Questions about one driver, or one id, look up what they need: no table is read from one end to the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from adapters.store.sqlite import SqliteStore
from tests.unit.services.api.api_stand import NOW, ApiStand, Json

pytestmark = pytest.mark.anyio

DRIVER = {"account": "acme", "driver": "3"}
QUESTIONS = {
    "events of a driver": ("/events", DRIVER),
    "the newest of them": ("/events", {**DRIVER, "order": "newest", "reason": "conflict"}),
    "events of an account": ("/events", {"account": "acme"}),
    "the newest of an account": ("/events", {"account": "acme", "order": "newest", "reason": "conflict"}),
    "the newest of an account since": ("/events", {"account": "acme", "order": "newest", "since": "2026-01-01"}),
    "what followed from a change": ("/events", {**DRIVER, "correlation": "change/1"}),
    "explanation as of": ("/accounts/acme/explanation", {"driver": "3", "as_of": NOW.isoformat()}),
    "driver as of": ("/accounts/acme/drivers/3", {"as_of": NOW.isoformat()}),
    "diff of a driver": ("/accounts/acme/diff", {"driver": "3", "from": "2026-01-01"}),
    "bisect": ("/accounts/acme/mismatches", {"driver": "3"}),
    "capsule": ("/accounts/acme/drivers/3/capsule", {}),
    "lineage": ("/accounts/acme/lineage", {"id": "R3"}),
}

Fetch = Callable[[str, Sequence[Any]], list[Any]]


@pytest.fixture
async def statements(stand: ApiStand) -> dict[tuple[str, str], Sequence[Any]]:
    """What is asked of the stores, by store and statement, with the parameters of the last time."""
    await stand.set_some_aside()
    found: dict[tuple[str, str], Sequence[Any]] = {}

    def recording(name: str, fetch: Fetch) -> Fetch:
        def fetched(sql: str, parameters: Sequence[Any]) -> list[Any]:
            found[name, sql] = parameters
            return fetch(sql, parameters)

        return fetched

    for name, store in stand._installation.readers.stores.items():
        assert isinstance(store, SqliteStore)
        recorded = recording(name, store._fetch)
        store._fetch = store.log._fetch = recorded  # type: ignore[assignment,method-assign]
    return found


def scans(stand: ApiStand, statements: dict[tuple[str, str], Sequence[Any]]) -> Iterator[str]:
    """The statements that read a whole table, apart from those of a few rows for each account."""
    for (name, sql), parameters in [*statements.items()]:
        for *_, step in stand._installation.readers.stores[name]._fetch(f"EXPLAIN QUERY PLAN {sql}", parameters):  # type: ignore[attr-defined]
            if str(step).startswith("SCAN ") and not str(step).startswith(("SCAN (", "SCAN CONSTANT", "SCAN found")):
                yield f"{name}: {step}: {sql}"


@pytest.mark.parametrize("question", QUESTIONS)
async def test_no_table_is_read_whole(
    stand: ApiStand, statements: dict[tuple[str, str], Sequence[Any]], question: str
) -> None:
    path, query = QUESTIONS[question]
    assert (await stand.get(path, **query)).status_code == 200
    assert statements
    assert [*scans(stand, statements)] == []


async def listed(stand: ApiStand, **query: str) -> list[Json]:
    found: list[Json] = (await stand.get("/events", **query)).json()["events"]
    return found


async def test_a_driver_s_histories_have_what_the_whole_logs_have(stand: ApiStand) -> None:
    await stand.set_some_aside()
    whole = [each for each in await listed(stand) if each["driver"] == "3"]
    assert await listed(stand, **DRIVER) == whole != []
    newest = await listed(stand, **DRIVER, order="newest")
    assert sorted(map(_place, newest)) == sorted(map(_place, whole))


def _place(event: Json) -> tuple[str, int]:
    return event["log"], event["position"]


async def test_a_correlation_has_the_trigger_its_decisions_and_what_became_of_them(stand: ApiStand) -> None:
    await stand.set_some_aside()
    body = {"action": "update", "driver": "3", "profile": {"email": "c@fleet.test"}}
    assert (await stand.post("/accounts/acme/drivers", body)).is_success
    while stand.step():
        pass
    for correlation, types in {
        "scan/1": {"RosterScanned", "CreateDecided", "Parked"},
        "change/2": {"DriverUpdated", "CreateDecided"},
        "change/7": set[str](),
    }.items():
        found = await listed(stand, **DRIVER, correlation=correlation)
        assert {each["type"] for each in found} == types
    for query in ({"correlation": "change/1"}, {**DRIVER, "correlation": "change"}):
        assert (await stand.get("/events", **query)).status_code == 400
