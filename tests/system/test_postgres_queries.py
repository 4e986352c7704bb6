"""Whatever the services ask of PostgreSQL, they look at hardly more rows than they get, however many there are.

The statements are not listed: they are recorded while the services work for a fleet whose day has everything in it. A
new query is covered as soon as a service asks it. Each is run again on few and on many rows of the same account, as the
database plans it for the values at hand and for any values, with statistics, without, and with those of a small table.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Final

import httpx
import pytest
from fastapi import FastAPI
from psycopg.sql import SQL, Identifier

from adapters.store.postgres import PostgresStore
from adapters.store.postgres_connection import connect
from domain.account import DeletesApproved, Mode, Request
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from domain.ports import PortalLine
from domain.store import FILLED, Store, Where
from services.api.app import to_app
from services.api.authentication import at_local_socket
from services.api.installation import RunningServices
from services.decider.read_models import LinkRow
from services.intake.handlers import new_snapshot
from services.sandbox.demo import RunningSandboxes
from services.webhooks.read_models import EndpointId
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.registry import SERVICES
from tests.support.distributed import Deployment
from tests.support.recorded_statements import (
    Look,
    Recorder,
    Statement,
    forget_rolled_back,
    keep_statistics,
    looks,
    multiply,
)
from tests.support.servers import Postgres
from tests.support.stated import whole
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person
from tests.unit.services.webhooks.webhooks_stand import FAILED, WebhooksStand, noted

FEW, MANY, VERY_MANY = 100, 2_000, 100_000
MANY_ROWS = pytest.mark.parametrize("rows", [MANY, pytest.param(VERY_MANY, marks=pytest.mark.long)])

ALWAYS: Final = 20
"""Rows that a statement may look at in vain, however few it returns."""

BLOCKS, BLOCKS_EACH = 20, 6
"""Blocks of 8 kB that a query may look at in any case, and for each row that it returns or is asked for."""

WRITTEN_BLOCKS, WRITTEN_BLOCKS_EACH = 60, 40
"""The same of a statement that writes: into several indexes, beside what was written and rolled back before it."""

DOWN = Unavailable(reason=Reason.DOWN, detail="no connection")
INVALID = Rejected(reason=Reason.INVALID, detail="answered 400")
ENDPOINT = EndpointId(ACME, "ep_0_acme")
NOWHERE = RunningSandboxes(driveri="http://127.0.0.1:1", motive="http://127.0.0.1:1")

ALLOWED: Final[Sequence[tuple[str, str, str]]] = (
    ("api", "COUNT(*)", "counts for a page of a person, over an account or over all"),
    (
        "api",
        "FROM links WHERE account = %s AND target = %s AND state = ANY(%s::text[])",
        "a page of links in several states",
    ),
    ("api", "FROM links WHERE account = %s AND target = %s AND reconciliation = %s", "a page of one reconciliation"),
    ("services", "SELECT COUNT(*) FROM roster WHERE account = %s AND is_there", "compares a whole scan, once for each"),
    ("services", "SELECT COUNT(*) FROM deliveries WHERE account = %s", "asked once for each scan"),
    (
        "services",
        "COUNT(*) FROM links WHERE account = ANY(%s::text[]) AND target = ANY(%s::text[]) AND is_live",
        "the guard's limit",
    ),
    (
        "services",
        "FROM known_drivers WHERE account = %s AND is_there = %s",
        "compares a complete list with all drivers",
    ),
)
"""Who may look at more, at a part of the statement, and why: nothing of it is asked for a change that comes alone."""


@pytest.fixture(scope="module")
def recorded(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Recorder]]:
    """A database in which the services have worked for a fleet, and what they asked."""
    url, folder = postgres.database(), tmp_path_factory.mktemp("fleet")
    deployment = Deployment(kafka="127.0.0.1:1", database=url, targets=NOWHERE, folder=folder)
    migrate_database(deployment.settings)
    with closing(connect(url, "")) as connection:
        for spec in SERVICES.values():
            keep_statistics(connection, spec.schema)
    recorder = Recorder()

    def watched(asker: str, name: str) -> Store:
        spec = SERVICES[name]
        opened = PostgresStore(url, "", schema=spec.schema, log_name=spec.log, rows=spec.rows)
        recorder.watch(asker, opened, spec.schema)
        return opened

    def on_postgres(name: str, store: Store) -> Store:
        store.close()
        return watched("services", name)

    services = SteppedServices(folder, both_targets(), wrapping=on_postgres)
    webhooks = WebhooksStand(folder, partial(watched, "services", "webhooks"))
    with closing(webhooks.store), closing(watched("api", "webhooks")) as commands:
        webhooks.endpoints = webhooks.endpoints.on(commands)
        whole_day(services, webhooks)
    with closing(Distributed(deployment.settings).installation()) as installation:
        for name, store in installation.readers.stores.items():
            assert isinstance(store, PostgresStore)
            recorder.watch("api", store, SERVICES[name].schema)
        running = RunningServices(SERVICES.values(), lambda: SERVICES)
        asyncio.run(every_page(to_app(replace(installation, running=running))))
    yield url, recorder
    postgres.drop(url)


def whole_day(services: SteppedServices, webhooks: WebhooksStand) -> None:
    """Everything that can happen to a fleet: what the services ask for it is recorded."""
    webhooks.now = services.now
    assert webhooks.add() == ENDPOINT
    is_found_at_both_targets(services, 1, 2, 20)
    opts_in(services)
    identifiers_move(services)
    calls_fail(services)
    targets_are_down(services)
    people_request(services)
    drivers_leave(services)
    days_pass(services)
    messages_are_sent(services, webhooks)
    services_restart(services)


def is_found_at_both_targets(services: SteppedServices, *numbers: int) -> None:
    """People made these drivers by hand, and deleted one of them."""
    for number in numbers:
        there = ObservedDriver(key=Key(f"D{number}"), active=number != 2, profile=person(number, last_name="By Hand"))
        services.twins[ACME, Target.DRIVERI].drivers.put(there)
        services.twins[ACME, Target.MOTIVE].drivers.add_by_hand(Key(f"90{number}"), person(number))


def opts_in(services: SteppedServices) -> None:
    services.add(is_on=False)
    services.state("p1", person(1))
    state_list(services, range(2, 13))
    services.turn_on()
    services.run()


def identifiers_move(services: SteppedServices) -> None:
    """A driver is restated, one renamed, two swap their ids, one wants another's, and one has none."""
    services.state("p3", person(3, last_name="Restated"))
    services.state("p4", person(4, driveri_driver_id="D40"))
    services.state("p5", person(5, driveri_driver_id="D6"))
    services.state("p6", person(6, driveri_driver_id="D5"))
    services.state("p7", person(7, driveri_driver_id="D8"))
    services.state("p9", person(9, driveri_driver_id="", ref_id=""))
    services.run()


def calls_fail(services: SteppedServices) -> None:
    for target in Target:
        services.twins[ACME, target].fail_next(DOWN, "after")
        services.twins[ACME, target].fail_writes(INVALID, 2)
    state_list(services, range(10, 13), last_name="Failing")
    services.run()


def targets_are_down(services: SteppedServices) -> None:
    for target in Target:
        services.twins[ACME, target].down = ("before", DOWN)
    state_list(services, range(10, 13), last_name="Late")
    for _ in range(8):
        services.run()
        services.wait(minutes=20)
    for target in Target:
        services.twins[ACME, target].mend()


def people_request(services: SteppedServices) -> None:
    """A retry, a reconciliation of a driver, and one of everybody."""
    for target in Target:
        services.ask(partial(Request.retry, target=target, driver="", reason=""))
        services.ask(partial(Request.reconciliation, target=target, driver="p3", keys=["D3"]))
        services.ask(partial(Request.reconciliation, target=target))
    services.run()


def drivers_leave(services: SteppedServices) -> None:
    """More than the guard lets go, until all is approved."""
    services.delete(*(f"p{number}" for number in range(1, 9)))
    services.run()
    for target in Target:
        approve(services, target)
    services.run()


def days_pass(services: SteppedServices) -> None:
    """Modes change, reconciliations come of themselves, and complete lists lack most."""
    for target in Target:
        services.set_mode(target, Mode.OBSERVE)
        services.set_mode(target, Mode.FULL)
    for _ in range(2):
        services.wait(days=1, hours=1)
        snapshot(services, range(10, 12))
        services.run()


def messages_are_sent(services: SteppedServices, webhooks: WebhooksStand) -> None:
    """Of all that was decided: some arrive, some fail, people ask for some, and some are under way at a kill."""
    endpoints, messages, to, deleted = webhooks.endpoints, webhooks.messages, ENDPOINT, webhooks.add(types=())
    webhooks.happen(*services.decided())
    endpoints.ping(deleted, "msg_ping", noted())
    webhooks.send(most=20)
    endpoints.delete(deleted, noted())
    webhooks.send(FAILED, most=1)
    for on in (False, True):
        endpoints.turn(to, noted(), on=on)
    endpoints.ping(to, "msg_ping", noted())
    assert endpoints.messages(to, "parked", "", 1) == []
    endpoints.resend(to, endpoints.messages(to, "delivered", "", 1)[0].message, noted())
    assert webhooks.begin()
    messages.under_way.clear()
    messages.resume()
    webhooks.wait(hours=1)
    webhooks.send()
    assert set(webhooks.states(to)) == {"delivered"}
    messages.forget_old()


def services_restart(services: SteppedServices) -> None:
    """With work in hand, while sync is off; then it is turned on again."""
    services.turn_off()
    state_list(services, range(14, 16))
    services.run()
    again = services.reopened()
    again.turn_on()
    again.run()
    again.intake.forget_unfinished_snapshots()
    again.close()


def state_list(services: SteppedServices, numbers: range, **changed: str) -> None:
    """The Portal lists these drivers."""
    lines = [
        PortalLine(line=number, driver=PortalDriverId(f"p{number}"), profile=whole(person(number, **changed)))
        for number in numbers
    ]
    services.intake.take_list(ACME, lines, source="api")


def snapshot(services: SteppedServices, numbers: range) -> None:
    """A complete list lacks everybody else."""
    name = new_snapshot(services.now)
    lines = [
        PortalLine(line=number, driver=PortalDriverId(f"p{number}"), profile=whole(person(number)))
        for number in numbers
    ]
    services.intake.take_list(ACME, lines, source="api", snapshot=name)
    services.intake.finish_snapshot(ACME, source="api", snapshot=name, refused=[], may_lack_many=True)


def approve(services: SteppedServices, target: Target) -> None:
    """Jane approves all deletes that are held."""
    held: Where = {"account": str(ACME), "target": str(target), "hold": FILLED}
    rows = services.decider_store.select(LinkRow, held, order_by="driver")
    holds: list[list[str | int]] = [[row.driver, row.hold] for row in rows]
    services.ask(lambda person, known: person.judge(known, DeletesApproved, target=target, digest="seen", holds=holds))


async def every_page(app: FastAPI) -> None:
    """Ask the API for everything that it shows: of one account, driver and target, also as of a moment, and of all."""
    known = {
        "account": ACME,
        "target": "driveri",
        "driver": "p3",
        "endpoint": ENDPOINT.endpoint,
        "find": "d",
        "from": "2026-01-01",
        "id": "D3",
        "log": "decisions",
        "position": "1",
        "request": "1",
    }
    transport = httpx.ASGITransport(at_local_socket(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
        for path, verbs in app.openapi()["paths"].items():
            if "get" in verbs:
                named = {each["name"] for each in verbs["get"].get("parameters", ())}
                of_one = {name: value for name, value in known.items() if name in named}
                of_account = [{"account": str(ACME), "order": "newest"}] if "order" in named else []
                past = [{**of_one, "as_of": "2026-06-01"}] if "as_of" in named else []
                for query in ({}, of_one, *of_account, *past):
                    answer = await client.get(path.format(**known), params=query)
                    assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, f"{path}: {answer.text}"


@contextmanager
def copied(postgres: Postgres, url: str) -> Iterator[str]:
    """A copy of the database, without statistics, while this lasts; its positions can be moved as they were before."""
    copy = postgres.copy(url)
    with closing(connect(copy, "")) as connection:
        for spec in SERVICES.values():
            tracking = Identifier(spec.schema, "tracking")
            connection.execute(SQL("UPDATE {} SET notification_id = 0").format(tracking))
    yield copy
    postgres.drop(copy)


def fill(url: str, rows: int) -> None:
    """Let there be as many rows in each table that has any."""
    with closing(connect(url, "")) as connection:
        for spec in SERVICES.values():
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [spec.schema])
            for (table,) in tables.fetchall():
                multiply(connection, spec.schema, table, rows)


def analyse(url: str) -> None:
    """Let the database gather statistics."""
    with closing(connect(url, "")) as connection:
        connection.execute("ANALYZE")


def excessive(url: str, recorder: Recorder) -> Iterator[Look]:
    """Every call that looks at more than it may."""
    with closing(connect(url, "")) as connection:
        connection.prepare_threshold = None
        # What is written is rolled back, and would stay in the way of what is read behind it.
        for statement in sorted(recorder.calls, key=lambda each: not each.is_read):
            calls = recorder.calls[statement]
            yield from (look for look in looks(connection, statement, calls) if not is_allowed(look))
        for spec in SERVICES.values():
            forget_rolled_back(connection, spec.schema)


def is_allowed(look: Look) -> bool:
    """Whether a call looks at hardly more than it returns, or has a reason to."""
    if any(look.statement.asker == who and part in look.statement.sql for who, part, _ in ALLOWED):
        return True
    is_narrow = look.rows <= 2 * look.returned + ALWAYS
    is_read = look.statement.is_read
    always, each = (BLOCKS, BLOCKS_EACH) if is_read else (WRITTEN_BLOCKS, WRITTEN_BLOCKS_EACH)
    return is_narrow and look.blocks <= always + each * max(look.returned, look.asked)


def demand_narrow_looks(url: str, recorder: Recorder) -> None:
    found = [*excessive(url, recorder)]
    assert not found, "\n\n".join(map(str, found))


@MANY_ROWS
def test_no_query_looks_at_many_more_rows_than_it_returns_while_tables_grow(
    postgres: Postgres, recorded: tuple[str, Recorder], rows: int
) -> None:
    """What the database knows of the tables is behind: nothing, all, then that they are small, and all again."""
    url, recorder = recorded
    with copied(postgres, url) as growing:
        for size in (FEW, rows):
            fill(growing, size)
            demand_narrow_looks(growing, recorder)
            analyse(growing)
            demand_narrow_looks(growing, recorder)


@MANY_ROWS
def test_no_query_looks_at_many_more_rows_than_it_returns_while_the_database_knows_nothing_of_many(
    postgres: Postgres, recorded: tuple[str, Recorder], rows: int
) -> None:
    url, recorder = recorded
    with copied(postgres, url) as filled:
        fill(filled, rows)
        demand_narrow_looks(filled, recorder)


def test_a_query_that_has_no_index_is_found(postgres: Postgres, recorded: tuple[str, Recorder]) -> None:
    url, _ = recorded
    slow, recorder = (
        Statement("a test", "decider", "SELECT driver FROM links WHERE account = %s AND detail = %s"),
        Recorder(),
    )
    recorder.note(slow, (ACME, "nowhere"))
    with copied(postgres, url) as filled:
        fill(filled, 1000)
        found = [*excessive(filled, recorder)]
    assert [(look.statement, look.rows, look.returned) for look in found] == [(slow, 1000, 0)] * 2


def test_every_service_and_the_api_are_covered(recorded: tuple[str, Recorder]) -> None:
    _, recorder = recorded
    for asker in ("services", "api"):
        asked = {statement.schema for statement in recorder.calls if statement.asker == asker}
        assert asked == {spec.schema for spec in SERVICES.values()}


def test_who_may_look_at_more_does_ask(recorded: tuple[str, Recorder]) -> None:
    _, recorder = recorded
    asked = [*recorder.calls]
    for who, part, why in ALLOWED:
        assert any(each.asker == who and part in each.sql for each in asked), (who, part, why)
