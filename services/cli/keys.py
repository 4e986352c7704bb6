"""`driverlink keys` and `driverlink sign-in`: how machines and browsers prove who they are."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated

import typer

from services.cli.client import DataOption, Json, JsonOption, NoteOption, account_id, ask
from services.cli.listing import (
    Form,
    ago,
    field,
    listing,
    time_of,
    watched,
)
from services.cli.printing import moment, out, print_json, print_note

keys = typer.Typer(no_args_is_help=True)
journal = typer.Typer(no_args_is_help=True)

AccountOption = Annotated[
    str | None, typer.Option(help="Only about this account.", callback=account_id, show_default=False)
]

Granted = StrEnum("Granted", ["viewer", "operator", "approver", "account_manager", "admin"])
"""The roles that a key can have; a Master User is a person."""


def _check_accounts(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        account_id(name)
    return names


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for; it is stored as who asked.", show_default=False)],
    role: Annotated[list[Granted], typer.Option(help="What it may do; repeat it for more.", show_default=False)],
    *,
    account: Annotated[
        list[str] | None,
        typer.Option(help="Only for this account; repeat it for more.", callback=_check_accounts),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Refuse it after this many days.")] = None,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key, and show it this once.

    Give it to commands as DRIVERLINK_API_KEY, and send it with requests as `Authorization: Bearer KEY`.

    Examples:
        driverlink keys create nightly-report --role viewer
        driverlink keys create acme-hr --role operator --account acme --days 90
    """
    body = {"name": name, "roles": role, "accounts": account or [], "days": days, "note": note}
    made = ask(data, lambda services: services.command("/keys", body))
    if as_json:
        print_json(made)
        return
    out.print(made["key"], markup=False, soft_wrap=True)
    print_note(f"this is the only time that key {made['key_id']} is shown; `driverlink keys revoke` ends it")


@keys.command("list")
@listing
def list_all(data: DataOption = None, *, form: Form) -> None:
    """List API keys, the newest first.

    Examples:
        driverlink keys list
        driverlink keys list --sort used -o csv
    """

    def show() -> None:
        found = ask(data, lambda services: services.get("/keys"))
        nothing = "no keys yet: make one with `driverlink keys create`"
        form.print(found, _COLUMNS, wide=_WIDE, empty=nothing)

    watched(show, is_on=form.watch)


def _state(key: Json) -> str:
    if key["revoked"]:
        return f"revoked {ago(key['revoked'])}"
    return f"until {moment(key['expires'], is_zoned=True)}" if key["expires"] else "in use"


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "key": field("key_id"),
    "name": field("name"),
    "roles": lambda key: ", ".join(key["roles"]),
    "accounts": lambda key: ", ".join(key["accounts"]) or "all",
    "made by": field("by"),
    "used": lambda key: ago(key["used"]) or "never",
    "state": _state,
}
_WIDE: Mapping[str, Callable[[Json], object]] = {"at": time_of("at"), "expires": time_of("expires")}


@keys.command()
def revoke(
    number: Annotated[str, typer.Argument(metavar="KEY", help="The key, as `list` prints it.")],
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Refuse an API key from now on.

    Examples:
        driverlink keys revoke 3f2a9c1e5b7d
    """
    revoked = ask(data, lambda services: services.command(f"/keys/{number}/revoked", {"note": note}))
    if as_json:
        print_json(revoked)
    else:
        out.print(f"revoked {revoked['key_id']} ({revoked['name']})", markup=False)


@journal.command("list")
@listing
def list_journal(account: AccountOption = None, data: DataOption = None, *, form: Form) -> None:
    """List the last 100 things that people did to keys, credentials, push secrets and dead letters, and why.

    What they did to accounts otherwise is in `driverlink events`.

    Examples:
        driverlink journal list
        driverlink journal list --account acme -o csv
    """

    def show() -> None:
        found = ask(data, lambda services: services.get("/journal", account=account))["entries"]
        form.print(found, _ENTRIES, empty="nothing was done yet")

    watched(show, is_on=form.watch)


_ENTRIES: Mapping[str, Callable[[Json], object]] = {
    "at": time_of("at"),
    "account": field("account"),
    "what": field("fact"),
    "why": field("note"),
}


def sign_in(data: DataOption = None) -> None:
    """Print a link by which a browser on this machine signs in.

    It works once, and within a quarter of an hour.

    Examples:
        driverlink sign-in
    """
    out.print(ask(data, lambda services: services.command("/sign-in-links", {}))["url"], markup=False, soft_wrap=True)
