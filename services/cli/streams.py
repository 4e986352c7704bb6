"""The standard streams: never missing, never failing on a character, and never losing output without a word."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast

_STANDARD_ERROR = 2


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


def escape_what_cannot_be_encoded() -> None:
    """Let an output that has no character for something show an escape, whatever its encoding is."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, TextIOWrapper):
            output.reconfigure(errors="backslashreplace")


class _Watched:
    """An output that remembers why it could not be written: an `OSError` alone does not say what it is about."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write to the output; raises `OSError`."""
        with self._remembering():
            return self._output.write(text)

    def flush(self) -> None:
        """Let everything that was written get out; raises `OSError`."""
        with self._remembering():
            self._output.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else an output has
        return getattr(self._output, name)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            self.failure = failure
            raise


@contextmanager
def delivered() -> Iterator[None]:
    """Deliver what is printed within, or say in one line that it cannot be written, and end with status 1.

    A reader that closes the pipe early gets no message.
    """
    output = sys.stdout
    if cast("TextIO | None", output) is None:
        yield
        return
    watched = _Watched(output)
    try:
        with redirect_stdout(cast("TextIO", watched)):
            yield
    finally:
        _see_it_out(watched)


def _see_it_out(watched: _Watched) -> None:
    with suppress(OSError):
        watched.flush()
    if watched.failure is None:
        return
    # The interpreter would try once more at its end to write what is left of the output, and complain.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, watched.fileno())
    os.close(nowhere)
    if not isinstance(watched.failure, BrokenPipeError):
        from services.cli.printing import err

        err.print(f"driverlink: the output cannot be written: {watched.failure.strerror}", markup=False)
    sys.exit(1)
