"""`driverlink dead-letters`: records that a service could not handle."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from domain.identity import Target
from services.cli.client import CommandRefused, DataOption, Json, JsonOption, NoteOption, Services, ask, is_confirmed
from services.cli.listing import (
    Output,
    OutputOption,
    SortOption,
    UtcOption,
    WatchOption,
    field,
    print_list,
    sorted_by,
    time_of,
    watched,
)
from services.cli.printing import moment, out, print_json, print_note, to_json, visible

_LONGEST_REASON = 100


def to_line(letter: Json) -> str:
    """A listed letter on one line: since when, name, type, account, reason."""
    reason = (
        letter["reason"] if len(letter["reason"]) <= _LONGEST_REASON else f"{letter['reason'][:_LONGEST_REASON]}..."
    )
    waiting = ["submitted again, not handled yet"] if letter["is_waiting"] else []
    parts = (moment(letter["since"]), letter["name"], letter["type"] or "-", letter["account"] or "-", *waiting, reason)
    return "  ".join(map(visible, parts))


def to_lines(letter: Json) -> Iterator[str]:
    """All of a letter, from its document."""
    for name in ("name", "reason", "since", "id", "type", "sequence"):
        yield visible(f"{name:9} {letter[name]}")
    if letter["is_waiting"]:
        yield "waits     submitted again, not handled yet"
    if (key := letter.get("key", letter.get("key_base64"))) is not None:
        yield visible(f"key       {key}{' (base64)' if 'key_base64' in letter else ''}")
    for each in letter["headers"]:
        yield visible(f"header    {each['name']}: {each.get('value', each.get('value_base64'))}")
    yield "body, in base64:" if "body_base64" in letter else "body:"
    body = letter.get("body", letter.get("body_base64"))
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=2)
    yield from map(visible, text.split("\n"))


dead_letters = typer.Typer(no_args_is_help=True)

_LOOK_EVERY = 0.2
"""Seconds between two looks at what becomes of a resubmission."""

Wanted = Mapping[str, str | None]

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Its name, as `list` prints it: SERVICE/STREAM/POSITION.")
]
ServiceOption = Annotated[
    str | None,
    typer.Option(help=f"Only this service's: decider, {', '.join(f'projector-{target}' for target in Target)}."),
]
AccountOption = Annotated[str | None, typer.Option(help="Only those of this account, as far as they say.")]
ReasonOption = Annotated[str | None, typer.Option(metavar="TEXT", help="Only those whose reason contains this.")]


@dead_letters.command("list")
def list_all(
    service: ServiceOption = None,
    account: AccountOption = None,
    reason: ReasonOption = None,
    *,
    after: Annotated[str | None, typer.Option(metavar="NAME", help="Continue after this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list at most.")] = 50,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
    sort: SortOption = None,
    watch: WatchOption = False,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    as_json: JsonOption = False,
) -> None:
    """List dead letters, one per line: since when, name, type, account and reason.

    They are in the order of services and streams.

    Examples:
        driverlink dead-letters list
        driverlink dead-letters list --service decider --account acme
        driverlink dead-letters list --sort since -o csv
    """
    wanted = {"service": service, "account": account, "reason": reason}
    form = Output.JSON if as_json else output

    def show_once() -> None:
        found = ask(data, lambda services: _list(services, wanted, after, limit))
        letters = sorted_by(found["letters"], _COLUMNS, sort)
        if form is Output.TABLE:
            _print_lines({**found, "letters": letters})
        else:
            print_list(letters, _COLUMNS, output=form, document=lambda shown: {**found, "letters": shown})

    watched(show_once, is_on=watch)


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "since": time_of("since"),
    "name": field("name"),
    "type": field("type"),
    "account": field("account"),
    "waiting": field("is_waiting"),
    "reason": field("reason"),
}


def _print_lines(found: Json) -> None:
    """The listed letters, one per line, and how to see the others."""
    for letter in found["letters"]:
        _print(to_line(letter))
    if not found["letters"]:
        print_note(f"none of the {found['total']} dead letters matches" if found["total"] else "no dead letters")
    if found["next"]:
        print_note(f"there are more, of {found['total']} in all: go on with --after {found['next']}")


@dead_letters.command()
def show(name: NameArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Show a dead letter whole: its place, reason, headers and content, personal data included.

    --json prints a document that you can mend: change id, type, sequence or body, and pass it to `resubmit --mended`. A
    body that is not a JSON object is shown as text, and bytes that are not text are in body_base64.

    Examples:
        driverlink dead-letters show decider/1/portal.driver-changes.v1/0/42
        driverlink dead-letters show decider/1/portal.driver-changes.v1/0/42 --json > letter.json
    """
    letter = _shown(name, data)
    if as_json:
        sys.stdout.write(to_json(letter, indent=2) + "\n")
        return
    for line in to_lines(letter):
        _print(line)


@dead_letters.command()
def resubmit(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Its name; or choose by options.", show_default=False)
    ] = None,
    *,
    mended: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The mended document from `show --json`."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    service: ServiceOption = None,
    account: AccountOption = None,
    reason: ReasonOption = None,
    wait: Annotated[
        float, typer.Option(min=0, max=600, metavar="SECONDS", help="How long to wait for the result.")
    ] = 10.0,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a dead letter, or many, to its service again, and print the result.

    It is removed when the service has handled it, or when a later record of the same history was handled, which leaves
    nothing to do. If it still cannot be handled it stays, with the new reason, and the exit status is 1. While its
    service does not run, it waits for that.

    Examples:
        driverlink dead-letters resubmit decider/1/portal.driver-changes.v1/0/42 --mended letter.json
        driverlink dead-letters resubmit --service decider --reason "unknown field"
    """
    wanted = {"service": service, "account": account, "reason": reason}
    if (name is not None) == (every or any(wanted.values())):
        raise typer.BadParameter("give either a NAME, or --all, --service, --account or --reason")
    if mended is not None and name is None:
        raise typer.BadParameter("--mended needs the NAME of one dead letter")
    if name is None:
        result = ask(data, lambda services: _resubmit_many(services, wanted, note, wait))
        if as_json:
            print_json(result)
        else:
            waiting = f", of which {result['waiting']} wait for their service to run" if result["waiting"] else ""
            out.print(f"{result['submitted']} submitted again; dead letters left: {result['letters']}{waiting}")
        return
    body = {"name": name, "mended": _read(mended) if mended else None, "note": note}
    result = ask(data, lambda services: _resubmit(services, body, wait))
    is_kept = result["became"] == "kept"
    if as_json:
        print_json(result)
        raise typer.Exit(int(is_kept))
    if is_kept:
        raise CommandRefused(visible(f"{result['name']} stays: {result['reason']}"))
    is_waiting = result["became"] == "waiting"
    end = "is submitted again, and waits for its service to run" if is_waiting else "is done"
    out.print(f"{result['name']} {end}", markup=False)


@dead_letters.command()
def discard(
    name: NameArgument,
    *,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask; required where there is no terminal.")] = False,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Discard a dead letter for good: its service never gets what it says.

    Examples:
        driverlink dead-letters discard decider/1/portal.driver-changes.v1/0/42
    """
    letter = _shown(name, data)
    if not is_sure and not sys.stdin.isatty():
        raise CommandRefused(f"there is no terminal to ask on: add --yes to discard {letter['name']}")
    if not is_sure:
        print_note(visible(f"{letter['name']} is a record of the type {letter['type']!r}: {letter['reason']}"))
        print_note("its service will never get what it says; `driverlink dead-letters show` prints it")
        if not is_confirmed("discard it?"):
            raise CommandRefused("nothing was discarded")
    answer = ask(
        data, lambda services: services.command("/dead-letters/discard", {"name": letter["name"], "note": note})
    )
    if as_json:
        print_json(answer)
    else:
        out.print(f"{answer['discarded']} is discarded", markup=False)


def _list(services: Services, wanted: Wanted, after: str | None, limit: int) -> Json:
    letters: list[Json] = []
    for page in _pages(lambda behind: services.get("/dead-letters", **wanted, after=behind), after):
        letters += page["letters"]
        if len(letters) > limit:
            break
    behind = letters[limit - 1]["name"] if len(letters) > limit else None
    total = (services.get("/dead-letters/count"))["letters"]
    return {"letters": letters[:limit], "next": behind, "total": total}


def _resubmit(services: Services, body: Mapping[str, str | None], wait: float) -> Json:
    services.command("/dead-letters/resubmission", body)
    path, query = "/dead-letters/outcome", {"name": body["name"]}
    return _wait_for(services, path, query, lambda answer: bool(answer["became"] == "waiting"), wait)


def _resubmit_many(services: Services, wanted: Wanted, note: str, wait: float) -> Json:
    pages = _pages(
        lambda behind: services.command("/dead-letters/resubmissions", {**wanted, "note": note, "after": behind})
    )
    submitted = sum([page["submitted"] for page in pages])
    path, query = "/dead-letters/count", {"service": wanted["service"]}
    counts = _wait_for(services, path, query, lambda answer: answer["waiting"] > 0, wait)
    return {"submitted": submitted, **counts}


def _pages(ask_behind: Callable[[str | None], Json], after: str | None = None) -> Iterator[Json]:
    while True:
        page = ask_behind(after)
        yield page
        after = page["next"]
        if after is None:
            return


def _wait_for(services: Services, path: str, query: Wanted, is_waiting: Callable[[Json], bool], wait: float) -> Json:
    """The answer once nothing waits, or after `wait` seconds."""
    end = time.monotonic() + wait
    answer: Json = services.get(path, **query)
    while is_waiting(answer) and time.monotonic() < end:
        time.sleep(_LOOK_EVERY)
        answer = services.get(path, **query)
    return answer


def _shown(name: str, data: Path | None) -> Json:
    return dict(ask(data, lambda services: services.get("/dead-letters/letter", name=name)))


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as failure:
        raise CommandRefused(f"{file} cannot be read: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise CommandRefused(f"{file} is not UTF-8 text") from None


def _print(line: str) -> None:
    """Print text from outside as it is."""
    out.print(line, markup=False, emoji=False)
