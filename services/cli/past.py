"""`driverlink diff`, `bisect` and `lineage`: questions about how things came to be as they are."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Annotated

import typer

from services.cli.client import AccountArgument, DataOption, Json, JsonOption, Services, ask
from services.cli.listing import FOUND, ExitCodeOption, Form, Output, UtcOption, field, listing, print_more
from services.cli.moments import moment_of
from services.cli.printing import moment, out, print_json, print_note

DriverArgument = Annotated[str, typer.Argument(metavar="DRIVER", help="The Portal's own id of the driver.")]

_AT_ONCE = 500
"""Drivers that are compared for people, where no limit is asked for."""


@listing
def diff(
    account: AccountArgument,
    driver: Annotated[
        str, typer.Argument(metavar="DRIVER", help="The Portal's own id; by default every driver.", show_default=False)
    ] = "",
    *,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="This long ago (15m, 1h, 2d), or a date or time (ISO 8601).")
    ],
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The same; by default now.", show_default=False)
    ] = None,
    exit_code: ExitCodeOption = False,
    data: DataOption = None,
    form: Form,
) -> None:
    """Compare a driver, or all of an account, at two moments.

    What the Portal states is compared, how each target stands, and what it shows.

    Examples:
        driverlink diff acme --from 1d
        driverlink diff acme 200006 --from 2026-05-30 --to 2026-05-31T08:30
        driverlink diff acme --from 2d -o csv > changed.csv
    """
    query = {"from": moment_of(since), "to": moment_of(until), "driver": driver}
    most = form.limit or (_AT_ONCE if form.output is Output.TABLE else None)
    found = ask(data, lambda services: [*islice(_differing(services, account, query), most and most + 1)])
    shown = found[:most]
    lines = [{**each, **one} for each in shown for one in each["differences"]]
    if form.output in (Output.JSON, Output.YAML):
        Form(output=form.output, sort=form.sort, limit=None, watch=False).print(shown, {"driver": field("driver")})
    else:
        whole = Form(output=form.output, sort=form.sort, limit=None, watch=False)
        whole.print(lines, _DIFFERENCES, empty="nothing is otherwise")
    if most and len(found) > most:
        print_more(most)
    if exit_code and found:
        raise typer.Exit(FOUND)


def _differing(services: Services, account: str, query: Mapping[str, str | None]) -> Iterator[Json]:
    after: str | None = ""
    while after is not None:
        page = services.get(f"/accounts/{account}/diff", **query, after=after)
        yield from page["drivers"]
        after = page["next"]


_DIFFERENCES: Mapping[str, Callable[[Json], object]] = {
    name: field(name) for name in ("driver", "name", "where", "field", "before", "after")
}


def bisect(
    account: AccountArgument,
    driver: DriverArgument,
    *,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find since when a driver does not match, and which event that began with.

    On each target it says what differs now, if anything does.

    Examples:
        driverlink bisect acme 200006
    """
    found = ask(data, lambda services: services.get(f"/accounts/{account}/mismatches", driver=driver))
    if as_json:
        print_json(found)
        return
    for each in found:
        out.print(f"{each['target'].capitalize()}: {_since(each)}", markup=False)
        if each["log"]:
            fact = f": {each['fact']}" if each["fact"] else ""
            out.print(f"  since {each['type']}, {each['log']} {each['version']}{fact}", markup=False)


def _since(found: Json) -> str:
    if found["matches"]:
        return "matches."
    differing = ", ".join(found["differing"])
    if not found["since"]:
        return f"has never matched ({differing})."
    return (
        f"does not match since {moment(found['since'], is_zoned=True)} ({differing}); "
        f"it did at {moment(found['matched_until'], is_zoned=True)}."
    )


def lineage(
    account: AccountArgument,
    id: Annotated[str, typer.Argument(metavar="ID", help="A Driveri DriverID or RefID, in any letter case.")],  # noqa: A002 - the field's word
    *,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help="Only who had it this long ago, or at this date or time.", show_default=False
        ),
    ] = None,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trace an id: which drivers had it, and who they are now.

    Examples:
        driverlink lineage acme DRV-7001
        driverlink lineage acme DRV-7001 --at 2026-05-31
    """
    query = {"id": id, "at": moment_of(at)}
    found = ask(data, lambda services: services.get(f"/accounts/{account}/lineage", **query))
    if as_json:
        print_json(found)
        return
    if not found["drivers"]:
        print_note(f"no driver of {account} had {id}" + (" then" if at else ""))
    for each in found["drivers"]:
        out.print(_now(each), markup=False)
        for period in each["periods"]:
            until = f"until {moment(period['until'])}" if period["until"] else "until now"
            out.print(f"  {period['field']}: from {moment(period['since'])} {until}", markup=False)


def _now(driver: Json) -> str:
    """Who a driver is now."""
    ids = {"DriverID": driver["driveri_driver_id"], "RefID": driver["ref_id"]}
    keys = [f"{target} {key}" for target, key in driver["keys"].items()]
    now = ", ".join([*(f"{name} {text}" for name, text in ids.items() if text), *keys]) or "without an id"
    gone = "" if driver["is_there"] else ", deleted in the Portal"
    return f"{driver['name'] or 'Without a name'}: portal driver {driver['driver']}, now {now}{gone}"
