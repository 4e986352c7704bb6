"""`driverlink accounts` and `driverlink sync`."""

import sys
from typing import Annotated, Any

import typer
from rich.prompt import Prompt

from domain.account import Mode, Tier
from domain.identity import Target
from services.cli.printing import err, out, print_json, print_table
from services.cli.running import AccountArgument, DataOption, JsonOption, PersonOption, ask

accounts = typer.Typer(help="The fleets: add them, connect them to their targets, and see them.", no_args_is_help=True)
sync = typer.Typer(help="Sync Drivers: only the account's Master User turns it on or off.", no_args_is_help=True)

_SECRETS = {Target.DRIVERI: ("client_secret",), Target.MOTIVE: ("api_key",)}


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


@accounts.command()
def connect(
    account: AccountArgument,
    target: Target,
    *,
    tenant: Annotated[str, typer.Option(help="Driveri: the tenant's unique name.")] = "",
    client_id: Annotated[str, typer.Option(help="Driveri: the API key's client id.")] = "",
    data: DataOption = None,
) -> None:
    """Give an account its credentials at a target. The secret is asked for, or read from standard input."""
    values = {"tenant": tenant, "client_id": client_id} if target is Target.DRIVERI else {}
    missing = [f"--{name.replace('_', '-')}" for name, value in values.items() if not value]
    if missing:
        raise typer.BadParameter(f"{target} needs {' and '.join(missing)}")
    values |= {name: _secret(name) for name in _SECRETS[target]}
    body = {"target": target, "values": values}
    ask(data, lambda services: services.post(f"/accounts/{account}/credentials", body))
    out.print(f"{account} is connected to {target}")


@sync.command()
def on(account: AccountArgument, person: PersonOption, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Turn Sync Drivers on: everybody is synchronised, and what was missed is caught up."""
    _turn(account, person, data, is_on=True, as_json=as_json)


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


def _secret(name: str) -> str:
    if sys.stdin.isatty():
        return Prompt.ask(name.replace("_", " "), password=True, console=err)
    return sys.stdin.readline().strip()


def _print(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(found[0])
        return
    columns = ("account", "tier", "sync", "master user", "account manager", "modes")
    rows = [
        (
            each["account"],
            each["tier"] + (" (allowed)" if each["allowed"] else ""),
            each["sync"],
            each["master_user"],
            each["account_manager"],
            ", ".join(f"{target} {mode}" for target, mode in each["modes"].items()),
        )
        for each in found
    ]
    print_table(columns, rows)
