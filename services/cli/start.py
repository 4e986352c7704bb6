"""Where the process of `driverlink` begins: Ctrl-C ends it quietly even while it is still loading."""

import os
import sys


def main() -> None:
    """Load the command line, and run it; what the process writes is its owner's alone."""
    os.umask(0o077)
    try:
        from services.cli.app import main as run  # noqa: PLC0415 - loading it is what may be interrupted

        run()
    except KeyboardInterrupt:
        sys.exit(130)
