"""`driverlink accounts push-secret`: the secrets by which the Portal and Motive sign what they push."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.client import (
    AccountArgument,
    CommandRefused,
    DataOption,
    Json,
    JsonOption,
    NoteOption,
    ask,
)
from services.cli.listing import (
    Form,
    ago,
    field,
    listing,
    time_of,
    watched,
)
from services.cli.printing import moment, out, print_json, print_note

push_secret = typer.Typer(no_args_is_help=True)


class SenderName(StrEnum):
    """Who pushes to us."""

    PORTAL = "portal"
    MOTIVE = "motive"


SenderArgument = Annotated[SenderName, typer.Argument(help="Who pushes.")]
SecretFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A file with the secret that Motive shows; else one is made."),
]


@push_secret.command()
@listing
def show(account: AccountArgument, data: DataOption = None, *, form: Form) -> None:
    """Show who may push to an account, where to, and what was refused. Secrets are not shown.

    Examples:
        driverlink accounts push-secret show acme
        driverlink accounts push-secret show acme --watch
    """

    def show_once() -> None:
        found = ask(data, lambda services: services.get(f"/accounts/{account}/push-secrets"))
        form.print(found, _COLUMNS)

    watched(show_once, is_on=form.watch)


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "sender": field("sender"),
    "path": field("path"),
    "since": lambda row: ago(row["since"]) or "no secret",
    "former until": time_of("former_until"),
    "refused": lambda row: ", ".join(
        f"{one['refused']} {one['reason']}, last {ago(one['at'])}" for one in row["refused"]
    ),
}


@push_secret.command()
def create(
    account: AccountArgument,
    sender: SenderArgument = SenderName.PORTAL,
    *,
    secret_file: SecretFile = None,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create the secret by which a sender signs what it pushes, and show it once.

    Examples:
        driverlink accounts push-secret create acme
        driverlink accounts push-secret create acme motive --secret-file motive-webhook.txt
    """
    body = {"secret": _stated(secret_file), "note": note}
    _print(
        ask(data, lambda services: services.command(f"/accounts/{account}/push-secrets/{sender}", body)),
        as_json=as_json,
    )


@push_secret.command()
def rotate(
    account: AccountArgument,
    sender: SenderArgument = SenderName.PORTAL,
    *,
    secret_file: SecretFile = None,
    at_once: Annotated[bool, typer.Option("--at-once", help="End the former secret now, as after a leak.")] = False,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the secret of a sender, and show the new one once. The former is good for 24 hours more.

    Examples:
        driverlink accounts push-secret rotate acme
        driverlink accounts push-secret rotate acme portal --at-once
    """
    body = {"secret": _stated(secret_file), "at_once": at_once, "note": note}
    path = f"/accounts/{account}/push-secrets/{sender}/rotation"
    _print(ask(data, lambda services: services.command(path, body)), as_json=as_json)


@push_secret.command()
def revoke(
    account: AccountArgument,
    sender: SenderArgument = SenderName.PORTAL,
    note: NoteOption = "",
    data: DataOption = None,
) -> None:
    """Revoke the secrets of a sender: what it pushes is refused from now on.

    Examples:
        driverlink accounts push-secret revoke acme motive
    """
    answer = ask(
        data, lambda services: services.command(f"/accounts/{account}/push-secrets/{sender}/revocation", {"note": note})
    )
    if not answer["revoked"]:
        raise CommandRefused(f"{sender} has no secret for {account}")
    out.print(f"what {sender} pushes to {account} is refused from now on", markup=False)


def _stated(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise CommandRefused(f"{path} cannot be read as text") from None


def _print(answer: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    out.print(answer["secret"], markup=False)
    print_note(f"this is shown once: enter it at {answer['sender']}, which pushes to {answer['path']}")
    if answer["former_until"]:
        print_note(f"the former secret is good until {moment(answer['former_until'], is_zoned=True)}")
