"""How Kafka is reached, and what its libraries need to be told of that."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from faststream.kafka.security import parse_security
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from adapters.streams.failures import StreamsMisconfigured


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
    """Where Kafka is, and as whom to speak to it. Without a CA file, servers are checked as the system does it."""

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
        context = self._to_ssl_context() if self.security in {Security.SSL, Security.SASL_SSL} else None
        if self.security in {Security.PLAINTEXT, Security.SSL}:
            return BaseSecurity(ssl_context=context)
        return _SASL[self.mechanism](username=self.username, password=self.password, ssl_context=context)

    def to_options(self) -> dict[str, Any]:
        """What the clients of aiokafka ask for. Raises `StreamsMisconfigured` when a file cannot be used."""
        return {"bootstrap_servers": list(self.servers), **parse_security(self.to_security())}

    def _to_ssl_context(self) -> ssl.SSLContext:
        with _usable("DRIVERLINK_KAFKA_CA_FILE"):
            context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            with _usable("DRIVERLINK_KAFKA_CERTIFICATE_FILE with DRIVERLINK_KAFKA_KEY_FILE"):
                context.load_cert_chain(self.certificate_file, self.key_file, password=_no_password)
        return context


@contextmanager
def _usable(settings: str) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise StreamsMisconfigured(f"{settings} cannot be used: {failure.strerror or failure}") from failure


def _no_password() -> str:
    """Instead of asking at the terminal."""
    raise StreamsMisconfigured("the key in DRIVERLINK_KAFKA_KEY_FILE is encrypted: give one that is not")
