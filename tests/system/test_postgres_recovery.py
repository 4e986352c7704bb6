"""What a store does when its server goes away, is slow, or answers nothing."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

import pytest

from adapters.store.postgres import PostgresStore
from domain.store import Store, StoreConflict, StoreFailed
from tests.contract.postgres import PostgresStand
from tests.contract.stands import SOURCE, Entry, Tick, entry, fact, unit
from tests.support.hanging import HANGS
from tests.support.servers import OwnPostgres


class Wire:
    """Between a store and its server: it can be cut when a commit is told to the server, or when it is answered."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        self.url = urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{self._listener.getsockname()[1]}"))
        self.cuts_commit = False
        self.cuts_answer = False
        self._accepting = Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        """Take no further connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._join, args=(client, socket.create_connection(self._server))).start()

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, ThreadPoolExecutor(2) as threads:
            threads.submit(self._carry, client, server, "cuts_commit")
            threads.submit(self._carry, server, client, "cuts_answer")

    def _carry(self, source: socket.socket, sink: socket.socket, cut: str) -> None:
        with suppress(OSError):
            while (data := source.recv(65_536)) and not self._is_cut(cut, data):
                sink.sendall(data)
        for side in (source, sink):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _is_cut(self, cut: str, data: bytes) -> bool:
        is_cut = getattr(self, cut) and b"COMMIT" in data
        if is_cut:
            setattr(self, cut, False)
        return is_cut


@pytest.fixture
def wire(database: str) -> Iterator[Wire]:
    with closing(Wire(database)) as wire:
        yield wire


@pytest.fixture
def distant(wire: Wire) -> Iterator[Store]:
    with closing(PostgresStand(wire.url)) as stand:
        yield stand.store


def test_a_unit_whose_answer_was_lost_is_stored_once(wire: Wire, distant: Store) -> None:
    wire.cuts_answer = True
    assert distant.commit(unit(fact(), rows=[entry("a")], at=7)) is False
    assert wire.cuts_answer is False
    assert [record.event for record in distant.log.read(0, 100)] == [fact()]
    assert (distant.select(Entry), distant.position(SOURCE)) == ([entry("a")], 7)
    assert distant.commit(unit(fact(version=2), at=8)) is True


def test_a_lost_answer_without_a_position_has_to_be_looked_for(wire: Wire, distant: Store) -> None:
    wire.cuts_answer = True
    with pytest.raises(StoreFailed, match="cannot be reached"):
        distant.commit(unit(fact()))
    with pytest.raises(StoreConflict):
        distant.commit(unit(fact()))
    assert distant.histories([fact().originator_id]) == {fact().originator_id: [fact()]}


def test_a_unit_that_did_not_reach_the_server_is_not_stored(wire: Wire, distant: Store) -> None:
    wire.cuts_commit = True
    with pytest.raises(StoreFailed, match="cannot be reached"):
        distant.commit(unit(fact(), rows=[entry("a")], at=7))
    assert (list(distant.log.read(0, 100)), distant.select(Entry), distant.position(SOURCE)) == ([], [], 0)
    assert distant.commit(unit(fact(), rows=[entry("a")], at=7)) is True


@pytest.fixture
def stand(database: str) -> Iterator[PostgresStand]:
    with closing(PostgresStand(database)) as stand:
        yield stand


def test_a_connection_that_ended_in_the_pool_is_replaced(stand: PostgresStand) -> None:
    stand.end(stand.connections())
    assert stand.store.commit(unit(fact(), at=7)) is True
    stand.end(stand.connections())
    assert stand.store.position(SOURCE) == 7


def test_a_unit_whose_connection_ended_is_not_stored(stand: PostgresStand) -> None:
    with ThreadPoolExecutor(1) as thread, stand.locked(Tick.TABLE):
        committing = thread.submit(stand.store.commit, unit(fact(), rows=[Tick(account="acme", name="a")], at=7))
        stand.until_waiting(1, committing)
        stand.end(stand.waiting())
        with pytest.raises(StoreFailed, match="cannot be reached"):
            committing.result()
    assert (list(stand.store.log.read(0, 100)), stand.store.select(Tick), stand.store.position(SOURCE)) == ([], [], 0)


@pytest.mark.parametrize(
    ("limit", "advice"), [("lock_timeout", "keeps a lock for too long"), ("statement_timeout", "took too long")]
)
def test_a_lock_or_statement_that_takes_too_long_fails_with_advice(
    stand: PostgresStand, limit: str, advice: str
) -> None:
    ticking = unit(fact(), rows=[Tick(account="acme", name="a")], at=7)
    with closing(stand.another(f"?options=-c%20{limit}%3D500ms")) as store:
        with stand.locked(Tick.TABLE), pytest.raises(StoreFailed, match=advice):
            store.commit(ticking)
        assert store.position(SOURCE) == 0
        assert store.commit(ticking) is True


@pytest.mark.parametrize("hard", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_store_works_on_when_its_server_is_back(own_postgres: OwnPostgres, *, hard: bool) -> None:
    with closing(PostgresStand(f"{own_postgres.url}?connect_timeout=2")) as stand:
        stand.store.own([3])
        stand.store.commit(unit(fact(), at=7))
        own_postgres.restart(hard=hard)
        assert [record.event for record in stand.store.log.read(0, 100)] == [fact()]
        assert stand.store.commit(unit(fact(version=2), at=8)) is True
        own_postgres.stop(hard=hard)
        assert_told_soon(stand.store)
        own_postgres.start()
        assert stand.store.commit(unit(fact(version=3), at=9)) is True
        assert stand.store.position(SOURCE) == 9


def assert_told_soon(store: PostgresStore) -> None:
    """Whatever is asked of it, a store without a server says so, after as long as its address says."""
    assert store._datastore.pool.timeout == store._datastore.pool.reconnect_timeout == 2
    asks = [lambda: store.commit(unit(fact(), at=9)), lambda: store.position(SOURCE), lambda: store.own([4])]
    with ThreadPoolExecutor(len(asks)) as threads:
        asked = [threads.submit(ask) for ask in asks]
    for each in asked:
        with pytest.raises(StoreFailed, match="cannot be reached"):
            each.result(HANGS)
