"""What is made once and kept for the runs to come."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.engines import Unavailable


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """What has that name in the user's cache; where it is missing, `make` is told a path at which to make it.

    It takes its name only when it is complete, so half of it is never seen; of several runs that miss it at once,
    one makes it and the others wait. Raises Unavailable, and whatever `make` raises.
    """
    folder = _folder()
    kept = folder / name
    if not kept.exists():
        with _one_at_a_time(folder / f"{name}.lock"):
            _make_unless_there(kept, make)
    return kept


def _folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driverlink"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise Unavailable(f"{folder} cannot be made: {failure.strerror}") from failure
    return folder


def _make_unless_there(kept: Path, make: Callable[[Path], None]) -> None:
    if kept.exists():
        return
    making = kept.with_name(f"making-{kept.name}")
    # What a run left that was killed while making it.
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    try:
        make(making / kept.name)
        (making / kept.name).rename(kept)
    finally:
        shutil.rmtree(making)


@contextmanager
def _one_at_a_time(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        # A run that dies lets go of it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
