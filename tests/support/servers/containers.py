"""Servers in containers, where a Docker daemon of this machine answers."""

import secrets
import socket

from docker.errors import DockerException  # type: ignore[import-untyped] # it has no types
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import get_docker_host
from testcontainers.core.exceptions import ContainerStartException

from tests.support.servers.addresses import free_port
from tests.support.servers.engines import Unavailable, started
from tests.support.servers.kafka import OwnKafka
from tests.support.servers.kafka_settings import kafka_settings, new_cluster_id
from tests.support.servers.postgres import OwnPostgres
from tests.support.servers.postgres_settings import POSTGRES_SETTINGS, as_options

# The same as in docker-compose.yml.
_KAFKA = "apache/kafka:4.3.1"
_POSTGRES = "postgres:17.10-bookworm"

_DAEMON = "unix:///var/run/docker.sock"
_SECONDS_TO_ANSWER = 60.0
_SECONDS_TO_END = 120
_USER = "driverlink"
_LAST_LINES = 20
_FAILURES = (DockerException, RequestException, ContainerStartException)


class ContainerEngine:
    """Runs a server in a container, on one port of 127.0.0.1; its data stay in the container between two starts."""

    def __init__(self, container: DockerContainer, *, inside: int, outside: int) -> None:
        self._container = container
        # testcontainers knows numbers only, and would listen everywhere; Docker itself takes an address too.
        container.ports[f"{inside}/tcp"] = ("127.0.0.1", outside)  # type: ignore[assignment]
        self._is_made = False

    def start(self) -> None:
        """Make the container, or start it again. Raises Unavailable."""
        try:
            if self._is_made:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
        except _FAILURES as failure:
            raise Unavailable(f"Docker could not run {self._container.image}: {failure}") from failure
        self._is_made = True

    def stop(self, *, hard: bool) -> None:
        """End what runs in the container, and wait until it has ended."""
        container = self._container.get_wrapped_container()
        if hard:
            container.kill()
            container.wait(timeout=_SECONDS_TO_END)
        else:
            container.stop(timeout=_SECONDS_TO_END)

    def ended(self) -> str | None:
        """The last lines of a container that has ended unasked."""
        container = self._container.get_wrapped_container()
        container.reload()
        if container.status in {"created", "running", "restarting"}:
            return None
        said: bytes = container.logs(tail=_LAST_LINES)
        return said.decode(errors="replace")

    def close(self) -> None:
        """Remove the container."""
        self._container.stop()


def kafka_in_docker() -> OwnKafka:
    """A Kafka of our own, in a container. Raises Unavailable."""
    # Inside it has the same port as outside, because it tells clients one address and is a client of itself.
    port = free_port()
    settings = kafka_settings(
        broker=f"0.0.0.0:{port}",
        advertised=f"127.0.0.1:{port}",
        controller="127.0.0.1:9093",
        controller_quorum_voters="1@127.0.0.1:9093",
        log_dirs="/tmp/kafka",  # noqa: S108 - inside the container
    )
    container = _container(_KAFKA).with_envs(CLUSTER_ID=new_cluster_id(), KAFKA_HEAP_OPTS="-Xmx384m")
    for name, value in settings.items():
        container.with_env(f"KAFKA_{name.replace('.', '_').upper()}", value)
    return started(OwnKafka(f"127.0.0.1:{port}", ContainerEngine(container, inside=port, outside=port)))


def postgres_in_docker() -> OwnPostgres:
    """A PostgreSQL of our own, in a container. Raises Unavailable."""
    port, password = free_port(), secrets.token_hex(16)
    container = _container(_POSTGRES).with_envs(POSTGRES_USER=_USER, POSTGRES_PASSWORD=password)
    container.with_env("POSTGRES_INITDB_ARGS", "--locale=C.UTF-8")
    container.with_command(["postgres", *as_options(POSTGRES_SETTINGS)])
    url = f"postgresql://{_USER}:{password}@127.0.0.1:{port}/postgres"
    return started(OwnPostgres(url, ContainerEngine(container, inside=5432, outside=port)))


def _container(image: str) -> DockerContainer:
    address = get_docker_host() or _DAEMON
    kind, _, path = address.partition("://")
    if kind != "unix":
        raise Unavailable("the Docker daemon is on another machine")
    if not _answers(path):
        raise Unavailable("no Docker daemon answers")
    return DockerContainer(image)


def _answers(daemon: str) -> bool:
    """Asks by hand: Docker's own client leaves a socket open where no daemon answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS_TO_ANSWER)
        try:
            connection.connect(daemon)
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False
