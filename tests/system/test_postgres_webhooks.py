"""Messages over PostgreSQL: the same as over SQLite, for the accounts whose partition a process owns."""

from pathlib import Path

import pytest

from adapters.store.postgres import PostgresStore, migrate
from domain.store import StoreConflict
from domain.webhooks import RETRY_SCHEDULE
from services.runtime.context import WEBHOOKS
from tests.unit.services.webhooks.webhooks_stand import FAILED, OK, ROWS, WebhooksStand, confirmed, noted


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
