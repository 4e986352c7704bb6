"""`driverlink drivers list`: the drivers of an account, found by name, e-mail or any id."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Annotated

import typer

from services.cli.client import AccountArgument, DataOption, Json, Services, ask
from services.cli.listing import (
    Form,
    Output,
    field,
    listing,
    print_more,
    watched,
)
from services.cli.printing import print_note


@listing
def list_drivers(
    account: AccountArgument,
    *,
    search: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Only those with a name, e-mail or any id ever that begins like this."),
    ] = "",
    data: DataOption = None,
    form: Form,
) -> None:
    """List the drivers of an account, with their state on each target.

    Examples:
        driverlink drivers list acme --search "jane doe"
        driverlink drivers list acme -o csv --sort name
    """

    def show() -> None:
        # A list that is sorted is cut afterwards.
        most = form.limit + 1 if form.limit and not form.sort else None
        found = ask(data, lambda services: [*islice(_drivers(services, account, search), most)])
        if form.output is Output.TABLE and not found:
            print_note(f"no driver of {account} matches")
            return
        form.print(found if form.sort else found[: form.limit], _COLUMNS, wide=_WIDE)
        if most and len(found) == most and form.output in (Output.TABLE, Output.WIDE):
            print_more(most - 1)

    watched(show, is_on=form.watch)


def _drivers(services: Services, account: str, search: str) -> Iterator[Json]:
    after: str | None = ""
    while after is not None:
        page = services.get(f"/accounts/{account}/drivers", find=search, after=after)
        yield from page["drivers"]
        after = page["next"]


def _states(driver: Json) -> str:
    return ", ".join(
        f"{each['target']} {each['reason'] or each['state'].replace('_', ' ')}" for each in driver["targets"]
    )


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "driver": field("driver"),
    "name": field("name"),
    "driveri driver id": field("driveri_driver_id"),
    "targets": _states,
}
_WIDE: Mapping[str, Callable[[Json], object]] = {
    "e-mail": field("email"),
    "ref id": field("ref_id"),
    "found by": lambda driver: f"former {driver['former']}" if driver["former"] else driver["found_by"],
}
