"""What Kafka's failures are said to mean: in one line, and apart what a person has to set up otherwise."""

import ssl

import pytest
from aiokafka import errors

from adapters.kafka.connection import KafkaAccess, StreamsFailed, StreamsMisconfigured, meaning, silent

ACCESS = KafkaAccess(servers=("one:9092", "other:9092"), username="decider", password="sesame")


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (errors.SaslAuthenticationFailed("Invalid"), "DRIVERLINK_KAFKA_USERNAME and DRIVERLINK_KAFKA_PASSWORD (Sasl"),
        (errors.UnsupportedSaslMechanismError("PLAIN only"), "set DRIVERLINK_KAFKA_SASL_MECHANISM (Unsupported"),
        (errors.IllegalSaslStateError(), "set DRIVERLINK_KAFKA_SECURITY to plaintext or ssl"),
        (errors.TopicAuthorizationFailedError("x.v1"), "our user lacks a right on a topic"),
        (errors.GroupAuthorizationFailedError("driverlink.decider"), "our user lacks the right on its group"),
        (errors.InvalidSessionTimeoutError(), "set DRIVERLINK_KAFKA_SESSION_TIMEOUT to seconds between its group.min"),
        (errors.InvalidReplicationFactorError(), "fewer brokers than DRIVERLINK_KAFKA_REPLICATION asks for copies"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "check DRIVERLINK_KAFKA_CA_FILE"),
        (ssl.SSLError(1, "wrong version number"), "differ about TLS: check DRIVERLINK_KAFKA_SECURITY"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_what_a_person_has_to_set_up_is_reported_by_its_setting(failure: Exception, says: str) -> None:
    meant = meaning(failure, ACCESS)
    assert isinstance(meant, StreamsMisconfigured)
    assert str(meant).startswith("Kafka at one:9092, other:9092: ")
    assert says in str(meant)


@pytest.mark.parametrize(
    "failure",
    [
        errors.KafkaConnectionError("Unable to bootstrap"),
        ConnectionRefusedError(111, "Connect call failed"),
        TimeoutError(),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        errors.CommitFailedError(),
        errors.UnknownError(),
        errors.RequestTimedOutError(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_may_pass_is_reported_in_one_line(failure: Exception) -> None:
    meant = meaning(failure, ACCESS)
    assert type(meant) is StreamsFailed
    assert str(meant).startswith("Kafka at one:9092, other:9092 ")
    assert "\n" not in str(meant)


@pytest.mark.parametrize(
    "meant", [meaning(ConnectionRefusedError(), ACCESS), silent(ACCESS, 15)], ids=["refused", "mute"]
)
def test_who_is_not_reached_is_reported_with_the_settings_that_say_where(meant: StreamsFailed) -> None:
    assert "check DRIVERLINK_KAFKA_SERVERS and DRIVERLINK_KAFKA_SECURITY" in str(meant)
    assert "sesame" not in str(meant)
