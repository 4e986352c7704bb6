"""The rebuilt read models of a data folder."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from services.api.installation import Installation
from services.wiring.embedded import open_embedded, open_keys, open_stores
from services.wiring.rebuild import Difference, Step, Stores, differences, rebuild
from services.wiring.settings import EmbeddedSettings


def checked(folder: Path) -> list[Difference]:
    """What a check finds."""
    return [difference for difference in run(folder, is_check=True).values() if difference]


def put_in_place(folder: Path) -> None:
    """Rebuild every read model, and keep it."""
    run(folder, is_check=False)


def run(folder: Path, *, is_check: bool, steps: list[Step] | None = None) -> dict[str, Difference | None]:
    seen = [] if steps is None else steps
    with opened_stores(folder) as stores:
        if is_check:
            return differences(stores, partition_of=None, on_step=seen.append)
        rebuild(stores, partition_of=None, on_step=seen.append)
        return {}


@contextmanager
def opened_stores(folder: Path) -> Iterator[Stores]:
    """The stores of a folder, without services."""
    with ExitStack() as opened:
        keys = opened.enter_context(closing(open_keys(folder)))
        yield {name: opened.enter_context(closing(each)) for name, each in open_stores(folder, keys).items()}


@contextmanager
def opened(folder: Path) -> Iterator[Installation]:
    """The services of a folder, at rest."""
    embedded = open_embedded(EmbeddedSettings(data=folder))
    try:
        yield embedded
    finally:
        embedded.close()
