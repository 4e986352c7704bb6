"""What Kafka's libraries get to know of how it is reached."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.kafka.connection import KafkaAccess, Mechanism, Security, StreamsMisconfigured

SERVERS = ("one:9092", "other:9092")
NOW = datetime.now(UTC)


def certified(folder: Path, *, password: bytes | None = None) -> tuple[Path, Path]:
    """The files of a certificate that vouches for itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kafka")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    return paths


def test_nothing_is_said_of_security_where_there_is_none() -> None:
    assert KafkaAccess(servers=SERVERS).to_options() == {
        "bootstrap_servers": ["one:9092", "other:9092"],
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


@pytest.mark.parametrize("mechanism", Mechanism)
def test_a_user_is_reported_by_each_mechanism(mechanism: Mechanism) -> None:
    access = KafkaAccess(
        servers=SERVERS, security=Security.SASL_PLAINTEXT, mechanism=mechanism, username="decider", password="sesame"
    )
    assert access.to_options() == {
        "bootstrap_servers": ["one:9092", "other:9092"],
        "security_protocol": "SASL_PLAINTEXT",
        "ssl_context": None,
        "sasl_mechanism": str(mechanism),
        "sasl_plain_username": "decider",
        "sasl_plain_password": "sesame",
    }


@pytest.mark.parametrize("security", [Security.SSL, Security.SASL_SSL])
def test_servers_are_checked_by_name_against_the_given_certificates(security: Security, tmp_path: Path) -> None:
    authority, _ = certified(tmp_path)
    options = KafkaAccess(servers=SERVERS, security=security, ca_file=authority).to_options()
    context = options["ssl_context"]
    assert options["security_protocol"] == security.upper()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1


def test_our_own_certificate_is_shown(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path)
    access = KafkaAccess(
        servers=SERVERS, security=Security.SSL, ca_file=certificate, certificate_file=certificate, key_file=key
    )
    assert access.to_options()["ssl_context"] is not None


def test_a_file_of_authorities_that_cannot_be_read_is_reported_by_its_setting(tmp_path: Path) -> None:
    access = KafkaAccess(servers=SERVERS, security=Security.SSL, ca_file=tmp_path / "none.pem")
    with pytest.raises(StreamsMisconfigured, match=r"^DRIVERLINK_KAFKA_CA_FILE cannot be used: No such file or dir"):
        access.to_options()


def test_a_certificate_without_its_key_is_reported_by_its_settings(tmp_path: Path) -> None:
    certificate, _ = certified(tmp_path)
    access = KafkaAccess(servers=SERVERS, security=Security.SSL, certificate_file=certificate)
    with pytest.raises(
        StreamsMisconfigured, match=r"^DRIVERLINK_KAFKA_CERTIFICATE_FILE with DRIVERLINK_KAFKA_KEY_FILE"
    ):
        access.to_options()


def test_a_key_that_needs_a_password_is_refused_instead_of_asked_for(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path, password=b"sesame")
    access = KafkaAccess(servers=SERVERS, security=Security.SSL, certificate_file=certificate, key_file=key)
    with pytest.raises(StreamsMisconfigured, match="the key in DRIVERLINK_KAFKA_KEY_FILE is encrypted"):
        access.to_options()


def test_a_password_is_never_printed() -> None:
    access = KafkaAccess(servers=SERVERS, security=Security.SASL_SSL, username="decider", password="sesame")
    assert "sesame" not in f"{access!r} {access}"
    assert "decider" in repr(access)
