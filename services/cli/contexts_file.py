"""The contexts of the command line: named installations in `$XDG_CONFIG_HOME/driverlink/config.yaml`."""

import os
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from domain.failures import ClearFailure
from services.api import PREFIX

_OTHERS = 0o077


class ContextsUnusable(ClearFailure):
    """The file of contexts cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """An installation: where its API is, or its data folder, the account that is usually meant, and an API key."""

    api_url: str = ""
    data: str = ""
    account: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """Every context by its name, and the name of the one in use; empty for none."""

    current: str
    by_name: Mapping[str, Context]


def contexts_path() -> Path:
    """Where the file is."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(base if base.startswith("/") else Path.home() / ".config") / "driverlink" / "config.yaml"


def load_contexts() -> Contexts:
    """What the file holds; nothing where there is no file. Raises `ContextsUnusable`."""
    path = contexts_path()
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        return Contexts(current="", by_name={})
    except (OSError, UnicodeDecodeError):
        raise ContextsUnusable(f"{path} cannot be read as text: mend it, or remove it") from None
    contexts = _parsed(text, path)
    if mode & _OTHERS and any(each.key for each in contexts.by_name.values()):
        raise ContextsUnusable(f"{path} holds an API key, and others than you may use it: run `chmod 600 {path}`")
    return contexts


CONTEXT_VARIABLE = f"{PREFIX}CONTEXT"

BY_CONTEXT = "by default the context's"
"""What the help of a required account says, if the context's is meant where none is named."""

_option: ContextVar[str] = ContextVar("context", default="")


def name_context(name: str) -> None:
    """Let this command be about this context, as its option names it; about another one where it is empty."""
    _option.set(name)


def named_context() -> str:
    """The context that the option or the environment names; empty where neither does."""
    return _option.get() or os.environ.get(CONTEXT_VARIABLE, "")


def current_context() -> tuple[str, Context]:
    """The context that is named, else the one in use; an empty one where there is none. Raises `ContextsUnusable`."""
    contexts = load_contexts()
    name = named_context() or contexts.current
    if name not in contexts.by_name and named_context():
        known = f"those are {', '.join(sorted(contexts.by_name))}" if contexts.by_name else "there are none yet"
        raise ContextsUnusable(f"there is no context {name} ({known}): see `driverlink context list`")
    return name, contexts.by_name.get(name, Context())


def store_contexts(contexts: Contexts) -> None:
    """Replace the file, at once and whole; only its owner can read it. Raises `ContextsUnusable`."""
    import yaml

    path = contexts_path()
    stated = {
        name: {key: value for key, value in asdict(each).items() if value} for name, each in contexts.by_name.items()
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            yaml.safe_dump({"current": contexts.current, "contexts": stated}, file, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as failure:
        with suppress(OSError):
            beside.unlink()
        raise ContextsUnusable(f"{path} cannot be written: {failure.strerror}") from None


def _parsed(text: str, path: Path) -> Contexts:
    import yaml

    try:
        document = yaml.safe_load(text) or {}
        by_name = {str(name): _context(each) for name, each in (document.get("contexts") or {}).items()}
        return Contexts(current=str(document.get("current") or ""), by_name=by_name)
    except (yaml.YAMLError, AttributeError, TypeError):
        # What the parser says would quote the file, and with it a key.
        raise ContextsUnusable(f"{path} is not a file of contexts: mend it, or remove it") from None


def _context(stated: Any) -> Context:  # noqa: ANN401 - YAML
    if not {field.name for field in fields(Context)} >= stated.keys():
        raise TypeError
    return Context(**{name: str(value) for name, value in stated.items()})
