"""`driverlink drivers show`: one driver whole, now or as of a moment."""

from typing import Annotated
from urllib.parse import quote

import typer

from services.cli.client import AccountArgument, DataOption, Json, JsonOption, ask
from services.cli.listing import UtcOption
from services.cli.moments import AsOfOption, moment_of
from services.cli.printing import moment, out, print_json, print_table

_SHOWN = 20
"""Entries of the history that are printed for people."""


def show(
    account: AccountArgument,
    driver: Annotated[str, typer.Argument(metavar="DRIVER", help="The Portal's own id of the driver.")],
    *,
    as_of: AsOfOption = None,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one driver whole: what the Portal states, what each target shows, and the history, the newest first.

    With --json the history is whole.

    Examples:
        driverlink drivers show acme 200006
        driverlink drivers show acme 200006 --as-of 2026-05-31T08:30
    """
    then, path = moment_of(as_of), f"/accounts/{account}/drivers/{quote(driver, safe='')}"
    found = ask(data, lambda services: services.get(path, as_of=then))
    if as_json:
        print_json(found)
        return
    _print_stated(found)
    for each in found["targets"]:
        _print_target(each)
    out.print("")
    for entry in found["history"][:_SHOWN]:
        out.print(f"{moment(entry['at'])}  {entry['where']} {entry['version']}: {entry['fact']}", markup=False)
    if len(found["history"]) > _SHOWN:
        out.print(f"... and {len(found['history']) - _SHOWN} older entries; --json has them all", markup=False)


def _print_stated(found: Json) -> None:
    verb = "stated" if found["is_there"] else "deleted; stated last"
    out.print(f"{found['name'] or 'Without a name'}: portal driver {found['driver']}", markup=False)
    out.print(f"Portal: {verb} at {moment(found['stated_at'])} by {found['source']}.", markup=False)
    if found["erased_at"]:
        out.print(f"Erased at {moment(found['erased_at'])}: nothing personal is stored any more.", markup=False)
    if stated := [(name, text) for name, text in found["profile"] if text]:
        print_table(("field", "the Portal states"), stated)


def _print_target(target: Json) -> None:
    out.print(f"\n{target['target'].capitalize()}: {target['sentence']}", markup=False)
    keys = (target["key_words"], target["desired_key"], target["key"], "")
    rows = [
        (
            each["field"],
            each["desired"],
            "never shown" if each["observed"] is None else each["observed"],
            "differs" if each["differs"] else "",
        )
        for each in target["fields"]
        if each["desired"] or each["observed"]
    ]
    if target["key"] or rows:
        print_table(("field", "desired", "observed", ""), [keys, *rows])
