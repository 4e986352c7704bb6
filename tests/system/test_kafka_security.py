"""Kafka lets us in by user and password, and by certificates; where it does not, one line says what to set."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.kafka.connection import KafkaAccess, Mechanism, Security, StreamsMisconfigured
from adapters.kafka.topics import check
from tests.contract.stands import fact
from tests.support.servers import needed
from tests.support.servers.secure_kafka import PASSWORD, USER, SecureKafka, secure_kafka
from tests.system.conftest import Command
from tests.system.kafka_members import deployed


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def kafka() -> Iterator[SecureKafka]:
    with needed(secure_kafka()) as server:
        yield server


@pytest.fixture
def accesses(kafka: SecureKafka) -> dict[str, KafkaAccess]:
    """Every way in."""
    user = KafkaAccess(servers=(kafka.plain,), username=USER, password=PASSWORD, ca_file=kafka.authority)
    return {
        "plain": replace(user, security=Security.SASL_PLAINTEXT, mechanism=Mechanism.PLAIN),
        "scram": replace(user, servers=(kafka.scram,), security=Security.SASL_SSL),
        "certified": KafkaAccess(
            servers=(kafka.certified,),
            security=Security.SSL,
            ca_file=kafka.authority,
            certificate_file=kafka.client.certificate,
            key_file=kafka.client.key,
        ),
    }


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["plain", "scram", "certified"])
async def test_what_is_sent_one_way_in_is_read_there(accesses: dict[str, KafkaAccess], way: str) -> None:
    async with deployed(accesses[way]) as deployment, deployment.process() as process:
        await deployment.publish(deployment.topics[0], [fact()])
        await process.take(1)
        assert [record.event for record in deployment.database.taken] == [fact()]


_REFUSALS: dict[str, tuple[str, Callable[[KafkaAccess, SecureKafka], KafkaAccess], str]] = {
    "wrong password": (
        "plain",
        lambda access, _: replace(access, password="sesame"),
        "check DRIVERLINK_KAFKA_USERNAME and DRIVERLINK_KAFKA_PASSWORD",
    ),
    "wrong password, by SCRAM": (
        "scram",
        lambda access, _: replace(access, password="sesame"),
        "check DRIVERLINK_KAFKA_USERNAME and DRIVERLINK_KAFKA_PASSWORD",
    ),
    "unknown user": (
        "scram",
        lambda access, _: replace(access, username="nobody"),
        "check DRIVERLINK_KAFKA_USERNAME and DRIVERLINK_KAFKA_PASSWORD",
    ),
    "another mechanism": (
        "scram",
        lambda access, _: replace(access, mechanism=Mechanism.PLAIN),
        "set DRIVERLINK_KAFKA_SASL_MECHANISM",
    ),
    "unknown authority": (
        "scram",
        lambda access, kafka: replace(access, ca_file=kafka.stranger),
        "check DRIVERLINK_KAFKA_CA_FILE",
    ),
    "another name": (
        "scram",
        lambda access, kafka: replace(access, servers=(kafka.scram.replace("127.0.0.1", "localhost"),)),
        "DRIVERLINK_KAFKA_SERVERS names it as its certificate does",
    ),
    "no certificate of ours": (
        "certified",
        lambda access, _: replace(access, certificate_file=None, key_file=None),
        "DRIVERLINK_KAFKA_CERTIFICATE_FILE",
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", _REFUSALS)
async def test_a_refused_client_gets_one_line_that_names_the_setting(
    kafka: SecureKafka, accesses: dict[str, KafkaAccess], case: str
) -> None:
    way, changed, says = _REFUSALS[case]
    with pytest.raises(StreamsMisconfigured) as failure:
        await check(changed(accesses[way], kafka), ["any.v1"], partitions=1)
    told = str(failure.value)
    assert says in told
    assert "\n" not in told
    assert "sesame" not in told
    assert PASSWORD not in told


def test_our_settings_lead_to_a_kafka_that_asks_for_a_password(
    kafka: SecureKafka, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    settings = {
        "kafka_servers": kafka.plain,
        "kafka_security": "sasl_plaintext",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_username": USER,
        "kafka_password_file": tmp_path / "password",
        "kafka_partitions": "2",
    }
    assert command("topics", "create", **settings)[0] == 0
    assert command("topics", "create")[:2] == (0, "every topic exists\n")
    (tmp_path / "password").write_text("sesame\n")
    status, out, err = command("topics", "create")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"driverlink: Kafka at {kafka.plain}: it refuses our user: check DRIVERLINK_KAFKA_USERNAME")
    assert "sesame" not in err
