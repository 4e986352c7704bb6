"""`driverlink rekeyings`: drivers who would get other identifiers by what the Portal's API shows."""

from typing import Annotated

import typer

from services.cli.client import AccountArgument, DataOption, JsonOption, PersonOption, ask
from services.cli.printing import moment, out, print_json, print_note, print_table

rekeyings = typer.Typer(
    help="Drivers whose identifiers the Portal's API would change, held until a person decides.", no_args_is_help=True
)


@rekeyings.command("list")
def list_all(account: AccountArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """List the held drivers of an account, with their identifiers before and after, and the hash of all."""
    found = ask(data, lambda services: services.get(f"/accounts/{account}/rekeyings"))
    if as_json:
        print_json(found)
    elif not found["drivers"]:
        print_note(f"nothing is held for {account}")
    else:
        rows = [
            (each["driver"], _told(each["before"]), _told(each["after"]), moment(each["since"]))
            for each in found["drivers"]
        ]
        print_table(("driver", "before", "after", "since"), rows)
        out.print(f"hash {found['digest']}", markup=False)


@rekeyings.command()
def approve(
    account: AccountArgument,
    digest: Annotated[str, typer.Argument(metavar="HASH", help="The hash of the set, as `list` prints it.")],
    person: PersonOption,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Let exactly these drivers get these identifiers, at the next reading. Refused when it is another set by now."""
    body = {"by": person, "digest": digest}
    answer = ask(data, lambda services: services.post(f"/accounts/{account}/rekeyings", body))
    if as_json:
        print_json(answer)
    else:
        out.print(f"{answer['approved']} re-keyings of {account} approved by {person}", markup=False)


def _told(identifiers: dict[str, str]) -> str:
    told = [f"{name}={text}" for name, text in sorted(identifiers.items()) if name != "key"]
    return ", ".join(told) or "a new driver"
