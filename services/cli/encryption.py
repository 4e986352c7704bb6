"""`driverlink encryption`: the master key that wraps the keys of profiles."""

from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from services.cli.client import CommandRefused, DataOption, Json, JsonOption, NoteOption, ask
from services.cli.listing import Form, field, listing
from services.cli.printing import out, print_json, print_note, progress_bar

encryption = typer.Typer(no_args_is_help=True)


def _state(master: Json) -> str:
    if not master["is_known"]:
        return "not known here: nothing that its keys seal can be read"
    return "current" if master["is_current"] else "former: run `driverlink encryption rotate`"


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "master key": field("master"),
    "keys": field("keys"),
    "state": _state,
}


@encryption.command()
@listing
def status(data: DataOption = None, *, form: Form) -> None:
    """Show how many keys of profiles each master key wraps.

    Each driver has a key of their own, which seals their profile wherever events are stored. A master key is named by
    a digest, which gives nothing of it away.

    Examples:
        driverlink encryption status
    """
    found = ask(data, lambda services: services.get("/encryption"))["masters"]
    form.print(found, _COLUMNS, empty="there are no keys yet")


@encryption.command()
def rotate(note: NoteOption = "", data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Wrap every key of a profile by another master key, and remove the former one.

    In a data folder the new master key is made, and the former one removed once it wraps nothing. With a database, set
    DRIVERLINK_PROFILE_MASTER_KEY and DRIVERLINK_FORMER_PROFILE_MASTER_KEYS first, and restart every process. The
    services run meanwhile; what is sealed stays as it is. After a kill, run it again: it goes on.

    Examples:
        driverlink encryption rotate --note "yearly"
    """
    with progress_bar(is_quiet=as_json) as progress:
        bar = progress.add_task("keys", total=None, note="")
        left = first = _step(data, {"begin": True, "note": note})
        while left:
            progress.update(bar, total=first, completed=first - left)
            before, left = left, _step(data, {"begin": False, "note": note})
            if left >= before:
                raise CommandRefused(
                    f"{left} keys are still wrapped by a former master key: restart every process with the new "
                    "settings, and rotate again"
                )
    if as_json:
        print_json({"left": left})
        return
    out.print("every key is wrapped by the current master key")
    print_note(
        "a backup from before needs the former one, which is also what opens the profiles of drivers erased since"
    )


def _step(data: Path | None, body: Mapping[str, object]) -> int:
    return int(ask(data, lambda services: services.command("/encryption/rotation", body))["left"])
