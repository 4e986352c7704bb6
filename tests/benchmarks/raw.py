"""What the library and the database can do at most: events of ours stored by the library's own recorder."""

from collections.abc import Sequence
from contextlib import closing
from time import perf_counter

from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.postgres import PostgresProcessRecorder
from psycopg.sql import SQL, Identifier

from adapters.store.postgres_connection import Datastore, connect
from services.runtime.consumer import BATCH


def raw_seconds(url: str, schema: str, events: Sequence[StoredEvent]) -> float:
    """The seconds in which these events are stored in a new schema, in batches, each with a position, and no more."""
    with closing(connect(url, "")) as connection:
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
    with closing(Datastore(url, "", schema)) as datastore:
        recorder = PostgresProcessRecorder(datastore)
        recorder.create_table()
        began = perf_counter()
        for start in range(0, len(events), BATCH):
            recorder.insert_events(events[start : start + BATCH], tracking=Tracking("raw", start + 1))
        return perf_counter() - began
