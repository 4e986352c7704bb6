"""`driverlink`: every command, and how each failure ends in one clear line and an exit status of its own."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from domain.store import StoreFailed
from services.api.dead_letters import BadName
from services.cli.accounts import accounts, sync
from services.cli.approvals import approvals
from services.cli.client import CommandRefused
from services.cli.dead_letters import dead_letters
from services.cli.drivers import drivers
from services.cli.issues import issues
from services.cli.plans import apply, plan
from services.cli.printing import ChoosyGroup, configure_logging, delivered, err, escape_what_cannot_be_encoded
from services.cli.reconciliations import reconcile, reconciliations
from services.cli.rekeyings import rekeyings
from services.cli.run import database, demo, rebuild, sandbox, serve, topics, up
from services.cli.status import events, explain, status
from services.sandbox.demo import NoCast, NotADemo, SandboxEnded
from services.sandbox.serving import NotAnAddress, PortBusy
from services.sandbox.state import SeedRefused
from services.wiring.embedded import FolderUnusable
from services.wiring.exports import UnreadableExport
from services.wiring.settings import WrongSettings

app = typer.Typer(
    name="driverlink",
    cls=ChoosyGroup,
    help="Keeps the drivers of the Portal in sync with Driveri and Motive, and says why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.add_typer(accounts, name="accounts")
app.add_typer(sync, name="sync")
app.add_typer(drivers, name="drivers")
app.command()(status)
app.command()(events)
app.command()(explain)
app.command()(reconcile)
app.command()(reconciliations)
app.command()(plan)
app.command()(apply)
app.add_typer(approvals, name="approvals")
app.add_typer(rekeyings, name="rekeyings")
app.add_typer(issues, name="issues")
app.add_typer(dead_letters, name="dead-letters")
app.command()(up)
app.command()(serve)
app.add_typer(topics, name="topics")
app.add_typer(database, name="database")
app.command()(rebuild)
app.command()(sandbox)
app.command()(demo)

_CLEAR = (
    BadName,
    CommandRefused,
    FolderUnusable,
    NoCast,
    NotADemo,
    NotAnAddress,
    PortBusy,
    SandboxEnded,
    SeedRefused,
    StoreFailed,
    UnreadableExport,
    WrongSettings,
)
"""Failures whose message is one line that says what to do."""


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if wanted:
        typer.echo(f"driverlink {version('driverlink')}")
        raise typer.Exit


@app.callback()
def _all_commands(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens to standard error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback has done the work
        bool, typer.Option("--version", help="Print the version.", callback=_print_version)
    ] = False,
) -> None:
    configure_logging(is_verbose=verbose)


def main() -> None:
    """Run the command line; a failure that has a clear line ends in it, with status 1."""
    escape_what_cannot_be_encoded()
    try:
        with delivered():
            app()
    except (*_CLEAR, ExceptionGroup) as failure:
        clear = _clear(failure)
        if clear is None:
            raise
        err.print(f"driverlink: {clear}", markup=False)
        sys.exit(1)


def _clear(failure: BaseException) -> BaseException | None:
    """The failure that has a clear line, out of those that happened together."""
    if isinstance(failure, BaseExceptionGroup):
        return next((clear for each in failure.exceptions if (clear := _clear(each))), None)
    return failure if isinstance(failure, _CLEAR) else None
