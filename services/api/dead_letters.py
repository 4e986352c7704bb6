"""Dead letters: what they are, and what people do with them.

Dead letters as people ask for them: by name, in pages, and each as a document that can be mended and given back.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.store import DeadLetter, Resubmission, Row, Store, Unit
from services.api.installation import Installation
from services.api.messages import Answer, DiscardLetter, Malformed, Mended, Resubmit, ResubmitMany, parsed, received
from services.runtime.service import Service

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


_PAGE = 100
"""Dead letters that one request looks at, so that a rare reason keeps nobody waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which dead letters are asked for: what is None is not asked about, and `reason` is any part of theirs."""

    service: str | None
    account: str | None
    reason: str | None

    def has(self, letter: ListedLetter) -> bool:
        """Whether this letter of the service is asked for."""
        is_of_account = self.account is None or self.account.casefold() == letter.account.casefold()
        return is_of_account and (self.reason or "").casefold() in letter.reason.casefold()


class DeadLetterRoutes:
    """Everything below `/dead-letters`."""

    def __init__(self, installation: Installation) -> None:
        self._services = {service.name: service for service in installation.services}
        self._readers = installation.readers

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/dead-letters", self._list, methods=["GET"]),
            Route("/dead-letters/count", self._count, methods=["GET"]),
            Route("/dead-letters/letter", self._show, methods=["GET"]),
            Route("/dead-letters/outcome", self._tell, methods=["GET"]),
            Route("/dead-letters/resubmission", self._resubmit, methods=["POST"]),
            Route("/dead-letters/resubmissions", self._resubmit_many, methods=["POST"]),
            Route("/dead-letters/discard", self._discard, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        wanted = _Wanted(service=query.get("service"), account=query.get("account"), reason=query.get("reason"))
        found, behind = await self._page(wanted, query.get("after"))
        return JSONResponse({"letters": [letter.to_json() for letter in found], "next": behind})

    async def _count(self, request: Request) -> Response:
        services = self._chosen(request.query_params.get("service"))
        counts = {"letters": DeadLetter, "waiting": Resubmission}
        return JSONResponse({name: await self._counted(services, row) for name, row in counts.items()})

    async def _counted(self, services: Sequence[Service], row: type[Row]) -> int:
        stores = [self._readers.of(service.name) for service in services]
        return sum([(await self._readers.call(store.count, row))[()] for store in stores])

    async def _show(self, request: Request) -> Response:
        name, service = self._named(request.query_params)
        return JSONResponse(await self._readers.call(document, self._readers.of(service.name), name))

    async def _tell(self, request: Request) -> Response:
        name, service = self._named(request.query_params)
        return JSONResponse((await self._readers.call(outcome, self._readers.of(service.name), name)).to_json())

    async def _resubmit(self, request: Request) -> Response:
        asked = await received(request, Resubmit)
        name, service = self._named({"name": asked.name})
        mended = _mended(asked.mended, name) if asked.mended is not None else None
        await service.call(_submit, service.store, name, mended)
        service.notify()
        return JSONResponse({"name": str(name)})

    async def _resubmit_many(self, request: Request) -> Response:
        asked = await received(request, ResubmitMany)
        wanted = _Wanted(service=asked.service, account=asked.account, reason=asked.reason)
        found, behind = await self._page(wanted, asked.after)
        names = [LetterName.parse(letter.name) for letter in found]
        submitted = 0
        for service in self._services.values():
            its_own = [name for name in names if name.service == service.name]
            submitted += await service.call(_submit_all, service.store, its_own) if its_own else 0
            service.notify()
        return JSONResponse({"submitted": submitted, "next": behind})

    async def _discard(self, request: Request) -> Response:
        asked = await received(request, DiscardLetter)
        name, service = self._named({"name": asked.name})
        await service.call(_drop, service.store, name)
        return JSONResponse({"discarded": str(name)})

    async def _page(self, wanted: _Wanted, after: str | None) -> tuple[list[ListedLetter], str | None]:
        """Those of the next letters that are asked for; then behind which to go on, or None at the end."""
        behind = LetterName.parse(after) if after else None
        found: list[ListedLetter] = []
        for service in self._chosen(wanted.service, behind):
            start = behind if behind and behind.service == service.name else None
            found += await self._readers.call(
                listed, self._readers.of(service.name), service.name, start, _PAGE - len(found)
            )
            if len(found) == _PAGE:
                break
        return list(filter(wanted.has, found)), found[-1].name if len(found) == _PAGE else None

    def _chosen(self, name: str | None, behind: LetterName | None = None) -> list[Service]:
        """The service of this name, or all of them; those that come before another one are left out."""
        order = list(self._services)
        start = order.index(self._service(behind.service).name) if behind else 0
        chosen = self._services.values() if name is None else [self._service(name)]
        return [service for service in chosen if order.index(service.name) >= start]

    def _named(self, given: QueryParams | Mapping[str, str]) -> tuple[LetterName, Service]:
        name = LetterName.parse(given.get("name", ""))
        return name, self._service(name.service)

    def _service(self, name: str) -> Service:
        if name not in self._services:
            raise Malformed(f"there is no service {name!r}; there are: {', '.join(self._services)}")
        return self._services[name]


def _mended(text: str, name: LetterName) -> Mended:
    """What a person made of the letter of this name. Raises `Malformed`."""
    try:
        mended = parsed(text, Mended)
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
