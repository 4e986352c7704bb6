"""Writes the reference pages that the code itself states, so that they cannot disagree with it.

`--check` writes nothing, and exits with 1 when a page on disk is not what this makes.
"""

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from docs import lifecycle
from docs.contract import asyncapi, schemas
from docs.contract_of_views import with_views
from docs.values_schema import values_schema
from domain.account import AccountEvent, ErasureBegan, Role
from domain.driver_link import Rationale
from domain.hash_chain import ArchiveDeleted, HistoryArchived, RootsSigned
from domain.outcomes import ReportEvent
from domain.portal import PortalDriverEvent
from domain.situations import TABLE, LinkState
from domain.store import DeciderEvent, Event
from services.api import PREFIX
from services.api.app import new_app, openapi
from services.api.permissions import PERMISSIONS, Permission, Scope
from services.api.problems import all_kinds
from services.api.routing import GuardedRoute
from services.cli.app import LazyGroup, app
from services.wiring.settings import (
    ApiSettings,
    ArchiveSettings,
    DistributedSettings,
    EmbeddedSettings,
    EnvironmentSettings,
    FolderSettings,
    KafkaSettings,
    LimitSettings,
    LogSettings,
    PortalSettings,
    SignInSettings,
    TargetSettings,
    WebhookSettings,
)

DOCS: Final = Path(__file__).parent

_LOGS: Final[Mapping[type[Event], str]] = {
    AccountEvent: "`accounts.v1`, written by the accounts service",
    PortalDriverEvent: "`portal.driver-changes.v1`, written by intake",
    DeciderEvent: "`driver-links.decisions.v1`, written by the decider",
    RootsSigned: "`accounts.v1`, once a day",
    HistoryArchived: "`accounts.v1`, for each archive file that is written",
    ArchiveDeleted: "`accounts.v1`, for each archive file that is deleted",
    ErasureBegan: "the log of every service, when a removed account is erased",
    ReportEvent: "`targets.outcomes.v1.<target>`, written by each target's projector",
}
"""What the events of one log have in common, and which log that is."""

_SENTENCE_END: Final = re.compile(r"(?<=[.!?]) (?=[A-Z`])")


_SETTINGS: Mapping[str, type[EnvironmentSettings]] = {
    "Targets, in both shapes": TargetSettings,
    "The Portal's API, in both shapes": PortalSettings,
    "Webhooks, in both shapes": WebhookSettings,
    "Limits of the API, in both shapes": LimitSettings,
    "Log lines, in both shapes": LogSettings,
    "Archives, in both shapes": ArchiveSettings,
    "Commands, in both shapes": ApiSettings,
    "Embedded": FolderSettings,
    "`driverlink up`": EmbeddedSettings,
    "Kafka, in the distributed shape": KafkaSettings,
    "Signing in, in the distributed shape": SignInSettings,
    "Distributed": DistributedSettings,
}


def pages() -> dict[Path, str]:
    """Every generated page, by where it stands."""
    reference = DOCS / "reference"
    return {
        reference / "settings.md": _page("Settings", "services/wiring/settings.py", _settings()),
        reference / "commands.md": _page("Commands", "services/cli/", _commands()),
        reference / "events.md": _page("Stored events", "domain/", _events()),
        reference / "situations.md": _page("Situations", "domain/situations.py", _situations()),
        reference / "permissions.md": _page("Permissions", "services/api/permissions.py", _permissions()),
        reference / "problems.md": _page("Problems", "services/api/problems.py", _problems()),
        reference / "asyncapi.json": _json(with_views(asyncapi(version("driverlink")))),
        **{reference / "schemas" / f"{topic}.json": _json(schema) for topic, schema in schemas().items()},
        reference / "openapi.json": _json(openapi()),
        DOCS.parent / "deploy" / "chart" / "values.schema.json": _json(values_schema()),
        DOCS / "how-to" / "consuming.md": _with_section(DOCS / "how-to" / "consuming.md", lifecycle.section()),
        DOCS / "explanation" / "adr" / "README.md": _page(
            "Architecture decision records", "docs/explanation/adr/", _records()
        ),
    }


def _page(title: str, source: str, lines: Iterable[str]) -> str:
    note = f"<!-- Made from {source} by `make docs`: edit that, not this. -->"
    return "\n".join((f"# {title}", "", note, "", *lines)).rstrip("\n") + "\n"


_BEGIN, _END = "by `make docs`: edit that, not this. -->\n", "<!-- The end of what is made. -->"


def _with_section(path: Path, lines: Iterable[str]) -> str:
    """The page at this path, with these lines between its marks."""
    before, begin, rest = path.read_text("utf-8").partition(_BEGIN)
    return "\n".join((f"{before}{begin}", *lines, "", f"{_END}{rest.partition(_END)[2]}"))


def _settings() -> Iterator[str]:
    yield "Every setting is an environment variable. A setting that is wrong is named at start, and nothing runs."
    yield ""
    for title, kind in _SETTINGS.items():
        inherited = {name for base in kind.__mro__[1:] for name in getattr(base, "model_fields", {})}
        own = {name: field for name, field in kind.model_fields.items() if name not in inherited}
        yield from (f"## {title}", "", *_sentences(inspect.getdoc(kind)), "")
        rows = (
            (f"`{PREFIX}{name.upper()}`", _default(field), f"{field.description}{_choices(field)}")
            for name, field in own.items()
        )
        yield from _table(("setting", "default", "meaning"), rows)
        yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = "" if field.default is None else str(field.default)
    return f"`{default}`" if default else ""


def _choices(field: FieldInfo) -> str:
    stated = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    choices = " or ".join(f"`{choice}`" for choice in stated)
    return f" Either {choices}." if choices else ""


def _commands() -> Iterator[str]:
    yield "Arguments stand in their order; what is not marked as required may be left out."
    yield "How a command ends is in [running it](../how-to/running.md#exit-statuses)."
    yield ""
    group = get_group(app)
    yield from _command("driverlink", group)


def _command(path: str, command: TyperCommand | TyperGroup) -> Iterator[str]:
    """One command, and all below it."""
    context = command.make_context(path, [], resilient_parsing=True)
    text, _, examples = inspect.cleandoc(command.help or "").partition("\n\nExamples:\n")
    yield from (f"## `{path}`", "", *_sentences(text), "")
    if examples:
        yield from ("```sh", *map(str.strip, examples.splitlines()), "```", "")
    told = (record for parameter in command.params if (record := parameter.get_help_record(context)))
    rows = ((f"`{names}`", re.sub(" {2,}", " ", meaning)) for names, meaning in told)
    yield from _table(("argument or option", "meaning"), rows)
    below: Mapping[str, TyperCommand | TyperGroup] = getattr(command, "commands", {})
    for name, each in below.items():
        yield from _command(f"{path} {name}", command.load(name) if isinstance(command, LazyGroup) else each)


def _events() -> Iterator[str]:
    yield "Everything that is ever stored as an event, by the name under which it is stored."
    yield "Every event has these fields; the version counts the events of one history, from 1 on."
    yield ""
    yield from _fields(Event)
    for family in Event.__subclasses__():
        yield from (f"## {_LOGS[family]}", "", *_sentences(inspect.getdoc(family)), "These fields are in all of them:")
        yield ""
        yield from _fields(family)
        for kind in _below(family):
            yield from _event(kind, family)
    yield from ("## Because", "", *_sentences(inspect.getdoc(Rationale)), "")
    yield from _fields(Rationale)


def _below(family: type[Event]) -> Iterator[type[Event]]:
    """Everything below this; what several events have in common comes before those events."""
    for kind in family.__subclasses__():
        yield kind
        yield from _below(kind)


def _event(kind: type[Event], family: type[Event]) -> Iterator[str]:
    """One event, or what several have in common."""
    yield f"### `{kind.TOPIC}`" if "TOPIC" in vars(kind) else f"### {kind.__name__}, in several events"
    yield ""
    yield from _sentences(inspect.getdoc(kind))
    if kind.__base__ is not None and kind.__base__ is not family:
        yield f"The fields are those of {kind.__base__.__name__}."
    yield ""
    yield from _fields(kind)


def _fields(kind: type) -> Iterator[str]:
    stated = ((name, hint) for name, hint in inspect.get_annotations(kind).items() if name.islower())
    yield from _table(("field", "type"), ((f"`{name}`", f"`{_type(hint)}`") for name, hint in stated))


def _type(hint: object) -> str:
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "")


def _situations() -> Iterator[str]:
    yield "Three facts show where a driver stands on a target, and the resolution follows from that."
    yield "`domain/situations.py` looks the facts up, and `domain/deciding.py` resolves each situation."
    yield "Where no row stands, there is nothing to do."
    yield ""
    rows = ((row.portal, _linked(row.linked), row.shown, f"**{row.situation}**", row.resolution) for row in TABLE)
    yield from _table(("the Portal", "the link", "the desired key on the target", "situation", "resolution"), rows)


def _linked(linked: frozenset[LinkState]) -> str:
    words = {frozenset(LinkState): "any", frozenset(LinkState) - {LinkState.NONE}: "live"}
    return words.get(linked) or " or ".join(sorted(linked))


def _records() -> Iterator[str]:
    yield "Each says what was open, which ways there were, which one was taken, and what follows from it."
    yield ""
    for path in sorted((DOCS / "explanation" / "adr").glob("[0-9]*.md")):
        title = path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        yield f"- [{title}]({path.name})"


def _permissions() -> Iterator[str]:
    yield "The roles that each route takes: any one of them."
    yield "An account names its Master User and its account manager; each role but the first can also be granted."
    yield "Without an account in the path a role has to be held everywhere, or on the account that the query names."
    yield ""
    routes = [route for route in new_app().routes if isinstance(route, GuardedRoute)]
    rows = (
        (f"`{min(route.methods or ())} {route.path_format}`", *_takes(PERMISSIONS[route.name]))
        for route in sorted(routes, key=lambda route: route.path)
    )
    yield from _table(("route", "roles", "where"), rows)


def _takes(permission: Permission) -> tuple[str, str]:
    if permission.scope is Scope.PUBLIC:
        return "anybody, without proof", ""
    where = {
        Scope.ACCOUNT: "on the account, or everywhere",
        Scope.INSTALLATION: "everywhere",
        Scope.ANY: "on any account, or everywhere",
    }
    roles = "any" if permission.roles == frozenset(Role) else str(permission)
    return roles, where[permission.scope]


def _problems() -> Iterator[str]:
    yield "What the API refuses is answered with problem details (RFC 9457), as `application/problem+json`."
    yield "The `type` of each leads to its kind below, which the API serves at `/problems` as well."
    yield "`detail` says in one line what happened and what helps, and `errors` names the fields of a wrong request."
    yield ""
    for kind in all_kinds():
        yield from (f"## {kind.slug}", "", f"{kind.status.value}: {kind.title}.", kind.advice, "")


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _sentences(text: str | None) -> Iterator[str]:
    """The same text with each sentence on a line of its own."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))
    yield from "\n\n".join(_SENTENCE_END.sub("\n", paragraph) for paragraph in paragraphs).split("\n")


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The table, or nothing at all when it has no rows."""
    found = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    if found:
        yield from (f"| {' | '.join(row)} |" for row in (columns, ("---",) * len(columns), *found))
        yield ""


def main() -> int:
    """Write the pages, or with `--check` only tell which of those on disk are others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the pages are not these")
    if parser.parse_args().check:
        return _report(path for path, text in pages().items() if not _is_on_disk(path, text))
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


def _is_on_disk(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


def _report(paths: Iterable[Path]) -> int:
    stale = [f"{path.relative_to(DOCS.parent)} is not what the code says: run `make docs`" for path in paths]
    sys.stderr.writelines(f"{line}\n" for line in stale)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
