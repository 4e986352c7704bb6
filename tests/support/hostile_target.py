"""Answers that no vendor should ever give, for one account of several; all others get the sandbox's own."""

import asyncio
import base64
import gzip
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from tests.support.call_proxy import Call, Forward, answer, passed_back

_MEGABYTE: Final = 1_000_000
_DRIBBLED: Final = 40
"""Bytes that come one by one, before the rest."""

_ODD_WAITS: Final = (
    "-1",
    "1e400",
    "NaN",
    "4102444800",
    "4102444800000",
    "soon",
    "9" * 400,
    "Fri, 31 Dec 9999 23:59:59 GMT",
)
_ODD_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    {"a": [{}]},
    [],
    "",
    "x" * _MEGABYTE,
    "a\x00b",
    "\ud800",
    "\u202e\u200b",
)

Json = Any


def account_of(call: Call, accounts: Mapping[str, str]) -> str:
    """Which account makes the call, empty if it does not say; `accounts` are their names by API key."""
    if key := call.header("x-api-key"):
        return accounts[key]
    words = urlsplit(call.target).path.split("/")
    if "tenants" in words:
        return words[words.index("tenants") + 1]
    scheme, _, credentials = call.header("authorization").partition(" ")
    if scheme != "Basic":
        return ""
    client = base64.b64decode(credentials).decode(errors="replace")
    return client.split(":")[0].removesuffix("-client")


@dataclass(slots=True, kw_only=True)
class HostileTarget:
    """Treats the calls of `victim` to one sandbox, and counts those of everybody."""

    victim: str
    accounts: Mapping[str, str]
    chance: random.Random
    is_fair: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    former: dict[str, httpx.Response] = field(default_factory=dict)

    async def treat(self, call: Call, forward: Forward) -> AsyncGenerator[bytes, None]:
        """The bytes that the caller gets."""
        account = account_of(call, self.accounts)
        self.calls[account] += 1
        reply = await forward()
        if account != self.victim or self.is_fair or self.chance.random() < 0.3:
            yield passed_back(reply)
            return
        async for part in self._odd(call, reply):
            yield part

    async def _odd(self, call: Call, reply: httpx.Response) -> AsyncGenerator[bytes, None]:
        """One kind of answer that no vendor should give."""
        drawn = self.chance.randrange(8)
        if drawn == 0:
            async for part in _endless():
                yield part
        elif drawn == 1:
            async for part in _dribbling(passed_back(reply)):
                yield part
        else:
            yield self._whole(drawn, call, reply)

    def _whole(self, drawn: int, call: Call, reply: httpx.Response) -> bytes:
        match drawn:
            case 2:
                return self._lagging(call, reply)
            case 3:
                return self.chance.choice(_BODIES)()
            case 4:
                return self._refusal()
        return answer(reply.status_code, self._bent(reply))

    def _lagging(self, call: Call, reply: httpx.Response) -> bytes:
        former = self.former.get(call.target, reply) if call.is_read else reply
        self.former.setdefault(call.target, reply)
        return passed_back(former)

    def _refusal(self) -> bytes:
        status = self.chance.choice((400, 401, 404, 409, 429, 500, 503))
        wait = self.chance.choice(_ODD_WAITS)
        body = json.dumps({"error_message": "no\x00\x1b[31m " + "y" * 5000, "message": "\u202eno", "status": "x"})
        head = (
            f"HTTP/1.1 {status} No\r\nRetry-After: {wait}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return (head + body).encode()

    def _bent(self, reply: httpx.Response) -> bytes:
        """The sandbox's answer with some values that are of another type or size, totals among them."""
        try:
            document = reply.json()
        except ValueError:
            return b"\x00\xff"
        for _ in range(self.chance.randint(1, 3)):
            self._bend(document)
        return json.dumps(document).encode()

    def _bend(self, document: Json) -> None:
        """Change one value somewhere inside."""
        places = [*_places(document)]
        if places:
            holder, name = self.chance.choice(places)
            holder[name] = self.chance.choice(_ODD_VALUES)


def _places(document: Json) -> list[tuple[Json, Any]]:
    here = (
        [*document.items()]
        if isinstance(document, dict)
        else [*enumerate(document)]
        if isinstance(document, list)
        else []
    )
    inside = [place for _, value in here for place in _places(value)]
    return [(document, name) for name, _ in here] + inside


async def _endless() -> AsyncGenerator[bytes, None]:
    """An answer without an end; the reader has to go."""
    yield b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"data": "'
    while True:
        yield b"a" * 65_536


async def _dribbling(whole: bytes) -> AsyncGenerator[bytes, None]:
    for place in range(min(_DRIBBLED, len(whole))):
        yield whole[place : place + 1]
        await asyncio.sleep(0.01)
    yield whole[_DRIBBLED:]


@cache
def _bomb() -> bytes:
    """300 MB of blanks in some kilobytes."""
    return answer(200, gzip.compress(b" " * (300 * _MEGABYTE)), encoding="gzip")


@cache
def _huge() -> bytes:
    return answer(200, b'{"data": "' + b"a" * (60 * _MEGABYTE) + b'"}')


@cache
def _deep() -> bytes:
    return answer(200, b"[" * 200_000)


@cache
def _long_number() -> bytes:
    return answer(200, b'{"totalCount": ' + b"9" * 200_000 + b', "data": {"drivers": []}}')


_BODIES: Final[tuple[Callable[[], bytes], ...]] = (_bomb, _huge, _deep, _long_number)
