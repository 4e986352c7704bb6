"""A relay that fails starts over, and says so once; what a person has to set up otherwise ends it."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.store.sqlite import SqliteStore
from domain.store import Misconfigured, Record, Resubmission, StoreFailed, Stream
from services.runtime.outbox import Relay
from tests.contract.stands import fact, unit
from tests.support.travelling_time import run

AWAY = StoreFailed("Kafka cannot be reached")


class Enough(Misconfigured):
    """The test has seen what it wanted."""


class Mine:
    """It is always our turn, until there is nothing left to send."""

    def take(self) -> bool:
        return True

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        raise Enough

    def close(self) -> None:
        """Nothing to leave."""


class Topic:
    """Takes records, unless it has a failure left; each publisher of it is a new one."""

    def __init__(self, *failures: StoreFailed) -> None:
        self.failures = list(failures)
        self.taken: list[int] = []

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        assert topic == "x.v1"
        if self.failures:
            raise self.failures.pop(0)
        self.taken += [record.position for record in records]

    async def close(self) -> None:
        """Nothing to let go of."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "x.sqlite", log_name="x.v1", rows=())) as store:
        store.commit(unit(fact(), fact(version=2)))
        yield store


def relayed(store: SqliteStore, topic: Topic) -> list[str]:
    """Relay everything; what is said meanwhile."""
    relaying = Relay(store, "x.v1", epoch="1", leader_lock=Mine(), opening=lambda: topic)
    with capture_logs() as logs, pytest.raises(Enough):
        run(relaying.run())
    return [each["event"] for each in logs if each["log_level"] == "warning"]


def test_the_same_trouble_is_said_once_and_once_more_when_it_is_over(store: SqliteStore) -> None:
    topic = Topic(AWAY, AWAY, AWAY)
    assert relayed(store, topic) == ["relay starts over", "trouble is over"]
    assert topic.taken == [1, 2]


def test_another_trouble_is_said_too(store: SqliteStore) -> None:
    topic = Topic(AWAY, StoreFailed("the database cannot be reached"), AWAY)
    assert relayed(store, topic) == ["relay starts over"] * 3 + ["trouble is over"]


def test_without_trouble_nothing_is_said(store: SqliteStore) -> None:
    assert relayed(store, Topic()) == []


def test_what_a_person_has_to_set_up_otherwise_ends_the_relay(store: SqliteStore) -> None:
    refused = Misconfigured("it refuses our user: check DRIVERLINK_KAFKA_USERNAME")
    topic = Topic(AWAY, refused)
    relaying = Relay(store, "x.v1", epoch="1", leader_lock=Mine(), opening=lambda: topic)
    with pytest.raises(Misconfigured, match="refuses our user"):
        run(relaying.run())


def test_a_log_that_does_not_get_out_is_stuck_until_it_does(store: SqliteStore) -> None:
    seen: list[str | None] = []

    class Watching(Topic):
        async def publish(self, topic: str, records: Sequence[Record]) -> None:
            seen.append(relaying.stuck())
            await super().publish(topic, records)

    topic = Watching(*[AWAY] * 40)
    relaying = Relay(store, "x.v1", epoch="1", leader_lock=Mine(), opening=lambda: topic)
    with pytest.raises(Enough):
        run(relaying.run())
    assert seen[:30] == [None] * 30
    assert seen[-1] == "x.v1 has not been relayed for 39 seconds"
    assert relaying.stuck() is None


class Counted:
    """A log that counts how often it is read."""

    def __init__(self, log: Stream) -> None:
        self._log = log
        self.name = log.name
        self.reads = 0

    def read(self, after: int, limit: int) -> Sequence[Record]:
        self.reads += 1
        return self._log.read(after, limit)

    def end(self) -> int:
        return self._log.end()

    def again(self, resubmission: Resubmission) -> Record:
        return self._log.again(resubmission)


class Notified(Mine):
    """Something is stored each time that is waited for it, until that is enough."""

    def __init__(self, store: SqliteStore, *versions: int) -> None:
        self._store = store
        self._versions = list(versions)

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        if not self._versions:
            raise Enough
        self._store.commit(unit(fact(version=self._versions.pop(0))))


def test_a_log_is_read_once_each_time_that_something_was_stored(store: SqliteStore) -> None:
    topic, log = Topic(), Counted(store.log)
    store.log = log  # type: ignore[assignment] # as good as its own
    relaying = Relay(store, "x.v1", epoch="1", leader_lock=Notified(store, 3, 4, 5), opening=lambda: topic)
    with pytest.raises(Enough):
        run(relaying.run())
    assert topic.taken == [1, 2, 3, 4, 5]
    assert log.reads == 1 + 3
