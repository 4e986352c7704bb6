"""`driverlink rebuild`."""

from typing import Annotated

import typer

from services.cli.printing import out, print_json, progress_bar
from services.cli.running import DataOption, JsonOption
from services.cli.shape import embedded
from services.embedded.folder import DataFolder
from services.embedded.rebuild import rebuild as rebuilding
from services.embedded.wiring import open_embedded
from services.rebuilding.rebuilding import Step


def rebuild(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only compare, and name the first difference.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make every read model anew from the log, beside the old one; nothing outside is touched.

    Needs the data folder for itself. Exit status 1: --check found a difference.
    """
    settings = embedded(data)
    folder = DataFolder(settings.data)
    folder.check_exists()
    with folder, progress_bar(is_quiet=as_json) as progress:
        installation = open_embedded(settings)
        bars = {service.name: progress.add_task(service.name, total=None, note="") for service in installation.services}

        def on_step(step: Step) -> None:
            progress.update(bars[step.service], completed=step.done, total=max(step.total, 1))

        try:
            found = dict(rebuilding(installation, settings.data, is_check=check, on_step=on_step))
        finally:
            installation.close()
    differing = [difference for difference in found.values() if difference]
    if as_json:
        print_json({"checked" if check else "rebuilt": list(found), "differences": [str(each) for each in differing]})
    for difference in () if as_json else differing:
        out.print(f"differs: {difference}", markup=False)
    if not as_json and not differing:
        out.print("every read model is as the log says" if check else "every read model was made anew")
    raise typer.Exit(1 if differing else 0)
