"""Starts both servers, says how tests find them, and runs until Ctrl-C."""

import signal
import sys

from tests.support.servers.engines import Unavailable
from tests.support.servers.finding import KAFKA, POSTGRES, shared_kafka, shared_postgres


def _main() -> int:
    try:
        with shared_postgres() as postgres, shared_kafka() as kafka:
            print(f"export {POSTGRES}={postgres.url}")
            print(f"export {KAFKA}={kafka.servers}", flush=True)
            _wait_for_the_end()
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def _wait_for_the_end() -> None:
    # Only now, because whatever is started while a signal is blocked would never hear of it.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    signal.sigwait(ends)


if __name__ == "__main__":
    sys.exit(_main())
