"""What every command shares: its data folder, and one clear line for everything that can go wrong."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.prompt import Confirm

from services.cli.printing import err
from services.cli.reaching import CommandRefused, Services, reached
from services.cli.shape import chosen

T = TypeVar("T")


def _folder(name: str) -> Path:
    """An empty name would be the folder in which the command happens to run."""
    if not name:
        raise typer.BadParameter("it must name a folder")
    return Path(name)


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=_folder,
        metavar="<path>",
        help="The data folder; else DRIVERLINK_DATABASE_URL's database, else DRIVERLINK_DATA, else driverlink-data.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts in place of tables.")]


def account_id(text: str | None) -> str | None:
    """An account's id, as far as one can be written so; what is no text at all is said where it is sent.

    Raises `typer.BadParameter`.
    """
    if text is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}|.*[\ud800-\udfff].*", text):
        raise typer.BadParameter(
            "an account's id is up to 64 letters from A to Z, digits, dots, hyphens and underscores, "
            "and begins with a letter or digit"
        )
    return text


AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="The account's id, in any letter case.", callback=account_id)
]
PersonOption = Annotated[str, typer.Option("--as", metavar="PERSON", help="Who is asking, by their Portal user name.")]


def ask(data: Path | None, asking: Callable[[Services], Awaitable[T]], *, makes_folder: bool = False) -> T:
    """Ask the services of a data folder something. Raises what `main` turns into one line."""

    async def run() -> T:
        async with reached(chosen(data), makes_folder=makes_folder) as services:
            return await asking(services)

    return asyncio.run(run())


def is_confirmed(question: str) -> bool:
    """Whether somebody says yes; the end of the input is a no, and Ctrl-C ends the command.

    An event loop that runs would only cancel its task at the first Ctrl-C, which here can do nothing about it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return Confirm.ask(question, console=err, default=False)
    except EOFError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command that is asynchronous."""
    return asyncio.run(work)


__all__ = [
    "AccountArgument",
    "CommandRefused",
    "DataOption",
    "JsonOption",
    "PersonOption",
    "account_id",
    "ask",
    "is_confirmed",
    "run_async",
]
