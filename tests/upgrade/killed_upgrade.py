"""A process that upgrades a data folder, or a database, and kills itself as it begins to write for the n-th time."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from adapters.store.postgres import PostgresStore
from adapters.store.relational import RelationalStore
from adapters.store.sqlite import SqliteStore
from services.wiring.distributed import Distributed
from services.wiring.embedded import open_embedded
from services.wiring.settings import DistributedSettings, EmbeddedSettings, read_settings

P = ParamSpec("P")

_WRITES = ("begin_beside", "put_beside", "end_beside")


def main() -> None:
    """Count the writes of all stores."""
    left, is_folder = int(sys.argv[1]), len(sys.argv) > 2
    kind: type[RelationalStore] = SqliteStore if is_folder else PostgresStore

    def counted(write: Callable[P, None]) -> Callable[P, None]:
        def counting(*arguments: P.args, **named: P.kwargs) -> None:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*arguments, **named)

        return counting

    for name in _WRITES:
        setattr(kind, name, counted(getattr(kind, name)))
    if is_folder:
        open_embedded(EmbeddedSettings(data=Path(sys.argv[2])))
    else:
        Distributed(read_settings(DistributedSettings)).upgrade()


if __name__ == "__main__":
    main()
