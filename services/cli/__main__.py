"""Where the process of `driverlink` begins: Ctrl-C ends it quietly even while it is still loading."""

import os
import sys

_STANDARD_ERROR = 2


def main() -> None:
    """Run the command line; only their owner can read the files that the process writes."""
    os.umask(0o077)
    try:
        open_closed_streams()
        from services.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def open_closed_streams() -> None:
    """Open each standard stream that the process was started without, on the null device.

    Without one there is nothing to read from or to write to, and the next file to be opened, a store perhaps, would
    take its place.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no name
    os.close(descriptor)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


if __name__ == "__main__":
    main()
