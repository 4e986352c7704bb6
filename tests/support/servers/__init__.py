"""A real Kafka and a real PostgreSQL for tests.

Where they come from, in this order:

1. `DRIVERLINK_TEST_KAFKA` (bootstrap servers) and `DRIVERLINK_TEST_POSTGRES` (the URL of a user who may create
   databases), where they are set;
2. containers, where a Docker daemon answers and has the images or can get them;
3. this machine: Apache Kafka on Java 17 or newer, fetched by `mvn` into the user's cache at the first use, and the
   PostgreSQL that a wheel among our development dependencies carries.

Where there is none, a test that asks for it is skipped, and the reason stands at the end of the run; where `CI` is set,
the test fails.

In tests, as fixtures (started by the first test that asks):

- `kafka`, one for the session: `kafka.servers`. It is shared, so topics and groups need names of their own. Topics are
  not made by mentioning them, records may have 10 MiB, sessions of groups may be as short as a second.
- `postgres`, one for the session: `postgres.database()` is the URL of a new, empty database, which goes with
  `postgres.drop(url)` or at the end of the session. `postgres.url` is the database that is always there.
- `database`, the URL of an empty database for one test.
- `own_kafka` and `own_postgres`, for one test alone: with `stop()`, `start()` and `restart()` besides, each stop also
  `hard=True`, which is kill -9. Port and data stay. All of them block: `await asyncio.to_thread(own_kafka.restart)`.

A fixture of another scope wraps the same servers, here for all the tests of a module:

    @pytest.fixture(scope="module")
    def broker() -> Iterator[OwnKafka]:
        with needed(own_kafka()) as server:
            yield server

Elsewhere, such as in benchmarks, `shared_kafka()`, `shared_postgres()`, `own_kafka()` and `own_postgres()` are context
managers that raise `Unavailable`. And `python -m tests.support.servers` starts both until Ctrl-C and prints the two
settings for others to use; with a command behind it, it runs that with the settings, as `make test` does for all of
its workers.

`secure_kafka()` in `secure_kafka.py` is a Kafka that asks for passwords and certificates; it needs this machine's Java.

All servers listen on 127.0.0.1 only, and end, with their data, when the process that started them ends, whichever way.
"""

from tests.support.servers.engines import Unavailable
from tests.support.servers.finding import own_kafka, own_postgres, shared_kafka, shared_postgres
from tests.support.servers.fixtures import needed
from tests.support.servers.kafka import Kafka, OwnKafka
from tests.support.servers.postgres import OwnPostgres, Postgres

__all__ = [
    "Kafka",
    "OwnKafka",
    "OwnPostgres",
    "Postgres",
    "Unavailable",
    "needed",
    "own_kafka",
    "own_postgres",
    "shared_kafka",
    "shared_postgres",
]
