"""`driverlink verify`: whether what is stored is what was stored."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from services.cli.client import DataOption, Json, JsonOption, Services, ask
from services.cli.printing import err, out, print_json, print_note, progress_bar

if TYPE_CHECKING:
    from services.wiring.archiving import CheckedArchive


ArchiveOption = Annotated[Path | None, typer.Option("--archive", help="The folder of archives.", show_default=False)]


def verify(archive: ArchiveOption = None, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Check that every stored event is as it was stored, and none is missing.

    Each history is a chain of hashes over the stored bytes. Of each log the first event that was altered, or is missing
    or in another place, is printed. Then the roots that were signed are worked out again, and with --archive every
    archive file is checked against its root. The services may run meanwhile. Exit status 1: something differs; 130:
    Ctrl-C has ended it, and what was checked by then is printed.

    Examples:
        driverlink verify
        driverlink verify --archive /mnt/archives
    """
    logs: dict[str, dict[str, Any]] = {}
    try:
        for part in _parts(data, is_quiet=as_json):
            log = logs.setdefault(part["log"], {"log": part["log"], "events": 0, "former": 0, "broken": None})
            log["events"] += part["events"]
            log["former"] += part["former"]
            log["broken"] = part["broken"]
        files = [*_archives(data, archive, is_quiet=as_json)] if archive else []
    except KeyboardInterrupt:
        _print_stopped(logs)
        raise typer.Exit(_STOPPED) from None
    broken = [each for each in logs.values() if each["broken"]]
    altered = [each for each in files if each.problem]
    if as_json:
        print_json({"logs": [*logs.values()], **({"archives": [asdict(each) for each in files]} if archive else {})})
    for each in () if as_json else broken:
        out.print(_line(each), markup=False)
    if not as_json and not broken:
        signed = logs.pop(ROOTS)
        count = sum(each["events"] for each in logs.values())
        out.print(f"{count} events in {len(logs)} logs are as they were stored, and none is missing")
        _print_roots(signed["events"] - signed["former"], signed["former"])
    for file in () if as_json else altered:
        out.print(f"{file.file}: {file.problem}", markup=False, soft_wrap=True)
    if archive and not as_json and not altered:
        events = sum(each.events for each in files)
        out.print(f"{len(files)} archives with {events} events are as they were written")
    raise typer.Exit(1 if broken or altered else 0)


def _print_roots(roots: int, former: int) -> None:
    out.print(f"{roots} signed roots are those of the logs" if roots else "no roots are signed yet: once a day")
    if former:
        out.print(f"{former} more were signed before profiles were sealed: only how many events there are was checked")


def _archives(data: Path | None, folder: Path, *, is_quiet: bool) -> "Iterator[CheckedArchive]":
    """Every archive as it was checked; meanwhile a terminal shows how far it is."""
    from services.wiring.archiving import check_archives  # noqa: PLC0415 - only those that have archives load it

    known = ask(data, lambda services: services.get("/archives"))
    with progress_bar(is_quiet=is_quiet or not err.is_terminal) as progress:
        bar = progress.add_task("archives", total=len(known["archives"]), note="")
        for each in check_archives(folder, known["archives"], known["key"] or ""):
            yield each
            progress.update(bar, advance=1)


ROOTS = "roots"
"""What the API calls the signed roots, which it checks behind the logs."""


def prove(
    log: Annotated[str, typer.Argument(help="The log, as `driverlink events` names it.", show_default=False)],
    position: Annotated[int, typer.Argument(min=1, help="The event's place in the log.", show_default=False)],
    archive: ArchiveOption = None,
    data: DataOption = None,
) -> None:
    """Print a proof that an event was in a log when its roots were signed.

    Roots are signed once a day. The proof is JSON with the event itself, its profile sealed; what checks it needs
    nothing of this installation but its public key. With --archive it is made of the archive that has the event, and
    asks no service.

    Examples:
        driverlink prove decisions 417 > proof.json
        driverlink prove decisions 417 --archive /mnt/archives > proof.json
    """
    if archive:
        from services.wiring.archiving import proof_in  # noqa: PLC0415 - as above

        print_json(proof_in(archive, log, position).model_dump())
        return
    print_json(ask(data, lambda services: services.get("/proofs", log=log, position=position)))


_STOPPED: Final = 130
"""The status of a command that Ctrl-C has ended, as shells have it."""

_BETWEEN: Final = 10.0
"""Seconds between two lines that say how far a check is, where there is no terminal."""


def _parts(data: Path | None, *, is_quiet: bool) -> Iterator[Json]:
    """Every part of the check; meanwhile standard error shows how far it is."""
    events, said_at = 0, monotonic()
    after: str | None = ""
    with progress_bar(is_quiet=is_quiet or not err.is_terminal) as progress:
        bar = progress.add_task("events", total=None, note="")
        while after is not None:
            part = ask(data, partial(_part, after=after))
            yield part
            events, after = events + part["events"], part["next"]
            progress.update(bar, completed=events, total=max(events, part["total"]), note=part["log"])
            if not (is_quiet or err.is_terminal) and monotonic() - said_at >= _BETWEEN:
                said_at = monotonic()
                print_note(f"{events} of {part['total']} events are checked, the last of {part['log']}")


def _part(services: Services, after: str) -> Json:
    found: Json = services.get("/verification", after=after)
    return found


def _print_stopped(logs: Mapping[str, Json]) -> None:
    """What was checked before Ctrl-C."""
    for each in logs.values():
        if each["broken"]:
            out.print(_line(each), markup=False)
    checked = ", ".join(f"{each['events']} of {name}" for name, each in logs.items())
    print_note(f"stopped; by then these events were checked: {checked or 'none'}")


def _line(log: Json) -> str:
    broken = log["broken"]
    where = "" if broken["position"] is None else f", at position {broken['position']},"
    return f"{log['log']}: event {broken['event']}{where} {broken['problem']}; {log['events']} before it are in order"
