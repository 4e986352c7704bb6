"""`driverlink rebuild`."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from services.cli.printing import out, print_json, progress_bar
from services.cli.running import DataOption, JsonOption
from services.cli.shape import Settings, chosen
from services.control.installation import Installation
from services.distributed.settings import DistributedSettings
from services.distributed.wiring import Distributed
from services.embedded.folder import DataFolder
from services.embedded.settings import EmbeddedSettings
from services.embedded.wiring import open_embedded
from services.rebuilding.parts import rebuild as rebuilding
from services.rebuilding.rebuilding import Step


def rebuild(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only compare, and name the first difference.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make every read model anew from the log, beside the old one; nothing outside is touched.

    Needs the installation for itself: stop what runs on it first. Exit status 1: --check found a difference.
    """
    with (
        _alone(chosen(data), may_replace=not check) as (installation, folder),
        progress_bar(is_quiet=as_json) as progress,
    ):
        bars = {service.name: progress.add_task(service.name, total=None, note="") for service in installation.services}

        def on_step(step: Step) -> None:
            progress.update(bars[step.service], completed=step.done, total=max(step.total, 1))

        found = dict(rebuilding(installation, folder, is_check=check, on_step=on_step))
    differing = [difference for difference in found.values() if difference]
    if as_json:
        print_json({"checked" if check else "rebuilt": list(found), "differences": [str(each) for each in differing]})
    for difference in () if as_json else differing:
        out.print(f"differs: {difference}", markup=False)
    if not as_json and not differing:
        out.print("every read model is as the log says" if check else "every read model was made anew")
    raise typer.Exit(1 if differing else 0)


@contextmanager
def _alone(settings: Settings, *, may_replace: bool) -> Iterator[tuple[Installation, Path]]:
    """An installation that nobody else works on, and a folder for what is made anew."""
    if isinstance(settings, DistributedSettings):
        with _database_alone(settings) as found:
            yield found
        return
    with _folder_alone(settings, may_replace=may_replace) as found:
        yield found


@contextmanager
def _folder_alone(settings: EmbeddedSettings, *, may_replace: bool) -> Iterator[tuple[Installation, Path]]:
    folder = DataFolder(settings.data)
    folder.check_whole()
    with folder, closing(open_embedded(settings, is_rebuilding=may_replace)) as installation:
        yield installation, settings.data


@contextmanager
def _database_alone(settings: DistributedSettings) -> Iterator[tuple[Installation, Path]]:
    shape = Distributed(settings)
    with shape.alone(), TemporaryDirectory(prefix="driverlink-") as folder, closing(shape.installation()) as found:
        yield found, Path(folder)
