"""The overview looks at the drivers of no account but those on the page, and at those that wait for a person.

The accounts are put into the stores as they would be after years, without the histories behind them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import pytest

from adapters.store.postgres import PostgresStore
from adapters.store.postgres_connection import connect
from domain.identity import Key, Target
from domain.matching import key_identifier
from domain.store import Row, Unit
from services.api.app import to_app
from services.api.authentication import at_local_socket
from services.api.installation import Installation, RunningServices
from services.console import overview
from services.decider.read_models import ClaimRow, OutageRow
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.registry import SERVICES
from tests.support.distributed import Deployment
from tests.support.recorded_statements import Recorder, looks
from tests.system.test_postgres_queries import NOWHERE
from tests.unit.services.api.test_constant_cost import ACCOUNT, DESIRED, LINK, SHOWN

ACCOUNTS, DRIVERS, LISTED = 400, 20, 20

MOST: Final = 2 * LISTED * DRIVERS + ACCOUNTS + 100
"""Rows that one statement may look at: the accounts once, or both links of each driver on the page."""


def rows_of(number: int) -> Iterator[Row]:
    """An account whose drivers are in sync; in every fiftieth one waits for a person, and one cannot be reached."""
    account = name(number)
    if number == 7:
        yield OutageRow(account=account, target="motive", at="2026-03-02T08:00:00+00:00", reason="down", detail="")
    for driver in range(DRIVERS):
        key, is_parked = f"D{driver}", not driver and not number % 50
        yield replace(DESIRED, account=account, driver=f"p{driver}", position=number * DRIVERS + driver + 1)
        for target in map(str, Target):
            identifier = key_identifier(Target(target), Key(key))
            link = replace(LINK, account=account, target=target, driver=f"p{driver}")
            yield replace(link, state="parked", reason="conflict") if is_parked else replace(link, key=key)
            yield replace(SHOWN, account=account, target=target, identifier=identifier, key=key)
            if not is_parked:
                yield ClaimRow(account=account, target=target, identifier=identifier, driver=f"p{driver}")


def name(number: int) -> str:
    return f"a{number:03}"


def fill(url: str) -> None:
    """Let there be as many accounts."""
    accounts: list[Row] = [replace(ACCOUNT, account=name(number)) for number in range(ACCOUNTS)]
    decided: list[Row] = [row for number in range(ACCOUNTS) for row in rows_of(number)]
    for service, rows in {"accounts": accounts, "decider": [*accounts, *decided]}.items():
        spec, unit = SERVICES[service], Unit()
        unit.keep(rows)
        with closing(PostgresStore(url, "", schema=spec.schema, log_name=spec.log, rows=spec.rows)) as store:
            store.commit(unit)


async def ask(installation: Installation) -> list[httpx.Response]:
    """What the API and the page answer."""
    transport = httpx.ASGITransport(at_local_socket(to_app(installation)))
    async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
        return [await client.get("/v1/overview", params={"limit": LISTED}), await client.get("/console/")]


def test_the_overview_looks_at_the_drivers_of_no_account_but_those_on_the_page(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_LISTED", LISTED)
    settings = Deployment(kafka="127.0.0.1:1", database=database, targets=NOWHERE, folder=tmp_path).settings
    migrate_database(settings)
    fill(database)
    recorder = Recorder()
    with closing(Distributed(settings).installation()) as installation:
        for service, store in installation.readers.stores.items():
            assert isinstance(store, PostgresStore)
            recorder.watch("api", store, SERVICES[service].schema)
        running = RunningServices(SERVICES.values(), lambda: SERVICES)
        answer, page = asyncio.run(ask(replace(installation, running=running)))
    found = answer.json()
    wait = ["a007", *(name(number) for number in range(0, ACCOUNTS, 50))]
    others = [each for each in map(name, range(ACCOUNTS)) if each not in wait]
    assert [each["account"] for each in found["accounts"]] == (wait + others)[:LISTED]
    assert (found["total"], found["need_person"], found["next"]) == (ACCOUNTS, len(wait), others[LISTED - 10])
    assert f"{ACCOUNTS} accounts. {len(wait)} need a person" in page.text
    assert excessive(database, recorder) == []


def excessive(url: str, recorder: Recorder) -> list[str]:
    """Every call that looks at more than it may, once the database has gathered statistics."""
    with closing(connect(url, "")) as connection:
        connection.prepare_threshold = None
        connection.execute("ANALYZE")
        found = [look for each, calls in recorder.calls.items() for look in looks(connection, each, calls)]
    assert any("FROM links" in look.statement.sql for look in found)
    return [str(look) for look in found if look.rows > MOST]
