"""Where `driverlink` begins: Ctrl-C ends it quietly even while it is still loading."""

import sys


def main() -> None:
    """Load the command line, and run it."""
    try:
        from services.cli.app import main as run  # noqa: PLC0415 - loading it is what may be interrupted

        run()
    except KeyboardInterrupt:
        sys.exit(130)
