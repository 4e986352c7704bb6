"""Dead letters: what they are, and what people do with them."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.storing import DeadLetter, Resubmission, Row, Store, Unit
from services.asking.dead_letters import LetterName, ListedLetter, document, letter_of, listed, outcome
from services.control.installation import Installation
from services.control.messages import DiscardLetter, Malformed, Mended, Resubmit, ResubmitMany, parsed, received
from services.runtime.service import Service

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
        service.ring()
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
            service.ring()
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
