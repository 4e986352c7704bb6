"""`driverlink accounts` and `driverlink sync`: accounts, their credentials at the Portal and at targets, and opt-in."""

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.prompt import Prompt

from domain.account import Mode, Tier
from domain.cleaning import is_storable
from domain.identity import Target
from domain.profile import CREDENTIALS
from services.cli.client import (
    AccountArgument,
    CommandRefused,
    DataOption,
    Json,
    JsonOption,
    NamedAccountArgument,
    NoteOption,
    PersonOption,
    Services,
    account_pages,
    ask,
    is_confirmed,
)
from services.cli.listing import LimitOption, Output, OutputOption, SortOption, WatchOption, field, print_list, watched
from services.cli.plans import opt_in, print_applied
from services.cli.printing import err, out, print_json, print_note, print_table
from services.cli.push_secrets import push_secret


def _secret_file(what: str) -> Any:  # noqa: ANN401 - typer's own
    return typer.Option(exists=True, dir_okay=False, help=f"A file with {what}; by default it is prompted for.")


ConnectedTo = StrEnum("ConnectedTo", [(each.upper(), each) for each in CREDENTIALS])  # type: ignore[misc]  # from the specs


accounts = typer.Typer(no_args_is_help=True)
accounts.add_typer(push_secret, name="push-secret", help="Make, replace and revoke the secrets of what others push.")
sync = typer.Typer(no_args_is_help=True)


@accounts.command()
def add(
    account: NamedAccountArgument,
    *,
    master_user: Annotated[str, typer.Option(help="The Portal user who may turn Sync Drivers on.")],
    tier: Annotated[Tier, typer.Option(help="The customer's tier of the Portal.")] = Tier.PRO,
    account_manager: Annotated[str, typer.Option(help="Who may allow Sync Drivers for a Standard account.")] = "",
    target: Annotated[list[Target] | None, typer.Option(help="A target to synchronise; repeat it for more.")] = None,
    mode: Annotated[
        Mode, typer.Option(help="The mode of its targets; with observe everything is decided, and nothing sent.")
    ] = Mode.OBSERVE,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an account. Sync stays off until its Master User turns it on.

    Its targets are only observed at first: everything is decided and recorded, and nothing is sent to them. Look at
    what would be done by `driverlink plan`, then let it be done by `driverlink accounts mode`.

    Examples:
        driverlink accounts add acme --master-user maria
        driverlink accounts add acme --master-user maria --target driveri --mode full
    """
    body = {
        "account": account,
        "tier": tier,
        "master_user": master_user,
        "account_manager": account_manager,
        "targets": [str(each) for each in target or Target],
        "mode": mode,
        "note": note,
    }
    _print([ask(data, lambda services: services.command("/accounts", body))], as_json=as_json)


@accounts.command("list")
def list_all(
    data: DataOption = None,
    *,
    output: OutputOption = Output.TABLE,
    sort: SortOption = None,
    limit: LimitOption = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """List all accounts.

    Examples:
        driverlink accounts list
        driverlink accounts list --sort tier -o csv
    """

    def show() -> None:
        found = ask(data, lambda services: [each for page in account_pages(services, "/accounts") for each in page])
        form = Output.JSON if as_json else output
        print_list(found, _COLUMNS, output=form, sort=sort, limit=limit)
        if not found and form is Output.TABLE:
            print_note("no accounts yet: add one with `driverlink accounts add`")

    watched(show, is_on=watch)


@accounts.command()
def show(account: AccountArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Show one account.

    Examples:
        driverlink accounts show acme
    """
    _print([ask(data, lambda services: services.get(f"/accounts/{account}"))], as_json=as_json)


@accounts.command()
def apply(
    file: Annotated[
        Path,
        typer.Option("--file", "-f", exists=True, dir_okay=False, allow_dash=True, help="YAML or JSON; - for input."),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring accounts to what a file says of them: add those that are new, change those that differ.

    The file has a list `accounts`; each of them needs its `account`, and a new one its `master_user`. What is left out
    of `tier`, `master_user`, `account_manager`, `modes` and `reconcile_at` stays as it is. Accounts that the file does
    not name are left alone. If anything in the file is wrong, every error is listed with its line, and nothing is
    stored; run again, it changes nothing. Sync Drivers is never turned on or off by it.

    Examples:
        driverlink accounts apply -f accounts.yaml --dry-run
        driverlink accounts apply -f accounts.yaml
    """
    from services.cli.accounts_file import apply_file  # noqa: PLC0415 - what reads YAML loads only where it is used

    result = ask(data, lambda services: apply_file(services, file, by=person, note=note, is_dry_run=dry_run))
    if as_json:
        print_json(result.document)
    else:
        result.print()
    if result.is_refused:
        raise typer.Exit(1)


@accounts.command("set")
def set_people(
    account: AccountArgument,
    *,
    tier: Annotated[Tier | None, typer.Option(help="The customer's tier of the Portal.")] = None,
    master_user: Annotated[str | None, typer.Option(help="The Portal user who may turn Sync Drivers on.")] = None,
    account_manager: Annotated[
        str | None, typer.Option(help="Who may allow Sync Drivers for a Standard account; empty: there is none.")
    ] = None,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change an account's tier, its Master User or its account manager.

    Its account manager can, and who runs the service; its Master User cannot. Sync Drivers stays as it is.

    Examples:
        driverlink accounts set acme --master-user eve
        driverlink accounts set acme --tier enterprise --as bob
    """
    wanted = {"tier": tier, "master_user": master_user, "account_manager": account_manager}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        raise typer.BadParameter("say what changes: --tier, --master-user or --account-manager")
    body = {**given, "by": person, "note": note}
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/people", body))
    _print([answer], as_json=as_json)


@accounts.command()
def remove(
    account: NamedAccountArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
) -> None:
    """Remove an account: nothing is read or written for it any more, and its data is erased.

    Its credentials are removed at once, and its targets stay as they are: no driver there is changed. Everything that
    the services have stored of it is erased when `driverlink up` starts next, or by `driverlink erase`; an event
    without personal data proves it. Then the id may be used again. Exit status 2: there is no terminal to ask on.

    Examples:
        driverlink accounts remove acme
        driverlink accounts remove acme --yes --as bob
    """
    if not yes and not sys.stdin.isatty():
        print_note("driverlink: there is no terminal to ask on; repeat with --yes to remove the account and its data")
        raise typer.Exit(2)
    if not yes and not is_confirmed(f"Remove {account}, and erase all that is stored of its drivers?"):
        print_note("nothing was done")
        return
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/removed", {"by": person, "note": note}))
    out.print(f"removed {answer['account']}; its data is erased when the services start next", markup=False)


@accounts.command()
def allow(
    account: AccountArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Allow Sync Drivers for a Standard account; only its account manager can.

    Examples:
        driverlink accounts allow acme --as bob
    """
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/allow", {"by": person, "note": note}))
    _print([answer], as_json=as_json)


@accounts.command()
def mode(
    account: AccountArgument,
    target: Target,
    mode: Mode,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Set the mode of a target: off, observe (send nothing), upsert (no deletes) or full.

    Examples:
        driverlink accounts mode acme motive observe --as maria
    """
    body = {"by": person, "note": note, "target": target, "mode": mode}
    _print([ask(data, lambda services: services.command(f"/accounts/{account}/mode", body))], as_json=as_json)


_OWN_TIME = "own"


@accounts.command("reconciliation-at")
def reconcile_at(
    account: AccountArgument,
    at: Annotated[str, typer.Argument(metavar="HH:MM|own", help="In UTC; own: a time derived from the account's id.")],
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Set the time of day at which the account's daily reconciliations begin, up to half an hour later.

    Examples:
        driverlink accounts reconciliation-at acme 02:30 --as maria
        driverlink accounts reconciliation-at acme own --as maria
    """
    if at != _OWN_TIME and not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", at):
        raise typer.BadParameter(f"a time of day is HH:MM in UTC, such as 02:30, or {_OWN_TIME}; not {at!r}")
    body = {"by": person, "note": note, "reconcile_at": "" if at == _OWN_TIME else at}
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/reconciliation-time", body))
    _print([answer], as_json=as_json)


@accounts.command()
def connect(
    account: AccountArgument,
    target: Annotated[ConnectedTo, typer.Argument(help="The Portal, or a target.", show_default=False)],
    *,
    username: Annotated[str, typer.Option(help="Portal: the user whose access rights it is read with.")] = "",
    app_token_file: Annotated[Path | None, _secret_file("the token of the Portal's API app")] = None,
    tenant: Annotated[str, typer.Option(help="Driveri: the tenant's unique name.")] = "",
    client_id: Annotated[
        str,
        typer.Option(help="Driveri: the API key's client id. Motive, for OAuth: the application's client id."),
    ] = "",
    client_secret_file: Annotated[Path | None, _secret_file("the client secret")] = None,
    api_key_file: Annotated[Path | None, _secret_file("Motive's API key")] = None,
    refresh_token_file: Annotated[Path | None, _secret_file("Motive's refresh token")] = None,
    note: NoteOption = "",
    data: DataOption = None,
) -> None:
    """Store an account's credentials: for Motive an API key or, with a client id, a refresh token.

    Nothing is called: `driverlink accounts check` tries them. Secrets without a file are prompted for or, without a
    terminal, read from standard input, one per line.

    Examples:
        driverlink accounts connect acme driveri --tenant acme-trucking --client-id CLIENT
        driverlink accounts connect acme motive --api-key-file motive-key.txt
    """
    files = {
        "app_token": app_token_file,
        "client_secret": client_secret_file,
        "api_key": api_key_file,
        "refresh_token": refresh_token_file,
    }
    stated = (("username", username), ("tenant", tenant), ("client_id", client_id))
    plain = {name: value for name, value in stated if value}
    given = [*plain, *(f"{name}_file" for name, path in files.items() if path)]
    # Of several ways it is the one whose options are given, else the first.
    form = max(CREDENTIALS[target.value], key=lambda form: len(plain.keys() & set(form.plain)))
    if missing := [_option(name) for name in form.plain if name not in given]:
        raise typer.BadParameter(f"{target} needs {' and '.join(missing)}")
    fitting = {*form.plain, *(f"{name}_file" for name in form.secrets)}
    if strange := [_option(name) for name in given if name not in fitting]:
        raise typer.BadParameter(f"{' and '.join(strange)} cannot be used here")
    body = {
        "note": note,
        "target": target,
        "values": plain | {name: secret_of(name, files[name]) for name in form.secrets},
    }
    ask(data, lambda services: services.command(f"/accounts/{account}/credentials", body))
    out.print(f"stored the credentials of {account} for {target}; nothing was called with them yet", markup=False)
    out.print(f"try them: driverlink accounts check {account} {target}", markup=False)


@accounts.command()
def check(
    account: AccountArgument,
    target: Annotated[
        list[ConnectedTo] | None,
        typer.Argument(help="The Portal, or targets; by default the targets whose mode is not off."),
    ] = None,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check an account's credentials, each by one real call that only reads.

    Exit status 1: at least one of them does not work.

    Examples:
        driverlink accounts check acme
        driverlink accounts check acme portal motive
    """

    def checked(services: Services) -> list[Json]:
        modes = {} if target else services.get(f"/accounts/{account}")["modes"]
        synced = [each for each in Target if modes.get(each, Mode.OFF) != Mode.OFF]
        path = f"/accounts/{account}/credentials/checked"
        return [services.post(path, {"target": each}) for each in target or synced or Target]

    found = ask(data, checked)
    if as_json:
        print_json(found)
    else:
        rows = [
            (each["target"], "works" if each["ok"] else f"fails: {each['reason'].replace('_', ' ')}", each["detail"])
            for each in found
        ]
        print_table(("target", "credentials", "detail"), rows)
    if not all(each["ok"] for each in found):
        raise typer.Exit(1)


@accounts.command()
def disconnect(
    account: AccountArgument,
    target: Annotated[ConnectedTo, typer.Argument(help="The Portal, or a target.", show_default=False)],
    note: NoteOption = "",
    data: DataOption = None,
) -> None:
    """Remove an account's credentials: the Portal's API is no longer read, or the target no longer called.

    Nothing is undone, and no driver is changed. Refused when there are no credentials.

    Examples:
        driverlink accounts disconnect acme motive
    """
    body = {"target": target, "note": note}
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/credentials/removed", body))
    if not answer["removed"]:
        raise CommandRefused(f"{account} is not connected to {target}")
    out.print(f"disconnected {account} from {target}", markup=False)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def secret_of(name: str, path: Path | None) -> str:
    """One secret: from its file, from a person at the terminal, or the next line of standard input.

    Raises `CommandRefused` where the input is not UTF-8 text.
    """
    if path is not None:
        try:
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise CommandRefused(f"{path} cannot be read as text") from None
    with suppress(UnicodeDecodeError):
        if sys.stdin.isatty():
            text = Prompt.ask(name.replace("_", " "), password=True, console=err)
        else:
            text = sys.stdin.readline().strip()
        if not text:
            raise CommandRefused(
                f"no {name.replace('_', ' ')} was given: name its file by {_option(name)}-file, or type it"
            )
        if is_storable(text):
            return text
    raise CommandRefused("standard input is not UTF-8 text: give the secret by a file, or type it again")


@sync.command()
def on(
    account: AccountArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Turn it on without plan and question, as in a script.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn Sync Drivers on, after showing the plan and asking for confirmation.

    Every driver is synchronised. Exactly the plan that was shown is applied, or nothing if it has changed since. With
    --yes there is neither plan nor question. Exit status 2: there is no terminal to ask on, and --yes is missing.

    Examples:
        driverlink sync on acme --as maria
        driverlink sync on acme --as maria --yes
    """
    if yes or ask(data, lambda services: services.get(f"/accounts/{account}"))["sync"] == "on":
        _turn(account, person, note, data, is_on=True, as_json=as_json)
    elif sys.stdin.isatty():
        print_applied(ask(data, lambda services: opt_in(services, account, person, note)))
    else:
        print_note(
            f"driverlink: there is no terminal to ask on; check `driverlink plan {account}`, then repeat with --yes"
        )
        raise typer.Exit(2)


@sync.command()
def off(
    account: AccountArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Turn Sync Drivers off: nothing is written from now on, and nothing is undone.

    Examples:
        driverlink sync off acme --as maria
    """
    _turn(account, person, note, data, is_on=False, as_json=as_json)


@sync.command()
def status(account: AccountArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Show whether Sync Drivers is on.

    Examples:
        driverlink sync status acme
    """
    _print([ask(data, lambda services: services.get(f"/accounts/{account}"))], as_json=as_json)


def _turn(account: str, person: str | None, note: str, data: DataOption, *, is_on: bool, as_json: bool) -> None:
    body = {"by": person, "note": note, "on": is_on}
    _print([ask(data, lambda services: services.command(f"/accounts/{account}/sync", body))], as_json=as_json)


def _print(found: list[Json], *, as_json: bool) -> None:
    if as_json:
        print_json(found[0])
        return
    print_table([*_COLUMNS], [[cell(each) for cell in _COLUMNS.values()] for each in found])


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "account": field("account"),
    "tier": lambda each: each["tier"] + (" (allowed)" if each["allowed"] else ""),
    "sync": field("sync"),
    "master user": field("master_user"),
    "account manager": field("account_manager"),
    "modes": lambda each: ", ".join(f"{target} {mode}" for target, mode in each["modes"].items()),
    "reconciliations at": lambda each: f"{each['reconcile_at']} UTC" if each["reconcile_at"] else "a time of its own",
}
