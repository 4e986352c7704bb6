"""Dead letters as people ask for them: by name, in pages, and each as a document that can be mended and given back."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from domain.storing import DeadLetter, Resubmission, Store
from services.asking.answers import Answer

_NAME = re.compile(r"([a-z-]+)/([A-Za-z0-9_-]+/[A-Za-z0-9._-]+/[0-9]+)/([0-9]{1,19})")
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST = 2**63 - 1
_DEEPEST = 30
"""How far a body may be nested and still be shown as JSON."""


class BadName(Exception):
    """A text is no name of a dead letter."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no name of a dead letter; `driverlink dead-letters list` prints them")


class UnknownLetter(Exception):
    """There is no dead letter of this name."""

    def __init__(self, name: "LetterName") -> None:
        super().__init__(f"there is no dead letter {name}: taken over or discarded, or never there")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterName:
    """What people call a dead letter: the service that could not handle it, and its place in a stream."""

    service: str
    stream: str
    position: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that is written so: service/epoch/log/partition/position. Raises `BadName`."""
        found = _NAME.fullmatch(text)
        if found is None or int(found[3]) > _MOST:
            raise BadName(text)
        return cls(service=found[1], stream=found[2], position=int(found[3]))

    def __str__(self) -> str:
        return f"{self.service}/{self.stream}/{self.position}"

    @property
    def place(self) -> Mapping[str, str | int]:
        """Where the letter, and what was submitted again of it, is in the service's store."""
        return {"stream": self.stream, "position": self.position}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter(Answer):
    """A dead letter without what it says. `account` is empty where it cannot be made out.

    `is_waiting`: it was submitted again, and its service has not looked at it yet.
    """

    name: str
    type: str
    account: str
    reason: str
    since: str
    is_waiting: bool


class Became(StrEnum):
    """What became of a dead letter that was submitted again: not looked at yet, gone, or still there."""

    WAITING = "waiting"
    SETTLED = "settled"
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Answer):
    """What became of a dead letter; `reason` says why it is kept."""

    name: str
    became: Became
    reason: str = ""


def listed(store: Store, service: str, behind: LetterName | None, limit: int) -> list[ListedLetter]:
    """A service's next dead letters, by stream and position, at most so many. Raises `StoreFailed`."""
    letters = _letters(store, behind, limit)
    waiting = _waiting(store, letters)
    return [
        ListedLetter(
            name=str(LetterName(service=service, stream=letter.stream, position=letter.position)),
            type=letter.topic,
            account=_account(letter),
            reason=letter.reason,
            since=letter.at,
            is_waiting=(letter.stream, letter.position) in waiting,
        )
        for letter in letters
    ]


def letter_of(store: Store, name: LetterName) -> DeadLetter:
    """The dead letter of this name. Raises `UnknownLetter`, `StoreFailed`."""
    found = store.select(DeadLetter, name.place)
    if not found:
        raise UnknownLetter(name)
    return found[0]


def document(store: Store, name: LetterName) -> dict[str, Any]:
    """All of a dead letter as a JSON document: `id`, `type`, `sequence` and the body can be mended in it.

    `body` is an object where the bytes are one in JSON, and text otherwise; where they are no text either, they are
    in `body_base64`. `key` is Kafka's, or `key_base64` likewise, where the record has one. Raises `UnknownLetter`,
    `StoreFailed`.
    """
    letter = letter_of(store, name)
    return {
        "name": str(name),
        "reason": letter.reason,
        "since": letter.at,
        "is_waiting": bool(_waiting(store, [letter])),
        "headers": [{"name": header, **_as_text("value", b64decode(value))} for header, value in letter.headers],
        "id": letter.id,
        "type": letter.topic,
        "sequence": letter.log_position,
        **({} if letter.key is None else _as_text("key", b64decode(letter.key))),
        **_body(letter),
    }


def outcome(store: Store, name: LetterName) -> Outcome:
    """What became of a dead letter since it was submitted again. Raises `StoreFailed`."""
    if store.count(Resubmission, name.place)[()]:
        return Outcome(name=str(name), became=Became.WAITING)
    letters = store.select(DeadLetter, name.place)
    if letters:
        return Outcome(name=str(name), became=Became.KEPT, reason=letters[0].reason)
    return Outcome(name=str(name), became=Became.SETTLED)


def _letters(store: Store, behind: LetterName | None, limit: int) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    for (stream,) in sorted(store.count(DeadLetter, by=["stream"])):
        if behind and str(stream) < behind.stream:
            continue
        after = behind.position if behind and stream == behind.stream else None
        left = limit - len(found)
        found += store.select(DeadLetter, {"stream": stream}, order_by="position", after=after, limit=left)
        if len(found) == limit:
            break
    return found


def _waiting(store: Store, letters: Sequence[DeadLetter]) -> Collection[tuple[object, ...]]:
    positions = sorted({letter.position for letter in letters})
    return store.count(Resubmission, {"position": positions}, by=["stream", "position"]).keys() if positions else ()


def _account(letter: DeadLetter) -> str:
    """The account that it says it is of, if that could be one."""
    body = _body(letter).get("body")
    account = body.get("account") if isinstance(body, dict) else None
    return account if isinstance(account, str) and _ACCOUNT.fullmatch(account) else ""


def _body(letter: DeadLetter) -> dict[str, Any]:
    found = _as_text("body", b64decode(letter.body))
    stated = _to_object(found["body"]) if "body" in found else None
    return found if stated is None else {"body": stated}


def _as_text(name: str, content: bytes) -> dict[str, str]:
    """The bytes as text under this name, or in base64 under another."""
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(content).decode()}


def _to_object(text: str) -> dict[str, Any] | None:
    """The JSON object of this text, if it can be shown as one, edited, and written again without a loss."""
    try:
        stated = json.loads(text, object_pairs_hook=_without_repeats)
        json.dumps(stated, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return stated if isinstance(stated, dict) and _is_shallow(stated, _DEEPEST) else None


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    stated = dict(pairs)
    if len(stated) < len(pairs):
        raise ValueError("a name comes more than once")
    return stated


def _is_shallow(value: object, deepest: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    below: Iterable[object] = value.values() if isinstance(value, dict) else value
    return deepest > 0 and all(_is_shallow(each, deepest - 1) for each in below)
