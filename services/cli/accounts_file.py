"""`driverlink accounts apply`: a file of accounts, what it changes, and its errors by line."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.cli.client import CommandRefused, Json, Services
from services.cli.plans import bar
from services.cli.printing import err, out

# It makes nothing but text, lists and mappings.
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_SIGNS = {"add": "+", "change": "~", "refuse": "!"}
_STYLES = {"add": "green", "change": "yellow", "refuse": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a file changes: its accounts, each with its line, and the counts."""

    file: str
    accounts: list[Json]
    counts: Json

    @property
    def is_refused(self) -> bool:
        """Whether anything in the file is wrong, so that nothing was stored."""
        return bool(self.counts["refused"])

    @property
    def document(self) -> Json:
        """The same for scripts."""
        return {**self.counts, "accounts": self.accounts}

    def print(self) -> None:
        """The differences for people; each error has its line."""
        for each in self.accounts:
            if each["action"] == "refuse":
                for line, words in sorted(_wrong(each)):
                    err.print(f"{self.file}:{line}: {words}", markup=False, style=_STYLES["refuse"])
            elif each["action"] != "none" and not self.is_refused:
                text = f"{_SIGNS[each['action']]} {each['account']}: {_words(each)}"
                out.print(text, markup=False, style=_STYLES[each["action"]])
        added, changed, unchanged = (self.counts[name] for name in ("added", "changed", "unchanged"))
        if self.is_refused:
            err.print(f"{self.counts['refused']} of {len(self.accounts)} accounts are wrong: nothing was stored")
            return
        end = " (dry run: nothing was stored)" if self.counts["dry_run"] else ""
        verb = ("to add", "to change") if self.counts["dry_run"] else ("added", "changed")
        out.print(f"{added} {verb[0]}, {changed} {verb[1]}, {unchanged} as they are{end}")


def _wrong(each: Json) -> list[tuple[int, str]]:
    """What is wrong with an account, each with its line."""
    return [
        (error["line"], f"{error['field']}: {error['detail']}" if error["field"] else error["detail"])
        for error in each["errors"]
    ]


def _words(each: Json) -> str:
    """Each setting that changes, with what it was."""
    named = {name: name.removeprefix("modes.").replace("_", " ") for name in each["changes"]}
    return ", ".join(
        f"{named[name]} {before or 'none'} -> {after or 'none'}"
        if each["action"] == "change"
        else f"{named[name]} {after}"
        for name, (before, after) in each["changes"].items()
        if before or after
    )


def apply_file(services: Services, file: Path, *, by: str | None, note: str, is_dry_run: bool) -> Applied:
    """Have the file applied, with a bar. Raises `CommandRefused`."""
    entries, lines = read_file(file)
    body = {"accounts": entries, "dry_run": is_dry_run, "by": by, "note": note}
    found: list[Json] = []
    counts: Json = {}
    done = 0
    with bar() as shown, closing(services.lines("POST", "/accounts/applied", body)) as answer:
        for line in answer:
            if "done" in line:
                done += line["done"]
                shown.show("storing accounts", done, len(entries))
            found += line.get("accounts", [])
            counts = line.get("applied", counts)
    accounts = [_with_lines(each, lines[each.pop("index")]) for each in found]
    return Applied(file=str(file), accounts=accounts, counts=counts)


Lines = Mapping[str, int]
"""The line of an account, by an empty name, and those of its fields, such as `modes.driveri`."""


def _with_lines(account: Json, lines: Lines) -> Json:
    """The same with its line, and that of each error: of its field, else of what the field is in."""
    errors = [{"line": _line_of(error["field"], lines), **error} for error in account["errors"]]
    return {"line": lines[""], **account, "errors": errors}


def _line_of(field: str, lines: Lines) -> int:
    while field not in lines:
        field = field.rpartition(".")[0]
    return lines[field]


def read_file(file: Path) -> tuple[list[Mapping[str, Any]], list[Lines]]:
    """The accounts of a file, and the lines of each. Every value is text, as it is written.

    Raises `CommandRefused` where it is not such a file.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        loader = _Loader(text)
        root = loader.get_single_node()
        listed = _listed(root)
        if listed is None:
            raise CommandRefused(f"{file} has no list `accounts`; see `driverlink accounts apply --help`")
        for mapping in (root, *listed.value):
            _check_keys(mapping)
        document = loader.construct_document(root)
    except (OSError, UnicodeDecodeError):
        raise CommandRefused(f"{file} cannot be read as text") from None
    except yaml.MarkedYAMLError as wrong:
        line = min(wrong.problem_mark.line, text.rstrip().count("\n")) + 1 if wrong.problem_mark else 1
        raise CommandRefused(f"{file}:{line}: it is not YAML: {wrong.problem or wrong.context}") from None
    except (yaml.YAMLError, RecursionError):
        raise CommandRefused(f"{file} is not YAML") from None
    lines: list[Lines] = [{"": each.start_mark.line + 1} | dict(_lines_in(each)) for each in listed.value]
    entries = document["accounts"]
    if strange := next((at[""] for at, each in zip(lines, entries, strict=True) if not isinstance(each, dict)), 0):
        raise CommandRefused(f"{file}:{strange}: an account is a mapping, such as `account: acme`")
    return entries, lines


def _lines_in(node: yaml.Node, within: str = "") -> Iterator[tuple[str, int]]:
    """The fields of a mapping, and those of the mappings in it, with their lines."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            yield f"{within}{key.value}", key.start_mark.line + 1
            # Nothing in an account lies deeper.
            yield from () if within else _lines_in(value, f"{key.value}.")


def _check_keys(mapping: yaml.Node) -> None:
    """Raise `yaml.MarkedYAMLError` for a key that is there twice: which of them counts would be a guess."""
    found = set[str]()
    for key, _ in mapping.value if isinstance(mapping, yaml.MappingNode) else ():
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in found:
            raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
        found.add(key.value)


def _listed(root: yaml.Node | None) -> yaml.SequenceNode | None:
    """The list of accounts of a document."""
    if not isinstance(root, yaml.MappingNode):
        return None
    found = (value for key, value in root.value if key.value == "accounts")
    listed = next(found, None)
    return listed if isinstance(listed, yaml.SequenceNode) else None
