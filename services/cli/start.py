"""Where the process of `driverlink` begins: Ctrl-C ends it quietly even while it is still loading."""

import os
import sys


def main() -> None:
    """Run the command line; only their owner can read the files that the process writes."""
    os.umask(0o077)
    try:
        from services.cli.streams import open_closed_streams

        open_closed_streams()
        from services.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
