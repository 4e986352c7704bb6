"""`driverlink accounts connect` and `disconnect`: an account's credentials at the Portal and at targets."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.prompt import Prompt

from domain.cleaning import is_storable
from domain.identity import PORTAL, Target
from services.cli.printing import err, out
from services.cli.reaching import CommandRefused
from services.cli.running import AccountArgument, DataOption, ask


def _secret_file(what: str) -> Any:  # noqa: ANN401 - typer's own
    return typer.Option(exists=True, dir_okay=False, help=f"A file that holds {what}; else it is asked for.")


class ConnectedTo(StrEnum):
    """What an account can have credentials at."""

    PORTAL = PORTAL
    DRIVERI = Target.DRIVERI
    MOTIVE = Target.MOTIVE


_PLAIN: Mapping[ConnectedTo, tuple[tuple[str, ...], tuple[str, ...]]] = {
    ConnectedTo.PORTAL: (("username",), ()),
    ConnectedTo.DRIVERI: (("tenant", "client_id"), ()),
    ConnectedTo.MOTIVE: ((), ("client_id",)),
}
"""What is no secret: what is needed, and what may be left out."""


def connect(
    account: AccountArgument,
    target: Annotated[ConnectedTo, typer.Argument(help="The Portal, or a target.", show_default=False)],
    *,
    username: Annotated[str, typer.Option(help="Portal: the user by whose rights it is read.")] = "",
    app_token_file: Annotated[Path | None, _secret_file("the token of the Portal's API app")] = None,
    tenant: Annotated[str, typer.Option(help="Driveri: the tenant's unique name.")] = "",
    client_id: Annotated[
        str, typer.Option(help="Driveri: the API key's client id. Motive: the OAuth application's, if it is by OAuth.")
    ] = "",
    client_secret_file: Annotated[Path | None, _secret_file("the client secret")] = None,
    api_key_file: Annotated[Path | None, _secret_file("Motive's API key")] = None,
    refresh_token_file: Annotated[Path | None, _secret_file("Motive's refresh token")] = None,
    data: DataOption = None,
) -> None:
    """Give an account its credentials: in Motive an API key or, with a client id, a refresh token.

    Secrets without a file are asked for or, where nobody can be asked, read from standard input, one a line.
    """
    files = {
        "app_token": app_token_file,
        "client_secret": client_secret_file,
        "api_key": api_key_file,
        "refresh_token": refresh_token_file,
    }
    stated = (("username", username), ("tenant", tenant), ("client_id", client_id))
    plain = {name: value for name, value in stated if value}
    secrets = _secrets_of(target, has_client_id=bool(client_id))
    _check_options(target, [*plain, *(f"{name}_file" for name, path in files.items() if path)], secrets)
    values = plain | {name: secret_of(name, files[name]) for name in secrets}
    body = {"target": target, "values": values}
    ask(data, lambda services: services.post(f"/accounts/{account}/credentials", body))
    out.print(f"{account} is connected to {target}")


def disconnect(
    account: AccountArgument,
    target: Annotated[ConnectedTo, typer.Argument(help="The Portal, or a target.", show_default=False)],
    data: DataOption = None,
) -> None:
    """Remove an account's credentials: the Portal is read by API no more, or no calls are made to the target.

    Nothing is undone, and no driver is touched. Refused when there are no credentials.
    """
    body = {"target": target}
    answer = ask(data, lambda services: services.post(f"/accounts/{account}/credentials/removed", body))
    if not answer["removed"]:
        raise CommandRefused(f"{account} is not connected to {target}")
    out.print(f"{account} is not connected to {target} any more", markup=False)


def _secrets_of(target: ConnectedTo, *, has_client_id: bool) -> tuple[str, ...]:
    """The secrets that make an account's credentials whole, in the order in which they are asked for."""
    match target:
        case ConnectedTo.PORTAL:
            return ("app_token",)
        case ConnectedTo.DRIVERI:
            return ("client_secret",)
        case ConnectedTo.MOTIVE:
            return ("client_secret", "refresh_token") if has_client_id else ("api_key",)


def _check_options(target: ConnectedTo, given: Sequence[str], secrets: Sequence[str]) -> None:
    needed, optional = _PLAIN[target]
    if missing := [_option(name) for name in needed if name not in given]:
        raise typer.BadParameter(f"{target} needs {' and '.join(missing)}")
    fitting = {*needed, *optional, *(f"{name}_file" for name in secrets)}
    if strange := [_option(name) for name in given if name not in fitting]:
        raise typer.BadParameter(f"{' and '.join(strange)} cannot be used here")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def secret_of(name: str, path: Path | None) -> str:
    """One secret: from its file, from a person at the terminal, or the next line of standard input.

    Raises `CommandRefused` where what is read is no text in UTF-8.
    """
    if path is not None:
        return _content(path)
    if sys.stdin.isatty():
        return _text(lambda: Prompt.ask(name.replace("_", " "), password=True, console=err))
    return _text(sys.stdin.readline).strip()


def _text(read: Callable[[], str]) -> str:
    with suppress(UnicodeDecodeError):
        if is_storable(text := read()):
            return text
    raise CommandRefused("standard input is no text in UTF-8: give the secret by a file, or type it again")


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise CommandRefused(f"{path} cannot be read as text") from None
