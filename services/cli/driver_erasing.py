"""`driverlink drivers erase`: what is stored of a driver that the Portal has deleted, for good."""

import sys
from typing import Annotated

import typer

from services.cli.client import AccountArgument, DataOption, JsonOption, NoteOption, ask, is_confirmed
from services.cli.printing import moment, out, print_json, print_note


def erase(
    account: AccountArgument,
    driver: Annotated[str, typer.Argument(help="The Portal's own id of the driver.", show_default=False)],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a driver that the Portal has deleted, for good.

    Its keys are destroyed, so that no copy of what was stored of it can be read: names, e-mail, phone and licence. Its
    history stays as a list of facts without them. The targets keep what they have. It is refused while the Portal has
    the driver, a target driver is linked, or a delivery is in hand. Erasing it again changes nothing. Exit status 2:
    there is no terminal to ask on.

    Examples:
        driverlink drivers erase acme 200006
        driverlink drivers erase acme 200006 --yes --note "request of 12 March"
    """
    seen = ask(data, lambda services: services.get(f"/accounts/{account}/erasures", driver=driver))
    if seen["erased_at"] is None and not as_json:
        where = f", also of its links with {' and '.join(seen['targets'])}" if seen["targets"] else ""
        print_note(f"{seen['name'] or 'driver'} ({seen['driver']}): everything personal that is stored goes{where}")
    if seen["erased_at"] is None and not yes:
        if not sys.stdin.isatty():
            print_note("driverlink: there is no terminal to ask on; repeat with --yes to erase the driver")
            raise typer.Exit(2)
        if not is_confirmed(f"Erase driver {seen['driver']} for good?"):
            print_note("nothing was done")
            return
    body = {"driver": driver, "note": note}
    done = ask(data, lambda services: services.command(f"/accounts/{account}/erasures", body))
    if as_json:
        print_json(done)
        return
    words = "is erased" if done["is_new"] else f"was erased at {moment(done['erased_at'])} already; nothing was added"
    out.print(f"driver {done['driver']} of {done['account']} {words}", markup=False)
