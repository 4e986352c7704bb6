"""`driverlink context`, `login` and `logout`: the installation that commands ask, and the key they ask with."""

import re
import sys
from dataclasses import replace
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from services.api import ADDRESS
from services.cli.client import (
    CommandRefused,
    Context,
    Contexts,
    JsonOption,
    account_id,
    is_api_key,
    load_contexts,
    services_at,
    store_contexts,
)
from services.cli.listing import Output, OutputOption, field, print_list
from services.cli.printing import out, print_note

context = typer.Typer(no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="CONTEXT", help="The context's name.")]
ChosenArgument = Annotated[
    str | None, typer.Argument(metavar="CONTEXT", help="The context; by default the one in use.", show_default=False)
]


@context.command("list")
def list_all(*, output: OutputOption = Output.TABLE, as_json: JsonOption = False) -> None:
    """List the contexts; keys are not shown.

    Examples:
        driverlink context list
    """
    found = load_contexts()
    rows = [
        {
            "name": name,
            "in_use": name == found.current,
            "api_url": each.api_url,
            "data": each.data,
            "account": each.account,
            "has_key": bool(each.key),
        }
        for name, each in sorted(found.by_name.items())
    ]
    if not rows and output is Output.TABLE and not as_json:
        print_note("no contexts yet: make one with `driverlink context set`")
        return
    columns = {
        "in use": lambda row: "*" if row["in_use"] else "",
        "name": field("name"),
        "address": lambda row: row["api_url"] or row["data"],
        "account": field("account"),
        "key": lambda row: "stored" if row["has_key"] else "",
    }
    print_list(rows, columns, output=Output.JSON if as_json else output)


@context.command("set")
def set_context(
    name: NameArgument,
    *,
    api_url: Annotated[str | None, typer.Option(help="The address of its API.", show_default=False)] = None,
    data: Annotated[Path | None, typer.Option(help="Its data folder, on this machine.", show_default=False)] = None,
    account: Annotated[
        str | None, typer.Option(help="The account that is meant where none is named; '' for none.", show_default=False)
    ] = None,
) -> None:
    """Make a context, or change it. The first one is used at once.

    An API key is forgotten where the address changes: it is sent only to the API that it was stored for.

    Examples:
        driverlink context set work --api-url https://driverlink.example.com --account acme
        driverlink context set home --data /var/lib/driverlink
    """
    if api_url is not None and (not re.fullmatch(ADDRESS, api_url) or "@" in api_url):
        raise typer.BadParameter("--api-url is an address such as https://driverlink.example.com, without a password")
    if api_url and data:
        raise typer.BadParameter("give either --api-url or --data")
    account_id(account or None)
    found = load_contexts()
    made = found.by_name.get(name, Context())
    if api_url or data:
        key = made.key if api_url == made.api_url else ""
        made = replace(made, api_url=api_url or "", data=str(data.absolute()) if data else "", key=key)
    if account is not None:
        made = replace(made, account=account)
    if not (made.api_url or made.data):
        raise typer.BadParameter("give --api-url or --data")
    store_contexts(Contexts(current=found.current or name, by_name={**found.by_name, name: made}))
    out.print(f"context {name}: {made.api_url or made.data}", markup=False)


@context.command()
def use(name: NameArgument) -> None:
    """Use a context from now on.

    Examples:
        driverlink context use work
    """
    found = load_contexts()
    _chosen(found, name)
    store_contexts(replace(found, current=name))
    out.print(f"context {name} is in use", markup=False)


@context.command()
def remove(name: NameArgument) -> None:
    """Remove a context, and the API key that it has.

    Examples:
        driverlink context remove work
    """
    found = load_contexts()
    _chosen(found, name)
    left = {each: value for each, value in found.by_name.items() if each != name}
    store_contexts(Contexts(current="" if found.current == name else found.current, by_name=left))
    out.print(f"context {name} is removed", markup=False)


def login(name: ChosenArgument = None) -> None:
    """Store an API key for a context, once the API has said whose it is.

    The key is read from the terminal without being shown, or from standard input; it is never an argument, which others
    on this machine could read.

    Examples:
        driverlink login
        driverlink login work < key.txt
    """
    found = load_contexts()
    chosen, before = _chosen(found, name)
    if "://" not in before.api_url:
        raise CommandRefused(f"context {chosen} needs no API key: its local socket knows who you are")
    key = (getpass("API key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not key or not is_api_key(key):
        raise CommandRefused("that is not an API key: `driverlink keys create` prints one")
    who = services_at(before.api_url, key).get("/principal")
    store_contexts(replace(found, by_name={**found.by_name, chosen: replace(before, key=key)}))
    roles = "; ".join(f"{', '.join(roles)} on {account}" for account, roles in sorted(who["grants"].items()))
    out.print(f"context {chosen} asks as {who['who']} ({roles.replace('on *', 'on all accounts')})", markup=False)


def logout(name: ChosenArgument = None) -> None:
    """Forget the API key of a context.

    `driverlink keys revoke` ends the key itself.

    Examples:
        driverlink logout
    """
    found = load_contexts()
    chosen, before = _chosen(found, name)
    store_contexts(replace(found, by_name={**found.by_name, chosen: replace(before, key="")}))
    out.print(f"context {chosen} has no API key any more", markup=False)


def _chosen(found: Contexts, name: str | None) -> tuple[str, Context]:
    """The context of that name, or the one in use. Raises `CommandRefused`."""
    name = name or found.current
    if name not in found.by_name:
        what = f"there is no context {name}" if name else "no context is in use"
        raise CommandRefused(f"{what}: see `driverlink context list`, or make one with `driverlink context set`")
    return name, found.by_name[name]
