"""How Kafka is reached, and what its failures mean; no exception of its clients leaves this package.

StoreFailed
  StreamsFailed             cannot go on; the message says what would help
    PublishFailed           not everything was acknowledged: go on with a new publisher
    StreamsMisconfigured    a person has to set something up otherwise; it is a `Misconfigured` too
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from domain.store import Misconfigured, StoreFailed


class Security(StrEnum):
    """How the connection is protected."""

    PLAINTEXT = "plaintext"
    SSL = "ssl"
    SASL_PLAINTEXT = "sasl_plaintext"
    SASL_SSL = "sasl_ssl"


class Mechanism(StrEnum):
    """How a user shows who it is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


_SASL = {
    Mechanism.PLAIN: SASLPlaintext,
    Mechanism.SCRAM_SHA_256: SASLScram256,
    Mechanism.SCRAM_SHA_512: SASLScram512,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """Where Kafka is, and the user that connects. Without a CA file, servers are checked as the system does it."""

    servers: tuple[str, ...]
    security: Security = Security.PLAINTEXT
    mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def to_security(self) -> BaseSecurity:
        """What FastStream asks for. Raises `StreamsMisconfigured` when a file cannot be used."""
        context: ssl.SSLContext | None = None
        if self.security in {Security.SSL, Security.SASL_SSL}:
            with _usable("DRIVERLINK_KAFKA_CA_FILE"):
                context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file:
                with _usable("DRIVERLINK_KAFKA_CERTIFICATE_FILE with DRIVERLINK_KAFKA_KEY_FILE"):
                    context.load_cert_chain(self.certificate_file, self.key_file, password=_no_password)
        if self.security in {Security.PLAINTEXT, Security.SSL}:
            return BaseSecurity(ssl_context=context)
        return _SASL[self.mechanism](username=self.username, password=self.password, ssl_context=context)

    def to_options(self) -> dict[str, Any]:
        """What the clients of aiokafka ask for. Raises `StreamsMisconfigured` when a file cannot be used."""
        return {"bootstrap_servers": list(self.servers), **parse_security(self.to_security())}


@contextmanager
def _usable(settings: str) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise StreamsMisconfigured(f"{settings} cannot be used: {failure.strerror or failure}") from failure


def _no_password() -> str:
    """Instead of asking at the terminal."""
    raise StreamsMisconfigured("the key in DRIVERLINK_KAFKA_KEY_FILE is encrypted: give one that is not")


class StreamsFailed(StoreFailed):
    """Kafka cannot be used as it should; the message says what would help."""

    part: ClassVar[str] = "kafka"


class PublishFailed(StreamsFailed):
    """Not every record was acknowledged; some may be there all the same. Go on with a new publisher."""


class StreamsMisconfigured(StreamsFailed, Misconfigured):
    """Kafka, or how we are to use it, is not set up as it has to be; waiting does not change that."""


_ANSWER = 5.0
"""Seconds that a server has for letting us in, when we ask why it does not."""

_CONNECTION = ("security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")

_USER = "it refuses our user: check DRIVERLINK_KAFKA_USERNAME and DRIVERLINK_KAFKA_PASSWORD"

_MISCONFIGURED: Mapping[type[Exception], str] = {
    errors.SaslAuthenticationFailed: _USER,
    errors.AuthenticationFailedError: _USER,
    errors.UnsupportedSaslMechanismError: "it does not know this way to log in: set DRIVERLINK_KAFKA_SASL_MECHANISM",
    errors.IllegalSaslStateError: "it has no log-in: set DRIVERLINK_KAFKA_SECURITY to plaintext or ssl",
    errors.TopicAuthorizationFailedError: "our user lacks a right on a topic: give it those of its service",
    errors.GroupAuthorizationFailedError: "our user lacks the right on its group: give it those of its service",
    errors.ClusterAuthorizationFailedError: "our user lacks a right on the cluster: give it those of its service",
    errors.InvalidSessionTimeoutError: (
        "it does not allow such sessions: set DRIVERLINK_KAFKA_SESSION_TIMEOUT to seconds between its "
        "group.min.session.timeout.ms and group.max.session.timeout.ms"
    ),
    errors.InconsistentGroupProtocolError: (
        "our group has a member of another installation, or of a version before this one: give each installation its "
        "own DRIVERLINK_KAFKA_PREFIX, and end every process of the former version"
    ),
    errors.InvalidReplicationFactorError: (
        "it has fewer brokers than DRIVERLINK_KAFKA_REPLICATION asks for copies: set that to their number at most"
    ),
    ssl.SSLCertVerificationError: (
        "its certificate is not accepted: check DRIVERLINK_KAFKA_CA_FILE, and that DRIVERLINK_KAFKA_SERVERS names it "
        "as its certificate does"
    ),
}
"""What a person has to set up otherwise."""

_PASSING = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""How a server goes away in the middle of a handshake; what else there is of SSL is about how we speak to it."""

_NUMBER = re.compile(r"^\[Error \d+\] ")
"""What the library begins with, besides the name of the same error."""

_REACH = "cannot be reached: see that it runs, and check DRIVERLINK_KAFKA_SERVERS and DRIVERLINK_KAFKA_SECURITY"


async def explained(failure: Exception, access: KafkaAccess) -> StreamsFailed:
    """What a failure means; where the client only says that no server lets it in, one of them is asked why."""
    if not isinstance(failure, errors.KafkaConnectionError):
        return meaning(failure, access)
    servers = collect_hosts(list(access.servers), randomize=False)
    reasons = await asyncio.gather(*(_refusal(access, host, port) for host, port, _ in servers))
    found = [reason for reason in reasons if reason is not None]
    # The one that says most; the failure itself where they let us in by now.
    return meaning(next(filter(_misconfigured, found), found[0] if found else failure), access)


def meaning(failure: Exception, access: KafkaAccess) -> StreamsFailed:
    """What a failure means, in one line."""
    text = getattr(failure, "verify_message", "") or str(failure)
    kafka, reason = f"Kafka at {', '.join(access.servers)}", " ".join(_NUMBER.sub("", text).split())
    reason = reason or type(failure).__name__
    if advice := _misconfigured(failure):
        return StreamsMisconfigured(f"{kafka}: {advice} ({reason})")
    if isinstance(failure, errors.KafkaConnectionError | OSError):
        return StreamsFailed(f"{kafka} {_REACH} ({reason})")
    return StreamsFailed(f"{kafka} does not do what it should: {reason}")


def silent(access: KafkaAccess, seconds: float) -> StreamsFailed:
    """What it means that Kafka did not answer for this many seconds."""
    return StreamsFailed(f"Kafka at {', '.join(access.servers)} {_REACH} (no answer within {seconds:.0f} seconds)")


def _misconfigured(failure: Exception) -> str:
    for kind, advice in _MISCONFIGURED.items():
        if isinstance(failure, kind):
            return advice
    if isinstance(failure, ssl.SSLError) and not isinstance(failure, _PASSING):
        return "it and we differ about TLS: check DRIVERLINK_KAFKA_SECURITY and DRIVERLINK_KAFKA_CERTIFICATE_FILE"
    return ""


async def _refusal(access: KafkaAccess, host: str, port: int) -> Exception | None:
    options = {name: value for name, value in access.to_options().items() if name in _CONNECTION}
    connection = AIOKafkaConnection(host, port, request_timeout_ms=int(_ANSWER * 1000), **options)
    try:
        await connection.connect()
    except OSError as reason:
        return reason
    except (errors.KafkaError, ValueError) as reason:
        await _close(connection)
        # That a server wants a certificate of ours shows only in its cause.
        return reason.__cause__ if isinstance(reason.__cause__, ssl.SSLError) else reason
    await _close(connection)
    return None


async def _close(connection: AIOKafkaConnection) -> None:
    """With TLS both sides take their leave, which goes on behind the library's back."""
    await asyncio.wait({connection.close()}, timeout=_ANSWER)


_TIMEOUT = 15.0
"""Seconds that Kafka has for a command, or for letting us in."""


@asynccontextmanager
async def administering(access: KafkaAccess) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that makes and describes topics. Raises `StreamsFailed`, also for what is done with it."""
    async with _failures(access):
        admin = AIOKafkaAdminClient(**access.to_options(), request_timeout_ms=int(_TIMEOUT * 1000))
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


@asynccontextmanager
async def looking(access: KafkaAccess) -> AsyncIterator[AIOKafkaConsumer]:
    """A client that looks at partitions, in no group. Raises `StreamsFailed`, also for what is done with it."""
    async with _failures(access):
        consumer = AIOKafkaConsumer(**access.to_options(), request_timeout_ms=int(_TIMEOUT * 1000))
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def _failures(access: KafkaAccess) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TIMEOUT):
            yield
    except TimeoutError as failure:
        raise silent(access, _TIMEOUT) from failure
    except KafkaError as failure:
        raise await explained(failure, access) from failure
