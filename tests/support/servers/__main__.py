"""Starts both servers, says how tests find them, and runs until Ctrl-C."""

import signal
import sys
from typing import NoReturn

from tests.support.servers.engines import Unavailable
from tests.support.servers.finding import KAFKA, POSTGRES, shared_kafka, shared_postgres


def _main() -> int:
    # Both, because a shell lets what it starts in the background ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _offer()
    except KeyboardInterrupt:
        return 0
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1


def _offer() -> NoReturn:
    with shared_postgres() as postgres, shared_kafka() as kafka:
        print(f"export {POSTGRES}={postgres.url}")
        print(f"export {KAFKA}={kafka.servers}", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(_main())
