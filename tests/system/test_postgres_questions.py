"""What is asked by SQL: who may, what the answers are, and that hardly more is looked at than is returned."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier

from adapters.store.postgres import PostgresStore
from adapters.store.postgres_connection import connect
from adapters.store.questions import TableView
from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Deferred,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DeleteRejected,
    DriverLink,
    LinkEvent,
    Parked,
    Rationale,
    Refused,
    Released,
    UpdateDecided,
    apply,
    origin,
    unlinked,
)
from domain.identity import PortalDriverId, Target, link_stream
from domain.outcomes import CallAnswered
from domain.store import ReadModelVersion, Store, Unit
from services.api.as_of import Logs, marks_at, rewind
from services.decider.read_models import LinkRow, to_link_row
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, outcomes_of
from services.sandbox.demo import RunningSandboxes
from services.wiring.distributed import Distributed, migrate_database, to_questions
from services.wiring.rebuild import rebuild
from services.wiring.registry import SERVICES, open_dry_run
from services.wiring.settings import DistributedSettings
from tests.support.distributed import Deployment
from tests.support.recorded_statements import Statement, looks, multiply
from tests.support.servers import Postgres
from tests.support.stepped_services import ACME, SteppedServices, both_targets
from tests.system import test_postgres_queries as fleet

GUIDE = Path(__file__).parents[2] / "docs/how-to/questions.md"
VIEWS: Final = ("links", "decisions", "attempts")
REFUSED = errors.InsufficientPrivilege | errors.ObjectNotInPrerequisiteState | errors.FeatureNotSupported
"""How a role is refused that may not do something, or that nobody can do."""

FEW, MANY = 100, 10_000

BLOCKS: Final = 150
"""Blocks of 8 kB that it may look at besides: a moment is found by halving the log."""

ALWAYS: Final = 200
"""Rows that a question may look at in vain: a table that is hardly larger may be read whole."""

NOWHERE = RunningSandboxes(driveri="http://127.0.0.1:1", motive="http://127.0.0.1:1")


@pytest.fixture(scope="module")
def settings(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DistributedSettings]:
    """An installation in which the services have worked for a fleet; its schemas have a prefix."""
    url, folder = postgres.database(), tmp_path_factory.mktemp("fleet")
    found = Deployment(kafka="127.0.0.1:1", database=url, targets=NOWHERE, folder=folder).settings
    settings = found.model_copy(update={"database_prefix": "own_"})
    migrate_database(settings)

    def on_postgres(name: str, store: Store) -> Store:
        store.close()
        spec = SERVICES[name]
        return PostgresStore(url, "", schema=f"own_{spec.schema}", log_name=spec.log, rows=spec.rows)

    services = SteppedServices(folder, both_targets(), wrapping=on_postgres)
    fleet.is_found_at_both_targets(services, 1, 2, 20)
    fleet.opts_in(services)
    fleet.identifiers_move(services)
    fleet.calls_fail(services)
    fleet.drivers_leave(services)
    fleet.state_list(services, range(30, 32), last_name="Not Decided")
    services.close()
    yield settings
    postgres.drop(url)


def url_of(settings: DistributedSettings) -> str:
    url = urlsplit(str(settings.database_url))
    netloc = f"{url.username}:{settings.database_password.get_secret_value()}@{url.hostname}:{url.port}"
    return urlunsplit(url._replace(netloc=netloc))


def asked(settings: DistributedSettings, sql: str, *parameters: object) -> list[dict[str, Any]]:
    """What the owner of the database is answered."""
    with closing(connect(url_of(settings), "", "own_questions")) as connection:
        cursor = connection.execute(sql.encode(), parameters or None)
        assert cursor.description
        names = [column.name for column in cursor.description]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


@pytest.fixture
def reader(settings: DistributedSettings) -> Iterator[str]:
    """The URL by which a role connects that may use the schema of the views and read them, as the guide says."""
    role, password, url = f"reader_{token_hex(4)}", token_hex(16), url_of(settings)
    grants, *_ = documented()
    for written, meant in (("analyst", role), ("a long one", password), ("SCHEMA questions", "SCHEMA own_questions")):
        assert written in grants
        grants = grants.replace(written, meant)
    with closing(connect(url, "")) as connection:
        connection.execute(grants.encode())
        parts = urlsplit(url)
        yield urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))
        connection.execute(SQL("DROP OWNED BY {}").format(Identifier(role)))
        connection.execute(SQL("DROP ROLE {}").format(Identifier(role)))


def documented() -> list[str]:
    """The examples of the guide: first what is granted, then what is asked."""
    return re.findall(r"^```sql\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_guide_are_answered(reader: str) -> None:
    _, *examples = documented()
    questions = [question for each in examples for question in each.split(";") if question.strip()]
    assert len(questions) > 8
    with closing(psycopg.connect(reader, autocommit=True)) as connection:
        connection.execute("SET search_path TO own_questions")
        for question in questions:
            found = connection.execute(question.encode()).fetchall()
            assert found or "0000" in question or "_as_of" in question, question


def test_the_guide_has_every_column(settings: DistributedSettings) -> None:
    text = GUIDE.read_text("utf-8")
    for view in (*VIEWS, "moments"):
        assert f"`{view}`" in text
        (first, *_) = asked(settings, f"SELECT * FROM {view}")  # noqa: S608 - a test's own names
        assert [name for name in first if f"`{name}`" not in text and view != "moments"] == []


def test_a_role_with_the_schema_of_the_views_reads_them_and_nothing_else(
    settings: DistributedSettings, reader: str
) -> None:
    with closing(psycopg.connect(reader, autocommit=True)) as connection:
        for view in (*VIEWS, "links_as_of(now())"):
            found = connection.execute(f"SELECT * FROM own_questions.{view}".encode()).fetchall()  # noqa: S608 - a test's own names
            assert found, view
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE 'own\\_%'"
        ).fetchall()
        assert len(tables) > 50
        for schema, table in tables:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {schema}.{table}".encode())  # noqa: S608 - a test's own names
        # Anybody can turn this off for themselves: it is against mistakes.
        connection.execute("SET default_transaction_read_only = off")
        for statement in (
            "UPDATE own_questions.links SET state = 'ended'",
            "INSERT INTO own_questions.moments (position) VALUES (1)",
            "DELETE FROM own_questions.decisions",
            "DROP VIEW own_questions.links",
            "CREATE TABLE own_questions.mine (id int)",
            "CREATE FUNCTION own_questions.mine() RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        ):
            with pytest.raises(psycopg.Error) as refused:
                connection.execute(statement.encode())
            assert isinstance(refused.value, REFUSED)
    assert settings.database_prefix == "own_"


def to_answer(row: LinkRow) -> tuple[object, ...]:
    """A link as the view has it."""
    texts = [text or None for text in (row.key, row.reason, row.detail)]
    since = datetime.fromisoformat(row.since) if row.since else None
    place = (row.account, row.target, row.driver)
    return *place, row.state, *texts, since, row.is_live, row.is_deleting, row.version


def links_in(settings: DistributedSettings, source: str = "links", *parameters: object) -> list[tuple[object, ...]]:
    return [
        tuple(each.values())
        for each in asked(settings, f"SELECT * FROM {source} ORDER BY account, target, driver", *parameters)  # noqa: S608 - a test's own names
    ]


def decider_of(settings: DistributedSettings, views: Collection[TableView] = ()) -> PostgresStore:
    spec = SERVICES["decider"]
    return PostgresStore(url_of(settings), "", schema="own_decider", log_name=spec.log, rows=spec.rows, views=views)


def links_kept(settings: DistributedSettings) -> list[tuple[object, ...]]:
    with closing(decider_of(settings)) as store:
        return [to_answer(row) for row in store.select(LinkRow, {}, order_by=LinkRow.KEY)]


def test_links_are_those_of_the_read_model_and_of_now(settings: DistributedSettings) -> None:
    kept = links_kept(settings)
    assert {each[3] for each in kept} >= {"in_sync", "parked", "ended"}
    assert links_in(settings) == links_in(settings, "links_as_of(now())") == kept


def test_nothing_in_the_views_is_personal(settings: DistributedSettings) -> None:
    seen = [
        str(asked(settings, f"SELECT each::text FROM {view} AS each"))  # noqa: S608 - a test's own names
        for view in (*VIEWS, "moments", "attempts_driveri")
    ]
    logged = str(asked(settings, "SELECT convert_from(state, 'UTF8') FROM own_decider.stored_events"))
    for personal in ("fleet.test", "Restated", "By Hand", "jane"):
        assert personal in logged or personal in ("By Hand", "jane")
        assert not any(personal in each for each in seen), personal


def test_decisions_and_attempts_are_the_facts_of_the_logs(settings: DistributedSettings) -> None:
    with closing(decider_of(settings)) as store:
        facts = [record.event for record in store.log.read(0, 100_000)]
    decided = [each for each in facts if each and each.TOPIC.startswith("DriverLink.")]
    shown = asked(settings, "SELECT * FROM decisions ORDER BY position")
    assert [(each["type"], each["history"], each["version"], each["at"], each["driver"]) for each in shown] == [
        (type(fact).__name__, fact.originator_id, fact.originator_version, fact.at, getattr(fact, "driver", ""))
        for fact in decided
    ]
    for fact, each in zip(decided, shown, strict=True):
        said: Mapping[str, Any] = vars(fact).get("rationale", {})
        for name in ("trigger", "ref", "situation", "mode", "reconciliation"):
            assert each[name] == said.get(name), (name, fact.TOPIC)
        for name in ("key", "desired_key", "reason", "detail", "holder", "fields", "decision", "hold"):
            assert each[name] == getattr(fact, name, None), (name, fact.TOPIC)
    for target in Target:
        spec = SERVICES[f"projector-{target}"]
        with closing(
            PostgresStore(url_of(settings), "", schema=f"own_{spec.schema}", log_name=spec.log, rows=spec.rows)
        ) as store:
            calls = [call for record in store.log.read(0, 100_000) if isinstance(call := record.event, CallAnswered)]
        shown = asked(settings, "SELECT * FROM attempts WHERE target = %s ORDER BY position", str(target))
        named = ("at", "driver", "decision", "outcome", "key", "reason", "detail")
        assert (
            [tuple(each[name] for name in (*named, "former_key")) for each in shown]
            == [tuple(getattr(call, name) for name in (*named, "left")) for call in calls]
            != []
        )


def test_views_survive_a_rebuild_and_another_version_of_the_read_model(
    settings: DistributedSettings, reader: str
) -> None:
    kept = links_kept(settings)
    shape = Distributed(settings)

    def read() -> list[tuple[object, ...]]:
        with closing(psycopg.connect(reader)) as connection:
            return connection.execute(
                "SELECT * FROM own_questions.links ORDER BY account, target, driver"
            ).fetchall()  # what was granted is still granted

    with shape.instance_lock(is_exclusive=True), shape.stores() as stores:
        for _ in range(2):
            rebuild(stores, partition_of=shape.partition_of)
            assert read() == kept
    with closing(connect(url_of(settings), "", "own_decider")) as connection:
        connection.execute("UPDATE read_models SET version = 'of another version' WHERE name = 'links'")
        assert "own_decider.links" in migrate_database(settings)
        assert read() == []
        shape.upgrade()
        assert read() == kept
        # And of another version that had other columns, as an empty table, too.
        connection.execute("UPDATE read_models SET version = 'of another version' WHERE name = 'links'")
        connection.execute("ALTER TABLE links DROP COLUMN finding, ADD COLUMN former text")
        assert "own_decider.links" in migrate_database(settings)
        shape.upgrade()
        assert read() == kept
    assert migrate_database(settings) == []
    assert read() == kept


def test_what_a_rebuild_has_made_is_what_a_view_shows(settings: DistributedSettings) -> None:
    """Not what was there before: a view keeps to the table of which it was made."""
    with closing(decider_of(settings, views=[to_questions("own_").links])) as store:
        made = {tuple(getattr(row, name) for name in LinkRow.KEY): row for row in store.select(LinkRow)[:2]}
        every = {tuple(getattr(row, name) for name in LinkRow.KEY): row for row in store.select(LinkRow)}
        (version,) = store.select(ReadModelVersion, {"name": LinkRow.TABLE})
        for rows in (made, every):
            store.begin_beside([LinkRow])
            store.put_beside(LinkRow, dict(rows), is_first=True)
            store.end_beside({LinkRow: version.version})
            assert len(links_in(settings)) == len(rows)


def logs_of(services: SteppedServices) -> Logs:
    targets = {outcomes_of(target): services.projector_stores[target] for target in Target}
    return {
        DECISIONS: services.decider_store,
        ACCOUNTS: services.accounts_store,
        CHANGES: services.intake_store,
        **targets,
    }


def test_links_as_of_a_moment_are_those_that_the_projection_makes_of_the_logs(
    postgres: Postgres, tmp_path: Path
) -> None:
    """At positions of a history in which all sorts of things happen, chosen at random."""
    url, services = postgres.database(), SteppedServices(tmp_path, both_targets())
    settings = Deployment(kafka="127.0.0.1:1", database=url, targets=NOWHERE, folder=tmp_path).settings
    settings = settings.model_copy(update={"database_prefix": "own_"})
    migrate_database(settings)
    fleet.is_found_at_both_targets(services, 1, 2, 20)
    fleet.opts_in(services)
    fleet.identifiers_move(services)
    fleet.calls_fail(services)
    fleet.targets_are_down(services)
    fleet.people_request(services)
    fleet.drivers_leave(services)
    services.run()
    facts = [record.event for record in services.decider_store.log.read(0, 100_000) if record.event]
    with closing(decider_of(settings)) as store:
        for fact in facts:
            store.commit(Unit(events=[fact]))
    moments = sorted({fact.at for fact in facts})
    chosen = [*Random(5).sample(moments, min(25, len(moments))), moments[0] - timedelta(hours=1), moments[-1]]  # noqa: S311 - a test
    states = set[object]()
    for moment in chosen:
        with open_dry_run() as past:
            logs = logs_of(services)
            assert sum(rewind(past, logs, ACME, marks_at(logs, moment))) == past.log.end()
            expected = [to_answer(row) for row in past.select(LinkRow, {}, order_by=LinkRow.KEY)]
        found = links_in(settings, "links_as_of(%s)", moment)
        assert found == expected, moment
        states |= {each[3] for each in found}
        of_account = links_in(settings, "links_as_of(%s) WHERE account = 'acme' AND driver = 'p3'", moment)
        assert of_account == [each for each in expected if each[2] == "p3"]
    assert states >= {"in_sync", "pending", "parked", "held", "ended"}
    services.close()
    postgres.drop(url)


def any_fact(link: DriverLink, at: datetime, random: Random) -> LinkEvent:
    """What may happen to a link next: only what is held is judged."""
    place, why = origin(link, at), Rationale(trigger="change", ref="1")
    decided = random.choice([CreateDecided, UpdateDecided, DeleteDecided])(
        **place,
        sequence=1,
        key=link.key,
        desired_key="D1",
        profile={},
        fields=[],
        answers=0,
        policy_generation=1,
        waits_for="",
        rationale=why,
    )
    parked = Parked(
        **place,
        sequence=1,
        reason=random.choice(["conflict", "refused"]),
        detail=random.choice(["", "in words"]),
        waits_for="",
        holder="",
        rationale=why,
    )
    judged = [each(**place, hold=1, by="jane", digest="seen") for each in (DeleteApproved, DeleteRejected)]
    return random.choice(
        [
            decided,
            parked,
            Released(**place, reason="conflict"),
            Confirmed(**place, decision=1, key=random.choice([None, "D1", "D2"]), profile={}, unlike=[]),
            Refused(**place, decision=1, reason=random.choice(["exists", "invalid"]), detail=""),
            Deferred(**place, decision=1, reason="down", detail=""),
            DeleteHeld(**place, sequence=2, key="D1", rationale=why),
            *(judged if link.held else []),
            *([DeleteRecalled(**place)] if link.held or link.let_stay else []),
        ]
    )


def test_links_as_of_a_moment_are_folded_as_the_domain_does_whatever_happens(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Whatever follows whatever: histories that no fleet comes to are folded alike, too."""
    url, random = postgres.database(), Random(11)  # noqa: S311 - a test
    settings = Deployment(kafka="127.0.0.1:1", database=url, targets=NOWHERE, folder=tmp_path).settings
    settings = settings.model_copy(update={"database_prefix": "own_"})
    migrate_database(settings)
    drivers = [PortalDriverId(f"p{number:02}") for number in range(40)]
    links = {driver: unlinked(ACME, Target.DRIVERI, driver) for driver in drivers}
    moment, states = datetime(2026, 3, 2, 8, tzinfo=UTC), set[object]()
    with closing(decider_of(settings)) as store:
        for _ in range(25):
            expected: list[tuple[object, ...]] = []
            for driver in drivers:
                moment += timedelta(seconds=1)
                fact = any_fact(links[driver], moment, random)
                store.commit(Unit(events=[fact]))
                links[driver] = apply(links[driver], fact)
                expected.append(to_answer(to_link_row(links[driver])))
            assert links_in(settings, "links_as_of(%s)", moment) == expected
            states |= {each[3] for each in expected}
    assert states == {"in_sync", "pending", "parked", "held", "kept", "ended"}
    postgres.drop(url)


QUESTIONS: Final = {
    "links of an account": "SELECT * FROM links WHERE account = 'acme' AND target = 'driveri' ORDER BY driver LIMIT 50",
    "links of an account, whole": "SELECT * FROM links WHERE account = 'acme' ORDER BY target, driver LIMIT 50",
    "a driver's links": "SELECT * FROM links WHERE account = 'acme' AND driver = 'p3'",
    "decisions of an account": "SELECT * FROM decisions WHERE account = 'acme' ORDER BY position DESC LIMIT 50",
    "decisions of a driver": "SELECT * FROM decisions WHERE account = 'acme' AND driver = 'p3' ORDER BY position DESC",
    "a decision": "SELECT * FROM decisions WHERE history = 'HISTORY' AND version = 1",
    "attempts of an account": "SELECT * FROM attempts_motive WHERE account = 'acme' ORDER BY position DESC LIMIT 50",
    "attempts of a driver": "SELECT * FROM attempts WHERE account = 'acme' AND driver = 'p3' ORDER BY at DESC",
    "attempts of a decision": "SELECT * FROM attempts WHERE account = 'acme' AND driver = 'p3' AND target = 'driveri' "
    "AND decision = 1",
    "a driver's links then": "SELECT * FROM links_as_of(now()) WHERE account = 'acme' AND driver = 'p3'",
}
"""What is asked of an account, a driver and a decision: each by an index."""


def excessive(url: str) -> Iterator[str]:
    """The questions that look at more than they may."""
    link = str(link_stream(ACME, Target.DRIVERI, PortalDriverId("p3")))
    with closing(connect(url, "")) as connection:
        connection.prepare_threshold = None
        for question, sql in QUESTIONS.items():
            for look in looks(connection, Statement("analyst", "own_questions", sql.replace("HISTORY", link)), [()]):
                if look.rows > 2 * look.returned + ALWAYS or look.blocks > BLOCKS + 40 * look.returned:
                    yield f"{question}: {look}"


def fill(url: str, rows: int) -> None:
    """Let there be as many events, and links, each of another driver of the same account."""
    with closing(connect(url, "")) as connection:
        for name in ("decider", *(f"projector_{target}" for target in Target)):
            connection.execute(SQL("SET search_path TO {}").format(Identifier(f"own_{name}")))
            connection.execute(MORE_EVENTS, [rows])
        multiply(connection, "own_decider", "links", rows)


MORE_EVENTS: Final = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, hash, account, driver)
SELECT md5(originator_id::text || copy)::uuid, originator_version, topic, state, hash, account, driver || '-' || copy
FROM stored_events, generate_series(1, (SELECT %s / count(*) FROM stored_events)) AS copy
"""


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize("has_statistics", [False, True])
def test_no_question_about_an_account_a_driver_or_a_decision_looks_at_many_more_rows_than_it_returns(
    postgres: Postgres, settings: DistributedSettings, rows: int, *, has_statistics: bool
) -> None:
    url = postgres.copy(url_of(settings))
    fill(url, rows)
    if has_statistics:
        fleet.analyse(url)
    found = [*excessive(url)]
    assert not found, "\n\n".join(found)
    postgres.drop(url)


def test_a_question_without_an_index_is_found(postgres: Postgres, settings: DistributedSettings) -> None:
    url = postgres.copy(url_of(settings))
    fill(url, MANY)
    with closing(connect(url, "")) as connection:
        for name in ("decider", "projector_driveri", "projector_motive"):
            for index in ("account", "driver"):
                connection.execute(f"DROP INDEX own_{name}.stored_events_of_{index}".encode())
    assert {found.partition(":")[0] for found in excessive(url)} >= {
        "decisions of a driver",
        "attempts of a driver",
        "a driver's links then",
    }
    postgres.drop(url)
