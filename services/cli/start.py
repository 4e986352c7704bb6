"""Where the process of `driverlink` begins: Ctrl-C ends it quietly even while it is still loading."""

import os
import sys


def main() -> None:
    """Load the command line, and run it; what the process writes is its owner's alone."""
    os.umask(0o077)
    open_closed_streams()
    try:
        from services.cli.app import main as run  # noqa: PLC0415 - loading it is what may be interrupted

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def open_closed_streams() -> None:
    """Lead each standard stream that the process was started without nowhere.

    Without one there is nothing to read from or to write to, and the next file to be opened, a store perhaps, would
    take its place.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no name
    os.close(descriptor)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


_STANDARD_ERROR = 2
