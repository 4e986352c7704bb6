"""Where servers for tests come from, and what becomes of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers.cache import cached
from tests.support.servers.engines import OwnServer, Unavailable, first_available, started
from tests.support.servers.finding import KAFKA, POSTGRES, shared_kafka, shared_postgres
from tests.support.servers.fixtures import needed
from tests.support.servers.keeper import still_running

NOBODY_LISTENS = "127.0.0.1:1"


class Stillborn:
    """An engine whose server ends as soon as it is started."""

    def __init__(self) -> None:
        self.is_closed = False

    def start(self) -> None: ...

    def stop(self, *, hard: bool) -> None: ...

    def ended(self) -> str:
        return "the disk is full"

    def close(self) -> None:
        self.is_closed = True


class Silent(OwnServer):
    """A server that never answers."""

    def answers(self) -> bool:
        return False


def _unavailable(reason: str) -> str:
    raise Unavailable(reason)


@contextmanager
def _nowhere() -> Iterator[str]:
    yield first_available("Kafka", list[Callable[[], str]]())


def _make(path: Path) -> None:
    path.write_text("made")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "driverlink"


def test_the_first_way_that_leads_to_a_server_is_taken() -> None:
    ways = [lambda: _unavailable("no Docker"), lambda: "by the second way", lambda: "by the third way"]
    assert first_available("Kafka", ways) == "by the second way"


def test_where_no_way_leads_to_a_server_each_says_why() -> None:
    with pytest.raises(Unavailable) as failure:
        first_available("Kafka", [lambda: _unavailable("no Docker"), lambda: _unavailable("no Java")])
    assert str(failure.value) == "no Kafka here: no Docker; no Java"


def test_a_server_that_ends_while_starting_says_its_last_words_and_leaves_nothing() -> None:
    engine = Stillborn()
    with pytest.raises(Unavailable, match="the disk is full"):
        started(Silent(engine))
    assert engine.is_closed


def test_a_given_kafka_is_never_replaced_by_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KAFKA, NOBODY_LISTENS)
    with pytest.raises(Unavailable, match=KAFKA), shared_kafka():
        pass


def test_a_given_postgres_is_never_replaced_by_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES, f"postgresql://{NOBODY_LISTENS}/postgres")
    with pytest.raises(Unavailable, match=POSTGRES), shared_postgres():
        pass


def test_without_its_server_a_test_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Kafka here"), needed(_nowhere()):
        pass


def test_without_its_server_a_test_fails_where_nothing_may_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Kafka here"), needed(_nowhere()):
        pass


def test_what_is_in_the_cache_is_not_made_again(cache: Path) -> None:
    made = cached("jars", _make)
    assert made == cache / "jars"
    assert cached("jars", lambda _: pytest.fail("made again")).read_text() == "made"


def test_half_of_a_thing_never_gets_into_the_cache(cache: Path) -> None:
    def make_half(path: Path) -> None:
        path.write_text("half")
        raise Unavailable("the network is gone")

    with pytest.raises(Unavailable):
        cached("jars", make_half)
    assert [path.name for path in cache.iterdir()] == ["jars.lock"]


def test_what_a_killed_run_left_half_made_is_made_again(cache: Path) -> None:
    (cache / "making-jars").mkdir(parents=True)
    (cache / "making-jars" / "jars").write_text("half")
    assert cached("jars", _make).read_text() == "made"
    assert sorted(path.name for path in cache.iterdir()) == ["jars", "jars.lock"]


def test_the_keeper_ends_those_that_have_not_ended() -> None:
    assert still_running(["+11 9\n", "+12 3\n", "-11\n", "+13 9\n"]) == {12: 3, 13: 9}
