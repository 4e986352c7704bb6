"""`driverlink`: every command in its group, loaded when it is used; each failure ends in one clear line."""

import sys
from collections.abc import Mapping
from importlib import import_module
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

_COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Everyday": {
        "status": ("status", "Show the state of accounts and their targets."),
        "explain": ("status", "Explain one driver: its state on each target, what was done, and why."),
        "events": ("status", "Print the log: changes, decisions, outcomes and what people asked for."),
        "issues": ("issues", "List open problems and retry parked drivers."),
        "approvals": ("approvals", "Approve or reject deletes that the guard holds."),
        "rekeyings": ("approvals", "Approve identifier changes that wait for a person."),
        "plan": ("plans", "Show what a reconciliation would do, without doing it."),
        "apply": ("plans", "Apply a plan exactly as shown, or refuse."),
        "reconcile": ("reconciliations", "Reconcile the targets with the Portal now."),
        "reconciliations": ("reconciliations", "List past reconciliations and what they found."),
        "drivers": ("drivers", "Import the Portal's export, or change one driver as the Portal would."),
    },
    "Setup": {
        "accounts": ("accounts", "Add accounts, connect them to their targets, and configure them."),
        "sync": ("accounts", "Turn Sync Drivers on or off for an account."),
    },
    "Operations": {
        "up": ("run", "Run all services in this process, on a data folder, until Ctrl-C."),
        "serve": ("serve", "Run one service over Kafka and PostgreSQL until SIGTERM or Ctrl-C."),
        "database": ("maintenance", "Create the schemas and tables of a distributed deployment."),
        "topics": ("maintenance", "Create the topics of a distributed deployment."),
        "rebuild": ("maintenance", "Rebuild every read model from the log, or check them."),
        "dead-letters": ("dead_letters", "List, show, resubmit or discard records that a service could not handle."),
    },
    "Development": {
        "demo": ("sandbox", "Synchronise a sample fleet with local sandboxes of Driveri and Motive."),
        "sandbox": ("sandbox", "Run local sandboxes of the Driveri, Motive and Portal APIs until Ctrl-C."),
    },
}
"""By help panel and name: the module of services.cli that has the command, and its line of help in the overview.

So the overview is printed without loading any of these modules.
"""

_LOGGED = ("up", "serve", "database", "topics", "rebuild", "demo", "sandbox")
"""The commands that run services or open stores; the others ask the API, and have nothing to log."""

_PYDANTIC_PREFIX = "Value error, "


class LazyGroup(TyperGroup):
    """The commands of `driverlink`, each loaded when it is used.

    `commands` holds only names, panels and one line of help each, for the overview.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - the library's signature
        super().__init__(**settings)
        for panel, entries in _COMMANDS.items():
            for name, (_, help_line) in entries.items():
                self.commands[name] = TyperCommand(name, help=help_line, rich_help_panel=panel)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - the library's own click
        """The overview, panel by panel; plain, because what would draw boxes takes longer to load than all the rest."""
        for panel, entries in _COMMANDS.items():
            with formatter.section(panel):
                formatter.write_dl([(name, help_line) for name, (_, help_line) in entries.items()])

    def load(self, name: str) -> TyperCommand | TyperGroup:
        """The command itself, with its options and its whole help."""
        module, help_line = next(entries[name] for entries in _COMMANDS.values() if name in entries)
        what = getattr(import_module(f"services.cli.{module}"), name.replace("-", "_"))
        parent = typer.Typer()
        if isinstance(what, typer.Typer):
            parent.add_typer(what, name=name, help=help_line)
        else:
            parent.command(name)(what)
            # A group of one command is a group only if it has a callback.
            parent.callback()(lambda: None)
        command = get_group(parent).commands[name]
        assert isinstance(command, TyperCommand | TyperGroup)  # noqa: S101 - what typer makes of either
        _unwrap_help(command)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - the library's own click
        """The command that the arguments name, loaded."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if name and found else found, rest

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the library's own click
        """Run a command; a message about a wrong value is without pydantic's prefix."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            wrong.message = wrong.message.removeprefix(_PYDANTIC_PREFIX)
            raise


def _unwrap_help(command: TyperCommand | TyperGroup) -> None:
    """Join the lines of each paragraph of help, apart from examples: a terminal may be narrower than the code."""
    paragraphs = cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(each if each.startswith("Examples:") else each.replace("\n", " ") for each in paragraphs)
    for below in getattr(command, "commands", {}).values():
        _unwrap_help(below)


app = typer.Typer(
    name="driverlink",
    cls=LazyGroup,
    help="Keep the drivers of the Portal in sync with Driveri and Motive, and explain every decision.",
    epilog="Run `driverlink COMMAND --help` for the options and examples of a command.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if wanted:
        from services.cli.version import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def _all_commands(
    context: typer.Context,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log progress to standard error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback has done the work
        bool, typer.Option("--version", help="Print the version and the commit.", callback=_print_version)
    ] = False,
) -> None:
    if context.invoked_subcommand in _LOGGED:
        from services.cli.logs import configure_logging

        configure_logging(is_verbose=verbose)


def main() -> None:
    """Run the command line; a failure that has a clear line ends in it, with status 1."""
    from services.cli.streams import delivered, escape_what_cannot_be_encoded

    escape_what_cannot_be_encoded()
    try:
        with delivered():
            app(prog_name="driverlink")
    except Exception as failure:
        clear = _clear(failure)
        if clear is None:
            raise
        from services.cli.printing import err

        err.print(f"driverlink: {clear}", markup=False)
        sys.exit(1)


def _clear(failure: BaseException) -> BaseException | None:
    """The failure that has a clear line, out of those that happened together."""
    from domain.failures import ClearFailure

    if isinstance(failure, BaseExceptionGroup):
        return next((clear for each in failure.exceptions if (clear := _clear(each))), None)
    return failure if isinstance(failure, ClearFailure) else None
