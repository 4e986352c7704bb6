"""A Kafka that asks every client who they are: by a password, with TLS or without, or by a certificate.

It runs on this machine's Java only: a broker in a container has no files of ours.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.servers.addresses import free_port
from tests.support.servers.certificates import Authority, Certified
from tests.support.servers.kafka_program import kafka_of_the_jars
from tests.support.servers.kafka_settings import Door, Guarded

USER = "driverlink"
PASSWORD = "not-so-secret-0123456789"

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureKafka:
    """Where it listens, for which clients; and the files that clients need. It is at 127.0.0.1, by certificate too.

    `plain` takes user and password by SASL's PLAIN, without TLS; `scram` by SCRAM-SHA-512, over TLS; `certified`
    clients that show a certificate of `authority`.
    """

    plain: str
    scram: str
    certified: str
    authority: Path
    stranger: Path
    client: Certified


@contextmanager
def secure_kafka() -> Iterator[SecureKafka]:
    """A Kafka of our own. Raises `Unavailable`."""
    with TemporaryDirectory(prefix="driverlink-tls-") as name:
        folder = Path(name)
        authority = Authority(folder, "authority")
        kafka = SecureKafka(
            plain=f"127.0.0.1:{free_port()}",
            scram=f"127.0.0.1:{free_port()}",
            certified=f"127.0.0.1:{free_port()}",
            authority=authority.file,
            stranger=Authority(folder, "stranger").file,
            client=authority.certify("client"),
        )
        with closing(kafka_of_the_jars(_guarded(kafka, _keystore(authority.certify("kafka"))))):
            yield kafka


def _guarded(kafka: SecureKafka, keystore: Path) -> Guarded:
    return Guarded(
        doors=[
            Door(name="PLAIN", address=kafka.plain, protocol="SASL_PLAINTEXT"),
            Door(name="SCRAM", address=kafka.scram, protocol="SASL_SSL"),
            Door(name="CERTIFIED", address=kafka.certified, protocol="SSL"),
        ],
        settings={
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config": f'{_PLAIN} user_{USER}="{PASSWORD}";',
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{_SCRAM};",
            "listener.name.certified.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(kafka.authority),
        },
        formatting=["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"],
    )


def _keystore(certified: Certified) -> Path:
    """A file as Kafka wants it: the key, and the certificate behind it."""
    file = certified.key.with_suffix(".keystore")
    file.write_bytes(certified.key.read_bytes() + certified.certificate.read_bytes())
    return file
