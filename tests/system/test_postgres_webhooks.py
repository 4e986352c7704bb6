"""Messages over PostgreSQL: the same as over SQLite, for the accounts whose partition a process owns."""

from contextlib import closing
from pathlib import Path

import pytest

from adapters.store.postgres import PostgresStore, migrate
from adapters.store.postgres_connection import connect
from domain.store import StoreConflict
from domain.webhooks import RETRY_SCHEDULE
from services.runtime.context import WEBHOOKS
from services.sandbox.demo import RunningSandboxes
from services.wiring.distributed import migrate_database
from tests.support.distributed import Deployment
from tests.unit.services.webhooks.webhooks_stand import FAILED, OK, ROWS, WebhooksStand, confirmed, noted


def indexes(database: str) -> dict[str, str]:
    """The indexes of messages, each with its condition."""
    asked = (
        "SELECT relname, coalesce(pg_get_expr(indpred, indrelid), '') FROM pg_index "
        "JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = 'webhooks.webhook_messages'::regclass"
    )
    with closing(connect(database, "")) as connection:
        return dict(connection.execute(asked).fetchall())


def test_former_indexes_of_messages_give_way_to_those_that_only_some_queries_use(database: str, tmp_path: Path) -> None:
    nowhere = RunningSandboxes(driveri="http://127.0.0.1:1", motive="http://127.0.0.1:1")
    settings = Deployment(kafka="127.0.0.1:1", database=database, targets=nowhere, folder=tmp_path).settings
    migrate_database(settings)
    wanted = indexes(database)
    with closing(connect(database, "")) as connection:
        connection.execute("SET search_path TO webhooks")
        connection.execute("DELETE FROM migrations WHERE number = 4")
        connection.execute(
            "DROP INDEX webhook_messages_endpoint_state_place, webhook_messages_endpoint_link_state_number"
        )
        connection.execute("CREATE INDEX webhook_messages_endpoint_place ON webhook_messages (endpoint, place)")
        former = "CREATE INDEX webhook_messages_endpoint_link_state_number ON webhook_messages"
        connection.execute(f"{former} (endpoint, link, state, number)")
    migrate_database(settings)
    assert indexes(database) == wanted
    assert "link <>" in wanted["webhook_messages_endpoint_link_state_number"]


def test_messages_are_sent_retried_parked_and_sent_again(database: str, tmp_path: Path) -> None:
    migrate(database, "", {"webhooks": ROWS})

    def opening() -> PostgresStore:
        return PostgresStore(database, "", schema="webhooks", log_name=WEBHOOKS, rows=ROWS)

    stand = WebhooksStand(tmp_path, opening)
    assert isinstance(stand.store, PostgresStore)
    stand.store.own([0])
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"), confirmed("1", 2, "A2"), confirmed("2", 1, "B1"))
    started = stand.begin()
    assert len(started) == 2
    other = opening()
    other.own([0])
    with pytest.raises(StoreConflict):
        stand.messages.end([(send, OK) for send in started])
    other.close()
    again = stand.reopened()
    (first, second) = again.begin()
    assert [each.message for each in (first, second)] == [each.message for each in started]
    again.messages.end([(first, FAILED), (second, OK)])
    for wait in RETRY_SCHEDULE:
        again.wait(seconds=wait * 1.1 + 301)
        again.send(FAILED, most=1)
    assert sorted(again.states(to)) == ["delivered", "parked", "waiting"]
    again.endpoints.turn(to, noted(), on=True)
    again.endpoints.resend(to, first.message, noted())
    again.send()
    assert again.states(to) == ["delivered"] * 3
    assert [known.messages for known in again.endpoints.all("acme")] == [{"delivered": 3}]
    again.wait(days=40)
    assert again.messages.forget_old() == 1
    again.store.close()
