"""`Idempotency-Key`: a command that is sent again takes effect once, and is answered as it was the first time.

As draft-ietf-httpapi-idempotency-key-header has it. What a command stores last is held back until its answer is known,
and is then stored together with that: where the answer is found, there is the effect, and the other way round.
"""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, TypeVar, cast

from cryptography.fernet import Fernet
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from domain.account import Account
from domain.store import CommandAnswer, Store, StoreConflict, Unit
from services.accounts.handlers import Accounts
from services.api.installation import Installation
from services.api.schema import Malformed
from services.intake.handlers import Intake
from services.runtime.repeats import forgetting, hour_of, store_once

HEADER: Final = "idempotency-key"

KEPT: Final = timedelta(hours=24)
"""How long an answer is kept: a key that comes later is a new one."""

MOST_KEPT: Final = 10_000
"""Answers that are kept for one caller in one store; the next one takes the place of the oldest."""

_KEY = re.compile(r'"([ !#-\[\]-~]{16,255})"|([!#-\[\]-~]{16,255})')
_SUCCESS = range(200, 300)
_MOST_AGAIN = 4

T = TypeVar("T")


class KeyReused(Exception):
    """The key was used for another request."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another request: give each command a key of its own")


class KeyOutstanding(Exception):
    """A request with this key is being handled; `retry_after` is in whole seconds."""

    retry_after = 1

    def __init__(self) -> None:
        super().__init__("a request is outstanding for this Idempotency-Key: send it again for its answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """The key of a request: what is stored of its caller and itself, and what encrypts the answer.

    An answer may have a secret, or names of people: without the key, which is not stored, it cannot be read.
    """

    caller: str
    key: str
    cipher: Fernet


def key_of(request: Request, caller: str) -> IdempotencyKey:
    """The key of a request that has one, by its head alone. Raises `Malformed`."""
    found = _KEY.fullmatch(request.headers[HEADER].strip())
    if found is None:
        raise Malformed("Idempotency-Key: has 16 to 255 visible characters, in quotes, such as a UUID")
    key = found[1] or found[2]
    return IdempotencyKey(
        caller=sha256(caller.encode("utf-8", "surrogatepass")).hexdigest(),
        key=_digest("key", caller, key).hex(),
        cipher=Fernet(urlsafe_b64encode(_digest("answer", caller, key))),
    )


async def _fingerprint_of(request: Request) -> str:
    """What is stored of what a request asks; by its whole body, which is read for this."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body()
    return sha256(asked).hexdigest()


def _digest(purpose: str, caller: str, key: str) -> bytes:
    return sha256("\0".join((purpose, caller, key)).encode("utf-8", "surrogatepass")).digest()


class HeldBack:
    """A store that holds back what is stored last; whatever reads or stores after that stores it first."""

    def __init__(self, store: Store) -> None:
        self.behind = store
        self.unit: Unit | None = None

    def commit(self, unit: Unit) -> bool:
        """As a store does."""
        self.flush()
        if any(self.behind.position(each.name) >= each.at for each in unit.positions):
            return False
        self.unit = unit
        return True

    def flush(self) -> None:
        """Store what is held back. Raises what `Store.commit` does, and `StoreConflict` where nothing was stored."""
        unit, self.unit = self.unit, None
        if unit and not self.behind.commit(unit):
            raise StoreConflict

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a store has besides
        self.flush()
        return getattr(self.behind, name)


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Holder:
    """Whose store holds back what a command stores: how that is called, and who is notified of what it has stored."""

    store: HeldBack
    call: Callable[..., Awaitable[Any]]
    notify: Callable[[], None]

    async def do(self, work: Callable[..., T], *args: object) -> T:
        """Store by this piece of work: only now is there something of which to notify."""
        done: T = await self.call(work, *args)
        self.notify()
        return done


class _Commands:
    """An installation whose stores hold back what a command stores last."""

    def __init__(self, installation: Installation) -> None:
        held = [(service, HeldBack(service.store)) for service in installation.services]
        own = HeldBack(installation.access.store)
        services = tuple(service.on(cast("Store", store)) for service, store in held)
        stores = {service.name: service.store for service in services}
        self._own = _Holder(own, installation.access.call, lambda: None)
        self._holders = [_Holder(store, service.call, service.notify) for service, store in held] + [self._own]
        self._clock = installation.clock
        self.installation = replace(
            installation,
            services=services,
            accounts=Accounts(stores["accounts"], installation.clock),
            intake=Intake(stores["intake"], installation.clock),
            webhooks=installation.webhooks.on(stores["webhooks"]),
            access=installation.access.on(cast("Store", own)),
        )

    async def flush(self) -> None:
        """Store what is held back, without an answer."""
        for holder in self._holders:
            if holder.store.unit:
                await holder.do(holder.store.flush)

    async def store(self, key: IdempotencyKey, request: Request, response: Response) -> Response:
        """Store what is held back, with this answer; the one that counts. Raises `StoreConflict`."""
        *before, last = [each for each in self._holders if each.store.unit] or [self._own]
        for holder in before:
            await holder.do(holder.store.flush)
        answer = CommandAnswer(
            key=key.key,
            caller=key.caller,
            number=0,
            hour=hour_of(self._clock()),
            account=account_of(request),
            fingerprint=await _fingerprint_of(request),
            status=response.status_code,
            answer=key.cipher.encrypt(_to_text(response)).decode(),
        )
        stored = await last.do(_store, last.store.behind, last.store.unit or Unit(), answer)
        last.store.unit = None
        return response if stored is answer else await answer_again(request, key, stored)


async def answer_once(request: Request, key: IdempotencyKey, handler: Handler) -> Response:
    """The answer to a command: the one that is kept, or that of the handler, which is kept if the command was done.

    One that is refused is not kept: it has changed nothing, and may be sent again with the same key.
    Raises `KeyReused`, `KeyOutstanding`, and what the handler does.
    """
    installation, in_hand = request.app.state.installation, request.app.state.keys_in_hand
    if key.key in in_hand:
        raise KeyOutstanding
    in_hand.add(key.key)
    try:
        for _ in range(_MOST_AGAIN):
            with suppress(StoreConflict):
                return await _answered(request, key, handler)
        return await _answered(request, key, handler)
    finally:
        in_hand.discard(key.key)
        request.state.installation = installation


async def _answered(request: Request, key: IdempotencyKey, handler: Handler) -> Response:
    installation: Installation = request.app.state.installation
    if kept := await kept_answer(installation, key):
        return await answer_again(request, key, kept)
    commands = _Commands(installation)
    request.state.installation = commands.installation
    try:
        response = await _whole(await handler(request))
    except BaseException:
        await commands.flush()
        raise
    if response.status_code not in _SUCCESS:
        await commands.flush()
        return response
    return await commands.store(key, request, response)


def account_of(request: Request) -> str:
    """The account that a request names; empty where it names none."""
    account: Account | None = getattr(request.state, "account", None)
    return account.account if account else ""


async def kept_answer(installation: Installation, key: IdempotencyKey) -> CommandAnswer | None:
    """The answer that is kept under this key, whatever was asked. Raises `StoreFailed`."""
    readers, last = installation.readers, hour_of(installation.clock() - KEPT)
    found = await readers.call(_find, tuple(readers.stores.values()), key.key, last)
    return found or await installation.access.call(_find, (installation.access.store,), key.key, last)


def _find(stores: Sequence[Store], key: str, last: str) -> CommandAnswer | None:
    rows = (row for store in stores for row in store.select(CommandAnswer, {"key": key}))
    return next((row for row in rows if row.hour >= last), None)


def _store(store: Store, unit: Unit, answer: CommandAnswer) -> CommandAnswer:
    """Store a unit with its answer; the answer that is kept: of two with one key at once, that of the first."""
    last = hour_of(datetime.fromisoformat(f"{answer.hour}:00:00+00:00") - KEPT)

    def decide(number: int) -> tuple[Unit, CommandAnswer]:
        whole = Unit(events=unit.events, states=unit.states, positions=[*unit.positions])
        whole.add(forgetting(store, CommandAnswer, last))
        whole.removed += unit.removed
        whole.rows |= unit.rows
        whole.remove(CommandAnswer, {"caller": answer.caller, "number": number - MOST_KEPT})
        whole.keep([replace(answer, number=number)])
        return whole, answer

    return store_once(store, f"commands/{answer.caller}", lambda: _find([store], answer.key, last), decide)


async def _whole(response: Response) -> Response:
    """A response with its whole body."""
    if not isinstance(response, StreamingResponse):
        return response
    parts = [part if isinstance(part, bytes) else str(part).encode() async for part in response.body_iterator]
    return Response(b"".join(parts), response.status_code, media_type=response.media_type)


def _to_text(response: Response) -> bytes:
    return json.dumps([response.media_type, bytes(response.body).decode()]).encode()


async def answer_again(request: Request, key: IdempotencyKey, kept: CommandAnswer) -> Response:
    """What the same command was answered. Raises `KeyReused`."""
    if kept.fingerprint != await _fingerprint_of(request):
        raise KeyReused
    media_type, body = json.loads(key.cipher.decrypt(kept.answer.encode()))
    return Response(body, kept.status, media_type=media_type)
