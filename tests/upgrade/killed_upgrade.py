"""A process that opens a data folder, and kills itself as it begins to write for the n-th time while it upgrades."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from adapters.store.sqlite import SqliteStore
from services.wiring.embedded import open_embedded
from services.wiring.settings import EmbeddedSettings

P = ParamSpec("P")

_WRITES = ("begin_beside", "put_beside", "end_beside")


def main() -> None:
    """Count the writes of all stores."""
    left = int(sys.argv[2])

    def counted(write: Callable[P, None]) -> Callable[P, None]:
        def counting(*arguments: P.args, **named: P.kwargs) -> None:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*arguments, **named)

        return counting

    for name in _WRITES:
        setattr(SqliteStore, name, counted(getattr(SqliteStore, name)))
    open_embedded(EmbeddedSettings(data=Path(sys.argv[1])))


if __name__ == "__main__":
    main()
