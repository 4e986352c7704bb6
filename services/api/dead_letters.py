"""`/dead-letters`: by name, in pages, and each as a document that can be edited and submitted again."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from domain.failures import ClearFailure
from domain.store import DeadLetter, Resubmission, Store, Unit
from services.api.installation import Installation, Installed
from services.api.schema import LARGEST_INTEGER, Malformed, RequestBody, parse
from services.runtime.service import Service

_NAME = re.compile(r"([a-z-]+)/([A-Za-z0-9_-]+/[A-Za-z0-9._-]+/[0-9]+)/([0-9]{1,19})")
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DEEPEST = 30
"""How far a body may be nested and still be shown as JSON."""


class BadName(ClearFailure):
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
        if found is None or int(found[3]) > LARGEST_INTEGER:
            raise BadName(text)
        return cls(service=found[1], stream=found[2], position=int(found[3]))

    def __str__(self) -> str:
        return f"{self.service}/{self.stream}/{self.position}"

    @property
    def place(self) -> Mapping[str, str | int]:
        """Where the letter, and what was submitted again of it, is in the service's store."""
        return {"stream": self.stream, "position": self.position}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter:
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
class LetterOutcome:
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


def outcome(store: Store, name: LetterName) -> LetterOutcome:
    """What became of a dead letter since it was submitted again. Raises `StoreFailed`."""
    if store.count(Resubmission, name.place)[()]:
        return LetterOutcome(name=str(name), became=Became.WAITING)
    letters = store.select(DeadLetter, name.place)
    if letters:
        return LetterOutcome(name=str(name), became=Became.KEPT, reason=letters[0].reason)
    return LetterOutcome(name=str(name), became=Became.SETTLED)


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


router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

_PAGE = 100
"""Dead letters that one request looks at, so that a rare reason does not block other requests."""


class Resubmit(RequestBody):
    """Let a dead letter be consumed again: as it was, or as the text of its edited document says."""

    name: str
    mended: str | None = None


class ResubmitMany(RequestBody):
    """Let the next dead letters of this service and account, and for this reason, be consumed again."""

    service: str | None = None
    account: str | None = None
    reason: str | None = None
    after: str | None = None


class DiscardLetter(RequestBody):
    """Remove a dead letter for good."""

    name: str


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def _to_event_id(text: str) -> str:
    originator, _, version = text.partition("/")
    if not (version.isascii() and version.isdigit() and len(version) <= len(str(LARGEST_INTEGER))):
        raise ValueError("must end in a slash and the version")
    if not 1 <= int(version) <= LARGEST_INTEGER:
        raise ValueError("must have a version from 1 on")
    return f"{UUID(originator)}/{int(version)}"


def _to_bytes(stated: object) -> bytes:
    if isinstance(stated, dict):
        return json.dumps(stated, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if isinstance(stated, str):
        return stated.encode()
    raise ValueError("must be a JSON object, or text")


class Mended(RequestBody):
    """The document of a dead letter after a person edited it; its other fields are ignored."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    name: str
    id: Annotated[str, AfterValidator(_to_event_id)]
    type: Annotated[str, AfterValidator(_check_printable)] = Field(min_length=1, max_length=200)
    sequence: int = Field(ge=0, le=LARGEST_INTEGER)
    body: Annotated[bytes, BeforeValidator(_to_bytes)] | None = None
    body_base64: Annotated[bytes, AfterValidator(lambda stated: b64decode(stated, validate=True))] | None = None

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if (self.body is None) == (self.body_base64 is None):
            raise ValueError("must have a body or a body_base64, and not both")
        return self

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body if self.body is not None else self.body_base64 or b""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Some of the dead letters; `next` is the `after` of the next page, None at the end."""

    letters: list[ListedLetter]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterCounts:
    """How many dead letters there are, and how many of them wait to be consumed again."""

    letters: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedLetter:
    """The name of the dead letter that was submitted again."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedLetters:
    """How many dead letters were submitted again; `next` is the `after` of the next ones, None at the end."""

    submitted: int
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardedLetter:
    """The name of the dead letter that was removed."""

    discarded: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _LetterFilter:
    """Which dead letters are asked for; None: any. `reason` is any part of theirs."""

    service: str | None
    account: str | None
    reason: str | None

    def has(self, letter: ListedLetter) -> bool:
        """Whether this letter of the service is asked for."""
        is_of_account = self.account is None or self.account.casefold() == letter.account.casefold()
        return is_of_account and (self.reason or "").casefold() in letter.reason.casefold()


@router.get("")
async def list_letters(
    installation: Installed,
    service: str | None = None,
    account: str | None = None,
    reason: str | None = None,
    after: str | None = None,
) -> LetterPage:
    """List the dead letters, in pages."""
    wanted = _LetterFilter(service=service, account=account, reason=reason)
    found, behind = await _page(installation, wanted, after)
    return LetterPage(letters=found, next=behind)


@router.get("/count")
async def count_letters(installation: Installed, service: str | None = None) -> LetterCounts:
    """Count the dead letters of a service, or of all."""
    readers = installation.readers
    stores = [readers.of(each.name) for each in _chosen(installation, service)]
    letters = [(await readers.call(store.count, DeadLetter))[()] for store in stores]
    waiting = [(await readers.call(store.count, Resubmission))[()] for store in stores]
    return LetterCounts(letters=sum(letters), waiting=sum(waiting))


@router.get("/letter")
async def show_letter(installation: Installed, name: str = "") -> dict[str, Any]:
    """Show a dead letter as a document that can be edited and submitted again."""
    letter, service = _named(installation, name)
    return await installation.readers.call(document, installation.readers.of(service.name), letter)


@router.get("/outcome")
async def show_outcome(installation: Installed, name: str = "") -> LetterOutcome:
    """Show what became of a dead letter that was submitted again."""
    letter, service = _named(installation, name)
    return await installation.readers.call(outcome, installation.readers.of(service.name), letter)


@router.post("/resubmission")
async def resubmit_letter(body: Resubmit, installation: Installed) -> SubmittedLetter:
    """Submit a dead letter again, edited or as it was."""
    name, service = _named(installation, body.name)
    mended = _mended(body.mended, name) if body.mended is not None else None
    await service.call(_submit, service.store, name, mended)
    service.notify()
    return SubmittedLetter(name=str(name))


@router.post("/resubmissions")
async def resubmit_letters(body: ResubmitMany, installation: Installed) -> SubmittedLetters:
    """Submit the next dead letters again, as they were."""
    wanted = _LetterFilter(service=body.service, account=body.account, reason=body.reason)
    found, behind = await _page(installation, wanted, body.after)
    names = [LetterName.parse(letter.name) for letter in found]
    submitted = 0
    for service in installation.services:
        its_own = [name for name in names if name.service == service.name]
        submitted += await service.call(_submit_all, service.store, its_own) if its_own else 0
        service.notify()
    return SubmittedLetters(submitted=submitted, next=behind)


@router.post("/discard")
async def discard_letter(body: DiscardLetter, installation: Installed) -> DiscardedLetter:
    """Remove a dead letter for good."""
    name, service = _named(installation, body.name)
    await service.call(_drop, service.store, name)
    return DiscardedLetter(discarded=str(name))


async def _page(
    installation: Installation, wanted: _LetterFilter, after: str | None
) -> tuple[list[ListedLetter], str | None]:
    """Those of the next letters that are asked for; then behind which to go on, or None at the end."""
    behind, readers = LetterName.parse(after) if after else None, installation.readers
    found: list[ListedLetter] = []
    for service in _chosen(installation, wanted.service, behind):
        start = behind if behind and behind.service == service.name else None
        found += await readers.call(listed, readers.of(service.name), service.name, start, _PAGE - len(found))
        if len(found) == _PAGE:
            break
    return list(filter(wanted.has, found)), found[-1].name if len(found) == _PAGE else None


def _chosen(installation: Installation, name: str | None, behind: LetterName | None = None) -> list[Service]:
    """The service of this name, or all of them, from the one of the letter `behind` on."""
    order = [service.name for service in installation.services]
    start = order.index(_service(installation, behind.service).name) if behind else 0
    chosen = installation.services if name is None else [_service(installation, name)]
    return [service for service in chosen if order.index(service.name) >= start]


def _named(installation: Installation, text: str) -> tuple[LetterName, Service]:
    name = LetterName.parse(text)
    return name, _service(installation, name.service)


def _service(installation: Installation, name: str) -> Service:
    services = {service.name: service for service in installation.services}
    if name not in services:
        raise Malformed(f"there is no service {name!r}; there are: {', '.join(services)}")
    return services[name]


def _mended(text: str, name: LetterName) -> Mended:
    """What a person made of the letter of this name. Raises `Malformed`."""
    try:
        mended = parse(text, Mended)
    except Malformed as wrong:
        raise Malformed(f"what is mended cannot be taken: {wrong}") from None
    if mended.name != str(name):
        raise Malformed(f"what is mended there is {mended.name!r}, not {name}")
    return mended


def _submit(store: Store, name: LetterName, mended: Mended | None) -> None:
    letter = letter_of(store, name)
    submitted = _as_it_was(letter)
    if mended is not None:
        submitted = replace(
            submitted,
            log_position=mended.sequence or letter.position,
            id=mended.id,
            topic=mended.type,
            body=b64encode(_with_what_is_not_said(letter, mended)).decode(),
        )
    _keep(store, [submitted])


def _with_what_is_not_said(letter: DeadLetter, mended: Mended) -> bytes:
    """The mended body; a field of the driver's profile that is not in it any more stays as the letter has it.

    To take a field back, a person leaves it there, and blank.
    """
    before, after = _stated_fields(b64decode(letter.body)), _stated_fields(mended.content)
    if mended.id != letter.id or not before or after is None or before.keys() <= after.keys():
        return mended.content
    body = json.loads(mended.content)
    return json.dumps({**body, "profile": {**before, **after}}, ensure_ascii=False, separators=(",", ":")).encode()


def _stated_fields(body: bytes) -> Mapping[str, object] | None:
    """The fields of the profile in a body; None where it is no JSON, or has none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    profile = document.get("profile") if isinstance(document, dict) else None
    return profile if isinstance(profile, dict) else None


def _submit_all(store: Store, names: Sequence[LetterName]) -> int:
    letters = [letter for name in names for letter in store.select(DeadLetter, name.place)]
    _keep(store, [_as_it_was(letter) for letter in letters])
    return len(letters)


def _as_it_was(letter: DeadLetter) -> Resubmission:
    return Resubmission(
        stream=letter.stream,
        position=letter.position,
        log_position=letter.log_position or letter.position,
        id=letter.id,
        topic=letter.topic,
        body=letter.body,
    )


def _keep(store: Store, submitted: Sequence[Resubmission]) -> None:
    unit = Unit()
    unit.keep(submitted)
    store.commit(unit)


def _drop(store: Store, name: LetterName) -> None:
    letter_of(store, name)
    unit = Unit()
    unit.remove(DeadLetter, name.place)
    unit.remove(Resubmission, name.place)
    store.commit(unit)
