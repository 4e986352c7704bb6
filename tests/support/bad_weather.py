"""What networks and gateways do to calls, by chance.

The chance is seeded; which call meets what also depends on the order in which calls arrive.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import httpx

from tests.support.call_proxy import Call, Forward, answer, passed_back

_ABOUT_TOKENS: Final = ("/v1/auth/", "/oauth/")
_LONGEST_DELAY: Final = 0.3
"""Seconds."""


class Mishap(StrEnum):
    """What can happen to a call on its way."""

    DROPPED_BEFORE = "dropped before it arrives"
    DROPPED_AFTER = "dropped after it took effect"
    DELAYED = "delayed"
    DOUBLED = "delivered twice"
    TRUNCATED = "answer cut in the middle"
    BAD_GATEWAY = "502 after it took effect"
    FORGOTTEN = "502 after it took effect, and 404 when it is repeated"


STORM: Final[Mapping[Mishap, float]] = MappingProxyType(
    {
        Mishap.DROPPED_BEFORE: 0.04,
        Mishap.DROPPED_AFTER: 0.04,
        Mishap.DELAYED: 0.06,
        Mishap.DOUBLED: 0.04,
        Mishap.TRUNCATED: 0.04,
        Mishap.BAD_GATEWAY: 0.04,
        Mishap.FORGOTTEN: 0.03,
    }
)
"""The share of the calls that meet each mishap."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """Treats the calls to one sandbox. `written` are the writes that it accepted, in their order."""

    chance: random.Random
    is_fair: bool = False
    met: Counter[Mishap] = field(default_factory=Counter)
    forgotten: set[Call] = field(default_factory=set)
    written: list[Call] = field(default_factory=list)

    async def treat(self, call: Call, forward: Forward) -> AsyncGenerator[bytes, None]:
        """The bytes that the caller gets."""
        if call in self.forgotten and not self.is_fair:
            self.forgotten.discard(call)
            yield answer(404, b'{"error_message": "not found"}')
            return
        mishap = self._mishap(call)
        if mishap is Mishap.DROPPED_BEFORE:
            return
        if mishap is Mishap.DELAYED:
            await asyncio.sleep(self.chance.uniform(0, _LONGEST_DELAY))
        reply = await self._sent_on(call, forward)
        if mishap is Mishap.DOUBLED:
            reply = await self._sent_on(call, forward)
        if mishap is not Mishap.DROPPED_AFTER:
            yield self._answer(call, mishap, reply)

    async def _sent_on(self, call: Call, forward: Forward) -> httpx.Response:
        reply = await forward()
        if not call.is_read and reply.is_success:
            self.written.append(call)
        return reply

    def _answer(self, call: Call, mishap: Mishap | None, reply: httpx.Response) -> bytes:
        if mishap in (Mishap.BAD_GATEWAY, Mishap.FORGOTTEN):
            if mishap is Mishap.FORGOTTEN and not call.is_read:
                self.forgotten.add(call)
            return answer(502, b"<html>bad gateway</html>", "text/html")
        whole = passed_back(reply)
        return whole[: len(whole) // 2] if mishap is Mishap.TRUNCATED else whole

    def _mishap(self, call: Call) -> Mishap | None:
        """What this call meets; calls for tokens meet nothing: the sandbox gives no third token."""
        if self.is_fair or call.target.startswith(_ABOUT_TOKENS):
            return None
        drawn = self.chance.random()
        for mishap, share in STORM.items():
            if drawn < share:
                self.met[mishap] += 1
                return mishap
            drawn -= share
        return None
