"""What the failures of Kafka's clients mean to us, and what helps against them."""

import asyncio
import re
import ssl
from collections.abc import Mapping

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, collect_hosts

from adapters.streams.access import KafkaAccess
from adapters.streams.failures import StreamsFailed, StreamsMisconfigured

_ANSWER = 5.0
"""Seconds that a server has for letting us in, when we ask why it does not."""

_CONNECTION = ("security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")

_USER = "it refuses our user: check DRIVERLINK_KAFKA_USERNAME and DRIVERLINK_KAFKA_PASSWORD"

_MISCONFIGURED: Mapping[type[Exception], str] = {
    errors.SaslAuthenticationFailed: _USER,
    errors.AuthenticationFailedError: _USER,
    errors.UnsupportedSaslMechanismError: "it does not know this way to log in: set DRIVERLINK_KAFKA_SASL_MECHANISM",
    errors.IllegalSaslStateError: "nobody logs in there: set DRIVERLINK_KAFKA_SECURITY to plaintext or ssl",
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
    if isinstance(failure, errors.KafkaConnectionError):
        return meaning(await _reason(failure, access), access)
    return meaning(failure, access)


def meaning(failure: Exception, access: KafkaAccess) -> StreamsFailed:
    """What a failure means, in one line."""
    kafka, reason = f"Kafka at {', '.join(access.servers)}", _one_line(failure)
    if advice := _misconfigured(failure):
        return StreamsMisconfigured(f"{kafka}: {advice} ({reason})")
    if isinstance(failure, errors.KafkaConnectionError | OSError):
        return StreamsFailed(f"{kafka} {_REACH} ({reason})")
    return StreamsFailed(f"{kafka} does not do what it should: {reason}")


def silent(access: KafkaAccess, seconds: float) -> StreamsFailed:
    """What it means that Kafka gave no answer for so long."""
    return StreamsFailed(f"Kafka at {', '.join(access.servers)} {_REACH} (no answer within {seconds:.0f} seconds)")


def _misconfigured(failure: Exception) -> str:
    for kind, advice in _MISCONFIGURED.items():
        if isinstance(failure, kind):
            return advice
    if isinstance(failure, ssl.SSLError) and not isinstance(failure, _PASSING):
        return "it and we differ about TLS: check DRIVERLINK_KAFKA_SECURITY and DRIVERLINK_KAFKA_CERTIFICATE_FILE"
    return ""


async def _reason(failure: Exception, access: KafkaAccess) -> Exception:
    """Why no server lets us in, by the one that says most; the failure itself where they do by now."""
    servers = collect_hosts(list(access.servers), randomize=False)
    reasons = await asyncio.gather(*(_refusal(access, host, port) for host, port, _ in servers))
    found = [reason for reason in reasons if reason is not None]
    return next(filter(_misconfigured, found), found[0] if found else failure)


async def _refusal(access: KafkaAccess, host: str, port: int) -> Exception | None:
    options = {name: value for name, value in access.to_options().items() if name in _CONNECTION}
    connection = AIOKafkaConnection(host, port, request_timeout_ms=int(_ANSWER * 1000), **options)
    try:
        await connection.connect()
    except OSError as reason:
        return reason
    except (errors.KafkaError, ValueError) as reason:
        await _close(connection)
        # That a server wants a certificate of ours is only told beneath.
        return reason.__cause__ if isinstance(reason.__cause__, ssl.SSLError) else reason
    await _close(connection)
    return None


async def _close(connection: AIOKafkaConnection) -> None:
    """With TLS both sides take their leave, which goes on behind the library's back."""
    await asyncio.wait({connection.close()}, timeout=_ANSWER)


def _one_line(failure: Exception) -> str:
    text = getattr(failure, "verify_message", "") or str(failure)
    return " ".join(_NUMBER.sub("", text).split()) or type(failure).__name__
