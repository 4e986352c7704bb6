import random
import socket

_BELOW_THE_PORTS_OF_CLIENTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that is free.

    It lies outside the range from which connections take their own ports, so that none of them has it when a server
    comes back to it after a restart.
    """
    while True:
        port = random.SystemRandom().choice(_BELOW_THE_PORTS_OF_CLIENTS)
        if _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
