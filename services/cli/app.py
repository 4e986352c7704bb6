"""`driverlink`: every command in its group, loaded when it is used; each failure ends in one clear line."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from enum import StrEnum
from importlib import import_module
from inspect import cleandoc
from io import TextIOWrapper
from typing import Annotated, Any, TextIO, cast

import typer
from typer._coercion import build_runtime_param
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command, get_group

_COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Everyday": {
        "status": ("status", "Show the state of accounts and their targets."),
        "explain": ("status", "Explain one driver: its state on each target, what was done, and why."),
        "events": ("status", "Print the log: changes, decisions, outcomes and what people asked for; or export it."),
        "diff": ("past", "Compare a driver, or all of an account, at two moments."),
        "bisect": ("past", "Find since when a driver does not match, and which event that began with."),
        "lineage": ("past", "Trace an id: which drivers had it, and who they are now."),
        "issues": ("issues", "List open problems and retry parked drivers."),
        "approvals": ("approvals", "Approve or reject deletes that the guard holds."),
        "rekeyings": ("approvals", "Approve identifier changes that wait for a person."),
        "plan": ("plans", "Show what a reconciliation would do, without doing it."),
        "apply": ("plans", "Apply a plan exactly as shown, or refuse."),
        "undo": ("plans", "Show what undoing decisions would do; with --plan, undo exactly that, or refuse."),
        "backtest": ("backtests", "Show what would have been decided otherwise by other rules."),
        "reconcile": ("reconciliations", "Reconcile the targets with the Portal now."),
        "reconciliations": ("reconciliations", "List past reconciliations and what they found."),
        "drivers": (
            "drivers",
            "List and show drivers, import the Portal's export, or change one driver as the Portal would.",
        ),
    },
    "Setup": {
        "accounts": ("accounts", "Add accounts, connect them to their targets, and configure them."),
        "context": ("contexts", "List, make and use contexts: the installations that commands ask."),
        "login": ("contexts", "Store an API key for a context, once the API has said whose it is."),
        "logout": ("contexts", "Forget the API key of a context."),
        "sync": ("accounts", "Turn Sync Drivers on or off for an account."),
        "webhooks": ("webhooks", "Send what happens to drivers to endpoints of your own, signed."),
    },
    "Operations": {
        "keys": ("keys", "Make, list and revoke API keys for machines."),
        "encryption": ("encryption", "Show and rotate the master key that wraps the keys of profiles."),
        "journal": ("keys", "List what people did to keys, credentials and dead letters, and why."),
        "sign-in": ("keys", "Print a link by which a browser on this machine signs in."),
        "up": ("run", "Run all services in this process, on a data folder, until Ctrl-C."),
        "serve": ("serve", "Run one service over Kafka and PostgreSQL until SIGTERM or Ctrl-C."),
        "database": ("maintenance", "Create the schemas and tables of a distributed deployment."),
        "topics": ("maintenance", "Create the topics of a distributed deployment."),
        "erase": ("maintenance", "Erase the data of removed accounts from every store, and from archives."),
        "rebuild": ("maintenance", "Rebuild every read model from the log, or check them."),
        "capsule": ("capsules", "Put everything that happened to one driver into one file, masked."),
        "verify": ("verification", "Check that every stored event is as it was stored, and none is missing."),
        "archives": ("archives", "Copy old history to files that prove what they have; list and delete them."),
        "handover": ("maintenance", "Let a successor that starts from the logs take the place of a service."),
        "prove": ("verification", "Print a proof that an event was in a log when its roots were signed."),
        "dead-letters": ("dead_letters", "List, show, resubmit or discard records that a service could not handle."),
    },
    "Development": {
        "demo": ("sandbox", "Synchronise a sample fleet with local sandboxes of Driveri and Motive."),
        "replay": ("replays", "Run a capsule through the real decider and projector, and compare."),
        "sandbox": ("sandbox", "Run local sandboxes of the Driveri, Motive and Portal APIs until Ctrl-C."),
    },
}
"""By help panel and name: the module of services.cli that has the command, and its line of help in the overview.

So the overview is printed without loading any of these modules.
"""

_LOGGED = (
    "up",
    "serve",
    "database",
    "topics",
    "erase",
    "rebuild",
    "archives",
    "handover",
    "demo",
    "sandbox",
    "replay",
)
"""The commands that run services or open stores; the others ask the API, and have nothing to log."""

_PYDANTIC_PREFIX = "Value error, "


_OWN_CONTEXT = ("context", "login", "logout")
"""The commands that are about contexts, and name theirs as an argument."""


class ApiCommand(TyperCommand):
    """A command that asks the API: that of the context it names, and about that one's account if it names none."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - the library's signature
        super().__init__(*arguments, **settings)
        from services.cli.client import BY_CONTEXT, CONTEXT_VARIABLE

        self.params.append(_context_option(CONTEXT_VARIABLE))
        self._account = next((each for each in self.params if BY_CONTEXT in (getattr(each, "help", "") or "")), None)
        if self._account:
            self._account.required = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - the library's own click
        """Parse the arguments, and put the context's account where the command takes one and has none."""
        if ctx.resilient_parsing or {"-h", "--help"} & {*args}:
            return super().parse_args(ctx, args)
        named = self.make_parser(ctx).parse_args(args=[*args])[0]
        _name_context(named)
        return super().parse_args(ctx, [*self._account_of_context(named), *args])

    def _account_of_context(self, named: Mapping[str, Any]) -> list[str]:
        """The account to put before the other arguments; none where the command takes or has another."""
        if self._account is None:
            return []
        kind, is_lacking = type(self._account), named.get("account") is None
        # One argument too few: it is the account that was left out, which comes first.
        is_short = any(
            each.required and named.get(each.name or "") is None for each in self.params if type(each) is kind
        )
        if not is_lacking and not (is_short and kind is TyperArgument):
            return []
        from services.cli.client import current_context

        name, context = current_context()
        if context.account:
            typer.echo(f"account {context.account}, of the context {name}", err=True)
            return ["--account", context.account] if kind is TyperOption else [context.account]
        if is_lacking:
            advice = "name it, or one for the context: `driverlink context set NAME --account ACCOUNT`"
            raise typer.BadParameter(advice, param=cast("TyperArgument", self._account))
        return []


class ApiGroup(TyperGroup):
    """A group that is a command as well, which asks the API of the context it names."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - the library's signature
        super().__init__(*arguments, **settings)
        from services.cli.client import CONTEXT_VARIABLE

        self.params.append(_context_option(CONTEXT_VARIABLE))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - the library's own click
        """Parse the arguments; the commands below name a context of their own."""
        if not ctx.resilient_parsing and not {"-h", "--help"} & {*args}:
            _name_context(self.make_parser(ctx).parse_args(args=[*args])[0])
        return super().parse_args(ctx, args)


def _name_context(named: Mapping[str, Any]) -> None:
    """Let the command be about the context that its arguments name. Raises `typer.BadParameter`."""
    if named.get("context") and named.get("data"):
        raise typer.BadParameter("give either --context or --data: each says which installation is meant")
    from services.cli.client import name_context

    name_context(named.get("context") or "")


def _context_option(variable: str) -> TyperOption:
    def reach(
        context: Annotated[
            str | None,
            typer.Option(
                metavar="NAME",
                help=f"The context whose installation is asked; else {variable}.",
                show_default=False,
                expose_value=False,
            ),
        ] = None,
    ) -> None: ...

    made = typer.Typer()
    made.command()(reach)
    option = get_command(made).params[0]
    assert isinstance(option, TyperOption)  # noqa: S101 - what typer makes of it
    return option


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
        parent, kind = typer.Typer(), TyperCommand if name in (*_LOGGED, *_OWN_CONTEXT) else ApiCommand
        if isinstance(what, typer.Typer):
            for each in what.registered_commands:
                each.cls = kind
            if what.info.invoke_without_command is True:
                parent.add_typer(what, name=name, cls=ApiGroup)
            else:
                parent.add_typer(what, name=name, help=help_line)
        else:
            parent.command(name, cls=kind)(what)
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


class _Conversion:
    """Converts what was left out, a text and an exact choice; what typer has for all others loads pydantic.

    That takes as long as the answer of the API.
    """

    def __init__(self, param: TyperOption | TyperArgument) -> None:
        self._param = param

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - typer's own
        """The value that the command gets. Raises `typer.BadParameter`."""
        described = self._param.type_descriptor
        kind, parser = described.annotation, described.parameter_info.parser
        is_list = param.multiple or param.nargs == -1
        if value is None:
            return () if is_list else None
        if not is_list:
            if parser:
                return parser(value)
            if isinstance(value, kind):
                return value
            if issubclass(kind, StrEnum) and value in [*kind]:
                return kind(value)
        return build_runtime_param(described).coerce(value, param=param, ctx=ctx)


def _conversion(param: TyperOption | TyperArgument) -> _Conversion:
    return _Conversion(param)


_displayed = TyperOption.display_type
_PLAIN: Mapping[str, str] = {"str": "text", "int": "number", "int range": "number", "float": "number"}
"""By what Python calls a type: what help does."""


def _display(param: TyperOption | TyperArgument, ctx: Any) -> str:  # noqa: ANN401 - the library's own click
    """What help says that one value is; nothing of an option that has none."""
    if isinstance(param, TyperOption) and param.is_flag:
        return ""
    shown = _displayed(param, ctx).removeprefix("<").removesuffix(">")
    one = shown.removeprefix("list[").removesuffix("]")
    return f"<{_PLAIN.get(one, one)}>"


for each in (TyperOption, TyperArgument):
    setattr(each, "get_runtime_param", _conversion)  # noqa: B010 - a checker takes it for a mistake
    setattr(each, "display_type", _display)  # noqa: B010 - as above


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
        from services.api.version import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def _all_commands(
    context: typer.Context,
    *,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log each decision and outcome, too, to standard error.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback has done the work
        bool, typer.Option("--version", help="Print the version and the commit.", callback=_print_version)
    ] = False,
) -> None:
    if context.invoked_subcommand in _LOGGED:
        from services.cli.logs import configure_logging, read_log_settings

        configure_logging(read_log_settings(is_verbose=verbose))


def main() -> None:
    """Run the command line; a failure that has a clear line ends in it, with status 1."""
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


def escape_what_cannot_be_encoded() -> None:
    """Let an output that has no character for something show an escape, whatever its encoding is."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, TextIOWrapper):
            output.reconfigure(errors="backslashreplace")


class _Watched:
    """An output that remembers why it could not be written: an `OSError` alone does not say what it is about."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write to the output; raises `OSError`."""
        with self._remembering():
            return self._output.write(text)

    def flush(self) -> None:
        """Let everything that was written get out; raises `OSError`."""
        with self._remembering():
            self._output.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else an output has
        return getattr(self._output, name)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            self.failure = failure
            raise


@contextmanager
def delivered() -> Iterator[None]:
    """Deliver what is printed within, or say in one line that it cannot be written, and end with status 1.

    A reader that closes the pipe early gets no message.
    """
    output = sys.stdout
    if cast("TextIO | None", output) is None:
        yield
        return
    watched = _Watched(output)
    try:
        with redirect_stdout(cast("TextIO", watched)):
            yield
    finally:
        _see_it_out(watched)


def _see_it_out(watched: _Watched) -> None:
    with suppress(OSError):
        watched.flush()
    if watched.failure is None:
        return
    # The interpreter would try once more at its end to write what is left of the output, and complain.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, watched.fileno())
    os.close(nowhere)
    if not isinstance(watched.failure, BrokenPipeError):
        from services.cli.printing import err

        err.print(f"driverlink: the output cannot be written: {watched.failure.strerror}", markup=False)
    sys.exit(1)
