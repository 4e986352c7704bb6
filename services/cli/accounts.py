"""`driverlink accounts` and `driverlink sync`."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.account import Mode, Tier
from domain.identity import Target
from services.cli.applying import opt_in
from services.cli.connecting import connect, disconnect
from services.cli.printing import print_json, print_note, print_table
from services.cli.running import AccountArgument, DataOption, JsonOption, PersonOption, ask

accounts = typer.Typer(help="The fleets: add them, connect them to their targets, and see them.", no_args_is_help=True)
sync = typer.Typer(help="Sync Drivers: only the account's Master User turns it on or off.", no_args_is_help=True)


@accounts.command()
def add(
    account: AccountArgument,
    *,
    master_user: Annotated[str, typer.Option(help="The Portal user who may turn Sync Drivers on.")],
    tier: Annotated[Tier, typer.Option(help="What the customer has bought of the Portal.")] = Tier.PRO,
    account_manager: Annotated[str, typer.Option(help="Who may allow it to a Standard account.")] = "",
    target: Annotated[list[Target] | None, typer.Option(help="A target to mirror to; all unless named.")] = None,
    mode: Annotated[Mode, typer.Option(help="How far it may go there.")] = Mode.FULL,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account known. Synchronisation stays off until its Master User turns it on."""
    body = {
        "account": account,
        "tier": tier,
        "master_user": master_user,
        "account_manager": account_manager,
        "targets": [str(each) for each in target or Target],
        "mode": mode,
    }
    added = ask(data, lambda services: services.post("/accounts", body), makes_folder=True)
    _print([added], as_json=as_json)


@accounts.command("list")
def list_all(data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """List every account."""
    found = ask(data, lambda services: services.get("/accounts"))
    if as_json:
        print_json(found)
    elif not found:
        print_note("no accounts yet: `driverlink accounts add` makes one known")
    else:
        _print(found, as_json=False)


@accounts.command()
def show(account: AccountArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Show one account."""
    _print([ask(data, lambda services: services.get(f"/accounts/{account}"))], as_json=as_json)


@accounts.command()
def allow(
    account: AccountArgument, person: PersonOption, data: DataOption = None, *, as_json: JsonOption = False
) -> None:
    """Allow Sync Drivers to a Standard account: its account manager's word."""
    answer = ask(data, lambda services: services.post(f"/accounts/{account}/allow", {"by": person}))
    _print([answer], as_json=as_json)


@accounts.command()
def mode(
    account: AccountArgument,
    target: Target,
    mode: Mode,
    person: PersonOption,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say how far synchronisation with a target may go: off, observe (send nothing), upsert (no deletes), full."""
    body = {"by": person, "target": target, "mode": mode}
    _print([ask(data, lambda services: services.post(f"/accounts/{account}/mode", body))], as_json=as_json)


_OWN_TIME = "own"


@accounts.command("sweep-at")
def sweep_at(
    account: AccountArgument,
    at: Annotated[str, typer.Argument(metavar="HH:MM|own", help="In UTC; own: at a time that the account's id gives.")],
    person: PersonOption,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say at which time of day the account's daily sweeps begin, up to half an hour later."""
    body = {"by": person, "sweep_at": _time_of_day(at)}
    _print([ask(data, lambda services: services.post(f"/accounts/{account}/sweep-time", body))], as_json=as_json)


def _time_of_day(text: str) -> str:
    if text == _OWN_TIME:
        return ""
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise typer.BadParameter(f"a time of day is HH:MM in UTC, such as 02:30, or {_OWN_TIME}; not {text!r}")
    return text


accounts.command()(connect)
accounts.command()(disconnect)


@sync.command()
def on(
    account: AccountArgument,
    person: PersonOption,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Turn it on without a plan, as in a script.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn Sync Drivers on, after a look at what that would do: everybody is synchronised.

    Shows the plan, and asks; then exactly that is done, or nothing where it would be another one by now. With --yes
    nothing is shown or asked, and whatever follows is done. Exit status 2 where nobody can be asked.
    """
    if yes or _is_on(account, data):
        _turn(account, person, data, is_on=True, as_json=as_json)
    elif sys.stdin.isatty():
        applied = ask(data, lambda services: opt_in(services, account, person))
        applied.print()
    else:
        print_note(f"driverlink: nobody can be asked here: look at `driverlink plan {account}`, then say --yes")
        raise typer.Exit(2)


def _is_on(account: str, data: Path | None) -> bool:
    found = ask(data, lambda services: services.get(f"/accounts/{account}"))
    return bool(found["sync"] == "on")


@sync.command()
def off(
    account: AccountArgument, person: PersonOption, data: DataOption = None, *, as_json: JsonOption = False
) -> None:
    """Turn Sync Drivers off: nothing is written from now on, and nothing is undone."""
    _turn(account, person, data, is_on=False, as_json=as_json)


@sync.command()
def status(account: AccountArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Say whether Sync Drivers is on."""
    _print([ask(data, lambda services: services.get(f"/accounts/{account}"))], as_json=as_json)


def _turn(account: str, person: str, data: DataOption, *, is_on: bool, as_json: bool) -> None:
    body = {"by": person, "on": is_on}
    _print([ask(data, lambda services: services.post(f"/accounts/{account}/sync", body))], as_json=as_json)


def _print(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(found[0])
        return
    columns = ("account", "tier", "sync", "master user", "account manager", "modes", "sweeps at")
    rows = [
        (
            each["account"],
            each["tier"] + (" (allowed)" if each["allowed"] else ""),
            each["sync"],
            each["master_user"],
            each["account_manager"],
            ", ".join(f"{target} {mode}" for target, mode in each["modes"].items()),
            f"{each['sweep_at']} UTC" if each["sweep_at"] else "a time of its own",
        )
        for each in found
    ]
    print_table(columns, rows)
