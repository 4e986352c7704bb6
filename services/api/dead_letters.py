"""`/v1/dead-letters`: records that a service could not handle, in pages, each as a document, and submitted again."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from domain.failures import ClearFailure
from domain.ports import ProfileSealer
from domain.store import DeadLetter, JournalRow, Resubmission, Store, Unit
from services.api.installation import Installation
from services.api.journal import noted
from services.api.routing import Called, Installed, new_router
from services.api.schema import LARGEST_INTEGER, Malformed, Reasoned, RequestBody, ResponseBody, parse
from services.runtime.service import Service

_NAME = re.compile(r"([a-z-]+)/((?:[A-Za-z0-9_-]+/)?[A-Za-z0-9._-]+/[0-9]+)/([0-9]{1,19})")
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DEEPEST = 30
"""How far a body may be nested and still be shown as JSON."""


class BadName(ClearFailure):
    """A text is not the name of a dead letter."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is not the name of a dead letter; `driverlink dead-letters list` prints them")


class UnknownLetter(Exception):
    """There is no dead letter of this name."""

    def __init__(self, name: "LetterName") -> None:
        super().__init__(f"there is no dead letter {name} (any more); see `driverlink dead-letters list`")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterName:
    """What people call a dead letter: the service that could not handle it, and its place in a stream."""

    service: str
    stream: str
    position: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that is written so: service/epoch/log/partition/position; a data folder has no epoch.

        Raises `BadName`.
        """
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


class ListedLetter(ResponseBody):
    """A dead letter without what it says. `account` is empty where it cannot be made out.

    `is_waiting`: it was submitted again, and its service has not looked at it yet.
    """

    name: str
    type: str
    account: str
    reason: str
    since: str
    is_waiting: bool


class LetterGroup(ResponseBody):
    """Dead letters of one service that are of one type and there for one reason; `since` is the oldest one's."""

    service: str
    type: str
    reason: str
    letters: int
    since: str


class Became(StrEnum):
    """What became of a dead letter that was submitted again: not looked at yet, gone, or still there."""

    WAITING = "waiting"
    SETTLED = "settled"
    KEPT = "kept"


class LetterOutcome(ResponseBody):
    """What became of a dead letter; `reason` says why it is kept."""

    name: str
    became: Became
    reason: str = ""


def listed(store: Store, service: str, behind: LetterName | None, limit: int) -> list[ListedLetter]:
    """A service's next dead letters, by stream and position, at most `limit`. Raises `StoreFailed`."""
    letters: list[DeadLetter] = []
    for (stream,) in sorted(store.count(DeadLetter, by=["stream"])):
        if len(letters) < limit and (behind is None or str(stream) >= behind.stream):
            after = behind.position if behind and stream == behind.stream else None
            left = limit - len(letters)
            letters += store.select(DeadLetter, {"stream": stream}, order_by="position", after=after, limit=left)
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


def _groups(store: Store, service: str) -> list[LetterGroup]:
    by = ("topic", "reason")
    oldest = store.least(DeadLetter, "at", by=by)
    return [
        LetterGroup(service=service, type=str(kind), reason=str(why), letters=letters, since=str(oldest[kind, why]))
        for (kind, why), letters in sorted(store.count(DeadLetter, by=by).items(), key=str)
    ]


def letter_of(store: Store, name: LetterName) -> DeadLetter:
    """The dead letter of this name. Raises `UnknownLetter`, `StoreFailed`."""
    found = store.select(DeadLetter, name.place)
    if not found:
        raise UnknownLetter(name)
    return found[0]


class LetterHeader(ResponseBody):
    """A header of Kafka's, as text or, where the bytes are not text, in base64."""

    name: str
    value: str = ""
    value_base64: str = ""


class LetterDocument(ResponseBody):
    """All of a dead letter; `id`, `type`, `sequence` and the body can be mended in it.

    `body` is an object where the bytes are one in JSON, and text otherwise; where they are not text either, they are
    in `body_base64`. `key` is Kafka's, or `key_base64` likewise, where the record has one.
    """

    name: str
    reason: str
    since: str
    is_waiting: bool
    headers: list[LetterHeader]
    id: str
    type: str
    sequence: int
    key: str = ""
    key_base64: str = ""
    body: dict[str, Any] | str = ""
    body_base64: str = ""


def document(store: Store, sealer: ProfileSealer, name: LetterName) -> LetterDocument:
    """All of the dead letter of this name, with the fields that it has set. Raises `UnknownLetter`, `StoreFailed`."""
    letter = _opened(letter_of(store, name), sealer)
    headers = [LetterHeader(name=header, **_as_text("value", b64decode(value))) for header, value in letter.headers]
    return LetterDocument(
        name=str(name),
        reason=letter.reason,
        since=letter.at,
        is_waiting=bool(_waiting(store, [letter])),
        headers=headers,
        id=letter.id,
        type=letter.topic,
        sequence=letter.log_position,
        **({} if letter.key is None else _as_text("key", b64decode(letter.key))),
        **_body(letter),
    )


def outcome(store: Store, name: LetterName) -> LetterOutcome:
    """What became of a dead letter since it was submitted again. Raises `StoreFailed`."""
    if store.count(Resubmission, name.place)[()]:
        return LetterOutcome(name=str(name), became=Became.WAITING)
    letters = store.select(DeadLetter, name.place)
    if letters:
        return LetterOutcome(name=str(name), became=Became.KEPT, reason=letters[0].reason)
    return LetterOutcome(name=str(name), became=Became.SETTLED)


def _waiting(store: Store, letters: Sequence[DeadLetter]) -> Collection[tuple[object, ...]]:
    positions = sorted({letter.position for letter in letters})
    return store.count(Resubmission, {"position": positions}, by=["stream", "position"]).keys() if positions else ()


def _account(letter: DeadLetter) -> str:
    """The account that it says it is of, if that could be one."""
    body = _body(letter).get("body")
    account = body.get("account") if isinstance(body, dict) else None
    return account if isinstance(account, str) and _ACCOUNT.fullmatch(account) else ""


def _body(letter: DeadLetter) -> dict[str, Any]:
    """The body as a JSON object if it can be shown as one, edited, and written again without a loss; else as text."""

    def without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        stated = dict(pairs)
        if len(stated) < len(pairs):
            raise ValueError("a name comes more than once")
        return stated

    found = _as_text("body", b64decode(letter.body))
    try:
        stated = json.loads(found.get("body", ""), object_pairs_hook=without_repeats)
        json.dumps(stated, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return found
    return {"body": stated} if isinstance(stated, dict) and _is_shallow(stated, _DEEPEST) else found


def _as_text(name: str, content: bytes) -> dict[str, str]:
    """The bytes as text under this name, or in base64 under another."""
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(content).decode()}


def _is_shallow(value: object, deepest: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    below: Iterable[object] = value.values() if isinstance(value, dict) else value
    return deepest > 0 and all(_is_shallow(each, deepest - 1) for each in below)


router = new_router("dead letters", prefix="/dead-letters")

_PAGE = 100
"""Dead letters that one request looks at, so that a rare reason does not block other requests."""


class DiscardLetter(Reasoned):
    """Remove a dead letter for good."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters are wanted; None: any. `reason` is any part of theirs."""

    service: str | None
    account: str | None
    reason: str | None

    def has(self, letter: ListedLetter) -> bool:
        """Whether this letter of the service is wanted."""
        is_of_account = self.account is None or self.account.casefold() == letter.account.casefold()
        return is_of_account and (self.reason or "").casefold() in letter.reason.casefold()


class LetterPage(ResponseBody):
    """Some of the dead letters; `next` is the `after` of the next page, None at the end."""

    letters: list[ListedLetter]
    next: str | None


class LetterCounts(ResponseBody):
    """How many dead letters there are, and how many of them wait to be consumed again."""

    letters: int
    waiting: int


class DiscardedLetter(ResponseBody):
    """The name of the dead letter that was removed."""

    discarded: str


@router.get("")
async def list_letters(
    installation: Installed,
    service: str | None = None,
    account: str | None = None,
    reason: str | None = None,
    after: str | None = None,
) -> LetterPage:
    """List the dead letters, in pages."""
    return await page_of(installation, LetterFilter(service=service, account=account, reason=reason), after)


@router.get("/count")
async def count_letters(installation: Installed, service: str | None = None) -> LetterCounts:
    """Count the dead letters of a service, or of all."""
    readers = installation.readers
    names = [each.name for each in installation.services] if service is None else [_service(installation, service).name]
    stores = [readers.stores[each] for each in names]
    letters = [(await readers.call(store.count, DeadLetter))[()] for store in stores]
    waiting = [(await readers.call(store.count, Resubmission))[()] for store in stores]
    return LetterCounts(letters=sum(letters), waiting=sum(waiting))


@router.get("/groups")
async def list_letter_groups(installation: Installed) -> list[LetterGroup]:
    """List the groups of dead letters that have one cause, the largest first."""
    readers = installation.readers
    found = [
        group
        for service in installation.services
        for group in await readers.call(_groups, readers.stores[service.name], service.name)
    ]
    return sorted(found, key=lambda group: -group.letters)


@router.get("/letter", response_model_exclude_unset=True)
async def show_letter(installation: Installed, name: str = "") -> LetterDocument:
    """Show a dead letter as a document that can be edited and submitted again."""
    letter, service = letter_named(installation, name)
    store = installation.readers.stores[service.name]
    return await installation.readers.call(document, store, installation.sealer, letter)


@router.get("/outcome")
async def show_outcome(installation: Installed, name: str = "") -> LetterOutcome:
    """Show what became of a dead letter that was submitted again."""
    letter, service = letter_named(installation, name)
    found = await installation.readers.call(outcome, installation.readers.stores[service.name], letter)
    if found.became is Became.WAITING:
        await installation.readers.call(installation.running.check, service.name)
    return found


@router.post("/discard")
async def discard_letter(body: DiscardLetter, installation: Installed, caller: Called) -> DiscardedLetter:
    """Remove a dead letter for good."""
    name, service = letter_named(installation, body.name)
    row = noted(caller, installation.clock, "discard_letter", name, body.note)
    await service.call(discard, service.store, name, row)
    return DiscardedLetter(discarded=str(name))


async def page_of(installation: Installation, wanted: LetterFilter, after: str | None) -> LetterPage:
    """The next letters that are wanted, of those behind this name. Raises `BadName`, `Malformed`, `StoreFailed`."""
    behind, readers = LetterName.parse(after) if after else None, installation.readers
    order = [service.name for service in installation.services]
    start = order.index(_service(installation, behind.service).name) if behind else 0
    chosen = order if wanted.service is None else [_service(installation, wanted.service).name]
    found: list[ListedLetter] = []
    for name in (each for each in chosen if order.index(each) >= start):
        first = behind if behind and behind.service == name else None
        found += await readers.call(listed, readers.stores[name], name, first, _PAGE - len(found))
        if len(found) == _PAGE:
            break
    return LetterPage(letters=list(filter(wanted.has, found)), next=found[-1].name if len(found) == _PAGE else None)


def letter_named(installation: Installation, text: str) -> tuple[LetterName, Service]:
    """The dead letter of this name, and its service. Raises `BadName`, `Malformed`."""
    name = LetterName.parse(text)
    return name, _service(installation, name.service)


def _service(installation: Installation, name: str) -> Service:
    services = {service.name: service for service in installation.services}
    if name not in services:
        raise Malformed(f"there is no service {name!r}; there are: {', '.join(services)}")
    return services[name]


def discard(store: Store, name: LetterName, row: JournalRow) -> None:
    """Remove a dead letter for good, with this entry of the journal. Raises `UnknownLetter`, `StoreFailed`."""
    letter_of(store, name)
    unit = Unit()
    unit.remove(DeadLetter, name.place)
    unit.remove(Resubmission, name.place)
    unit.keep([row])
    store.commit(unit)


class Resubmit(Reasoned):
    """Let a dead letter be consumed again: as it was, or as the text of its edited document says."""

    name: str
    mended: str | None = None


class ResubmitMany(Reasoned):
    """Let the next dead letters of this service and account, and for this reason, be consumed again."""

    service: str | None = None
    account: str | None = None
    reason: str | None = None
    after: str | None = None


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


class SubmittedLetter(ResponseBody):
    """The name of the dead letter that was submitted again."""

    name: str


class SubmittedLetters(ResponseBody):
    """How many dead letters were submitted again; `next` is the `after` of the next ones, None at the end."""

    submitted: int
    next: str | None


@router.post("/resubmission")
async def resubmit_letter(body: Resubmit, installation: Installed, caller: Called) -> SubmittedLetter:
    """Submit a dead letter again, edited or as it was."""
    name, service = letter_named(installation, body.name)
    mended = parse_mended(body.mended, name) if body.mended is not None else None
    row = noted(caller, installation.clock, "resubmit_letter", name, body.note)
    await service.call(_submit, service.store, installation.sealer, name, mended, row)
    service.notify()
    return SubmittedLetter(name=str(name))


@router.post("/resubmissions")
async def resubmit_letters(body: ResubmitMany, installation: Installed, caller: Called) -> SubmittedLetters:
    """Submit the next dead letters again, as they were."""
    wanted = LetterFilter(service=body.service, account=body.account, reason=body.reason)
    page = await page_of(installation, wanted, body.after)
    names, submitted = [LetterName.parse(letter.name) for letter in page.letters], 0
    for service in installation.services:
        if its_own := [name for name in names if name.service == service.name]:
            row = noted(caller, installation.clock, "resubmit_letters", len(its_own), body.note)
            submitted += await service.call(_submit_all, service.store, its_own, row)
            service.notify()
    return SubmittedLetters(submitted=submitted, next=page.next)


def parse_mended(text: str, name: LetterName) -> Mended:
    """What a person made of the letter of this name. Raises `Malformed`."""
    try:
        mended = parse(text, Mended)
    except Malformed as wrong:
        raise Malformed(f"what is mended cannot be taken: {wrong}") from None
    if mended.name != str(name):
        raise Malformed(f"what is mended there is {mended.name!r}, not {name}")
    return mended


def _submit(store: Store, sealer: ProfileSealer, name: LetterName, mended: Mended | None, row: JournalRow) -> None:
    letter = letter_of(store, name)
    submitted = _as_it_was(letter)
    if mended is not None:
        submitted = replace(
            submitted,
            log_position=mended.sequence or letter.position,
            id=mended.id,
            topic=mended.type,
            body=_mended_body(letter, mended, sealer),
        )
    _keep(store, [submitted], row)


def _opened(letter: DeadLetter, sealer: ProfileSealer) -> DeadLetter:
    """The same with the profile as it is read, which is sealed in the letter."""
    return replace(letter, body=b64encode(sealer.opened(letter.id, b64decode(letter.body))).decode())


def _mended_body(letter: DeadLetter, mended: Mended, sealer: ProfileSealer) -> str:
    """The body as a person mended it, with its profile sealed again; as it was where they changed nothing in it."""
    opened = _opened(letter, sealer)
    content = _with_unstated_fields(opened, mended)
    is_same_event = (mended.id, mended.type) == (letter.id, letter.topic)
    if is_same_event and _is_same(content, b64decode(opened.body)):
        return letter.body
    return b64encode(sealer.sealed(mended.id, mended.type, content)).decode()


def _is_same(content: bytes, other: bytes) -> bool:
    """Whether both say the same."""
    with suppress(ValueError, RecursionError):
        return content == other or json.dumps(json.loads(content)) == json.dumps(json.loads(other))
    return False


def _with_unstated_fields(letter: DeadLetter, mended: Mended) -> bytes:
    """The mended body; a field of the driver's profile that is not in it any more stays as the letter has it.

    To take a field back, a person leaves it there, and blank.
    """
    before, after = _stated_fields(b64decode(letter.body)), _stated_fields(mended.content)
    if mended.id != letter.id or not before or after is None or before.keys() <= after.keys():
        return mended.content
    body = json.loads(mended.content)
    return json.dumps({**body, "profile": {**before, **after}}, ensure_ascii=False, separators=(",", ":")).encode()


def _stated_fields(body: bytes) -> Mapping[str, object] | None:
    """The fields of the profile in a body; None where it is not JSON, or has none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    profile = document.get("profile") if isinstance(document, dict) else None
    return profile if isinstance(profile, dict) else None


def _submit_all(store: Store, names: Sequence[LetterName], row: JournalRow) -> int:
    letters = [letter for name in names for letter in store.select(DeadLetter, name.place)]
    _keep(store, [_as_it_was(letter) for letter in letters], row)
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


def _keep(store: Store, submitted: Sequence[Resubmission], row: JournalRow) -> None:
    unit = Unit()
    unit.keep([*submitted, row])
    store.commit(unit)
