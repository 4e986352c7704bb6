"""A PostgreSQL for tests: given, or our own."""

import secrets
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.support.servers.engines import Engine, OwnServer


class Postgres:
    """A PostgreSQL that may have other users: it takes databases, and cannot be restarted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []

    def database(self) -> str:
        """The URL of a new, empty database; it is dropped by `drop`, or at the latest with everything at the end."""
        return self._created("template1")

    def copy(self, url: str) -> str:
        """The URL of a new database with all that this one has; whatever is connected to this one is disconnected."""
        name = urlsplit(url).path.removeprefix("/")
        disconnect = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = {}"
        self._execute(sql.SQL(disconnect).format(sql.Literal(name)))
        return self._created(name)

    def drop(self, url: str) -> None:
        """Drop a database that `database` has made, also from under those who are connected to it."""
        self._made.remove(url)
        name = urlsplit(url).path.removeprefix("/")
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Drop every database that `database` has made and that is still there."""
        for url in list(self._made):
            self.drop(url)

    def answers(self) -> bool:
        """Whether a query is answered now."""
        try:
            self._execute(sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            return False
        return True

    def _created(self, template: str) -> str:
        name = f"test_{secrets.token_hex(8)}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        self._made.append(url)
        return url

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=60) as connection:
            connection.execute(statement)


class OwnPostgres(Postgres, OwnServer):
    """A PostgreSQL for one test alone: it can be stopped, killed and started again."""

    def __init__(self, url: str, engine: Engine) -> None:
        Postgres.__init__(self, url)
        OwnServer.__init__(self, engine)

    def close(self) -> None:
        """End the server for good, and remove all that it left."""
        OwnServer.close(self)
