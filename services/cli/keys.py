"""`driverlink keys` and `driverlink sign-in`: how machines and browsers prove who they are."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.client import DataOption, Json, JsonOption, account_id, ask
from services.cli.printing import moment, out, print_json, print_note, print_table

keys = typer.Typer(no_args_is_help=True)

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
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Refuse it after so many days.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key, and show it this once.

    Give it to commands as DRIVERLINK_API_KEY, and send it with requests as `Authorization: Bearer KEY`.

    Examples:
        driverlink keys create nightly-report --role viewer
        driverlink keys create acme-hr --role operator --account acme --days 90
    """
    body = {"name": name, "roles": role, "accounts": account or [], "days": days}
    made = ask(data, lambda services: services.post("/keys", body))
    if as_json:
        print_json(made)
        return
    out.print(made["key"], markup=False, soft_wrap=True)
    print_note(f"this is the only time that key {made['key_id']} is shown; `driverlink keys revoke` ends it")


@keys.command("list")
def list_all(data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """List API keys, the newest first.

    Examples:
        driverlink keys list
    """
    found = ask(data, lambda services: services.get("/keys"))
    if as_json:
        print_json(found)
    elif not found:
        print_note("no keys yet: make one with `driverlink keys create`")
    else:
        columns = ("key", "name", "roles", "accounts", "made by", "used", "state")
        print_table(columns, [_to_row(each) for each in found])


def _to_row(key: Json) -> tuple[str, ...]:
    state = f"until {moment(key['expires'])}" if key["expires"] else "in use"
    return (
        key["key_id"],
        key["name"],
        ", ".join(key["roles"]),
        ", ".join(key["accounts"]) or "all",
        key["by"],
        moment(key["used"]) if key["used"] else "never",
        f"revoked {moment(key['revoked'])}" if key["revoked"] else state,
    )


@keys.command()
def revoke(
    number: Annotated[str, typer.Argument(metavar="KEY", help="The key, as `list` prints it.")],
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Refuse an API key from now on.

    Examples:
        driverlink keys revoke 3f2a9c1e5b7d
    """
    revoked = ask(data, lambda services: services.post(f"/keys/{number}/revoked", {}))
    if as_json:
        print_json(revoked)
    else:
        out.print(f"revoked {revoked['key_id']} ({revoked['name']})", markup=False)


def sign_in(data: DataOption = None) -> None:
    """Print a link by which a browser on this machine signs in.

    It works once, and within a quarter of an hour.

    Examples:
        driverlink sign-in
    """
    out.print(ask(data, lambda services: services.post("/sign-in-links", {}))["url"], markup=False, soft_wrap=True)
