"""Starts both servers for a command, which ends with its status: `python -m tests.support.servers COMMAND ...`.

Without a command it says how tests find them, and runs until Ctrl-C.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import NoReturn

from tests.support.servers.engines import Unavailable
from tests.support.servers.finding import KAFKA, POSTGRES, shared_kafka, shared_postgres


def _main(command: Sequence[str]) -> int:
    # Both, because a shell lets what it starts in the background ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(command) if command else _offer()
    except KeyboardInterrupt:
        return 0
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1


def _run(command: Sequence[str]) -> int:
    """Run a command with those of the servers that there are: it says itself what it cannot do without the others."""
    with ExitStack() as stack:
        found = dict(os.environ)
        with suppress(Unavailable):
            found[POSTGRES] = stack.enter_context(shared_postgres()).url
        with suppress(Unavailable):
            found[KAFKA] = stack.enter_context(shared_kafka()).servers
        with subprocess.Popen(command, env=found) as process:
            signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            while True:
                # Ctrl-C reaches the command as well, which has much to tidy up.
                with suppress(KeyboardInterrupt):
                    return process.wait()


def _offer() -> NoReturn:
    with shared_postgres() as postgres, shared_kafka() as kafka:
        print(f"export {POSTGRES}={postgres.url}")
        print(f"export {KAFKA}={kafka.servers}", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
