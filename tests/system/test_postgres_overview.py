"""The overview and the issues look at the drivers of no account but those on the page, and at those that wait.

The accounts are put into the stores as they would be after years, without the histories behind them.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final

import httpx
import pytest

from adapters.store.postgres import PostgresStore
from adapters.store.postgres_connection import connect
from domain.identity import Key, Target
from domain.matching import key_identifier
from domain.store import Row, Unit
from services.api import issues
from services.api.app import to_app
from services.api.authentication import at_local_socket
from services.api.installation import Installation, RunningServices
from services.console import overview
from services.decider.read_models import ClaimRow, OutageRow, ReconciliationRow
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.registry import SERVICES
from tests.support.distributed import Deployment
from tests.support.recorded_statements import Look, Recorder, looks
from tests.support.servers import Postgres
from tests.system.test_postgres_queries import NOWHERE
from tests.unit.services.api.test_constant_cost import ACCOUNT, DESIRED, LINK, SHOWN

ACCOUNTS, DRIVERS, LISTED = 400, 20, 20

SINCE: Final = "2026-03-02T08:00:00+00:00"

MOST: Final = 2 * LISTED * DRIVERS + ACCOUNTS + 100
"""Rows of one table that a statement may look at: the accounts once, or both links of each driver on the page."""


def rows_of(number: int) -> Iterator[Row]:
    """An account whose drivers are in sync; in every fiftieth one waits for a person, and one cannot be reached."""
    account = name(number)
    if number == 7:
        yield OutageRow(account=account, target="motive", at=SINCE, reason="down", detail="")
    for target in map(str, Target):
        at_odds = {"phone": 3} if number == 9 and target == Target.MOTIVE else {}
        yield replace(RECONCILED, account=account, target=target, at_odds=at_odds, fields_at_odds=len(at_odds))
    for driver in range(DRIVERS):
        key, is_parked = f"D{driver}", not driver and not number % 50
        yield replace(DESIRED, account=account, driver=f"p{driver}", position=number * DRIVERS + driver + 1)
        for target in map(str, Target):
            identifier = key_identifier(Target(target), Key(key))
            link = replace(LINK, account=account, target=target, driver=f"p{driver}")
            yield replace(link, state="parked", reason="conflict", since=SINCE) if is_parked else replace(link, key=key)
            yield replace(SHOWN, account=account, target=target, identifier=identifier, key=key)
            if not is_parked:
                yield ClaimRow(account=account, target=target, identifier=identifier, driver=f"p{driver}")


RECONCILED: Final = ReconciliationRow(
    account="",
    target="",
    version=1,
    scan=1,
    request=0,
    answered=0,
    at=SINCE,
    is_refused=False,
    drivers=DRIVERS,
    found={},
    drifted={},
    at_odds={},
    fields_at_odds=0,
)


def name(number: int) -> str:
    return f"a{number:03}"


WAIT: Final = ["a007", *map(name, range(0, ACCOUNTS, 50))]
"""The accounts that need a person, those first that cannot be reached."""


def fill(url: str) -> None:
    """Let there be as many accounts."""
    accounts: list[Row] = [replace(ACCOUNT, account=name(number)) for number in range(ACCOUNTS)]
    decided: list[Row] = [row for number in range(ACCOUNTS) for row in rows_of(number)]
    for service, rows in {"accounts": accounts, "decider": [*accounts, *decided]}.items():
        spec, unit = SERVICES[service], Unit()
        unit.keep(rows)
        with closing(PostgresStore(url, "", schema=spec.schema, log_name=spec.log, rows=spec.rows)) as store:
            store.commit(unit)


@pytest.fixture(scope="module")
def filled(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An installation that has as many accounts."""
    url = postgres.database()
    found = Deployment(kafka="127.0.0.1:1", database=url, targets=NOWHERE, folder=tmp_path_factory.mktemp("many"))
    migrate_database(found.settings)
    fill(url)
    yield found
    postgres.drop(url)


def asked(filled: Deployment, *queries: tuple[str, Mapping[str, object]]) -> tuple[list[httpx.Response], list[Look]]:
    """What the API and the pages answer, and how much each statement has looked at for it."""
    recorder = Recorder()

    async def ask(installation: Installation) -> list[httpx.Response]:
        transport = httpx.ASGITransport(at_local_socket(to_app(installation)))
        async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
            return [await client.get(path, params=dict(parameters)) for path, parameters in queries]  # type: ignore[arg-type]

    with closing(Distributed(filled.settings).installation()) as installation:
        for service, store in installation.readers.stores.items():
            assert isinstance(store, PostgresStore)
            recorder.watch("api", store, SERVICES[service].schema)
        running = RunningServices(SERVICES.values(), lambda: SERVICES)
        answers = asyncio.run(ask(replace(installation, running=running)))
    with closing(connect(filled.database, "")) as connection:
        connection.prepare_threshold = None
        connection.execute("ANALYZE")
        return answers, [look for each, calls in recorder.calls.items() for look in looks(connection, each, calls)]


def test_the_overview_looks_at_the_drivers_of_no_account_but_those_on_the_page(
    filled: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_LISTED", LISTED)
    (answer, page), found = asked(filled, ("/v1/overview", {"limit": LISTED}), ("/console/", {}))
    shown = answer.json()
    others = [each for each in map(name, range(ACCOUNTS)) if each not in WAIT]
    assert [each["account"] for each in shown["accounts"]] == (WAIT + others)[:LISTED]
    assert (shown["total"], shown["need_person"], shown["next"]) == (ACCOUNTS, len(WAIT), others[LISTED - 10])
    assert f"{ACCOUNTS} accounts. {len(WAIT)} need a person" in page.text
    assert any("FROM links" in look.statement.sql for look in found)
    assert [str(look) for look in found if max(look.of_tables.values()) > MOST] == []


@pytest.mark.parametrize("page", [3, 500])
def test_the_issues_of_all_accounts_are_found_by_looking_at_them_only(
    filled: Deployment, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(issues, "_PAGE", page)
    queries = [("/v1/issues", {}), ("/v1/issues", {"reason": "conflict"}), ("/v1/issues", {"target": "portal"})]
    (answer, of_reason, of_portal), found = asked(filled, *queries)
    places = [(name(7), "motive", "down"), (name(9), "motive", "at_odds")]
    places += [(name(number), str(target), "conflict") for number in range(0, ACCOUNTS, 50) for target in Target]
    assert _places(answer) == sorted(places)[:page]
    assert _places(of_reason) == sorted(each for each in places if each[2] == "conflict")[:page]
    assert _places(of_portal) == []
    assert [str(look) for look in found if look.rows > 2 * min(page, len(places))] == []


def _places(answer: httpx.Response) -> list[tuple[str, str, str]]:
    return [(each["account"], each["target"], each["reason"]) for each in answer.json()["issues"]]
