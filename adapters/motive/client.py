"""Motive's user and external id calls, each as one function.

Source: developer.gomotive.com, Users and External Ids.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final
from urllib.parse import quote

import httpx

from adapters.http import Call, Clock, Intent, Jitter, Pause, RepeatRefused, Sender, down, refusal
from adapters.lenient import read_lines, read_one
from adapters.motive.access import MotiveAccess
from adapters.motive.license_states import StateSpelling, is_refused_for_state
from adapters.motive.reading import PAGE_SIZE
from adapters.motive.tokens import Tokens
from adapters.motive.wire import USERS, ExternalId, User, UserAnswer, UsersPage, words_of
from adapters.pace import Pace
from adapters.shared_token import send_with
from domain.failures import Rejected, TargetFailed
from domain.profile import Profile
from domain.roster import UnreadableRecords

_ANOTHER: Final = down("an answer about another user")


class MotiveClient:
    """The calls of one company. Each raises `TargetFailed` when there is no answer or the credentials are refused."""

    def __init__(
        self,
        access: MotiveAccess,
        *,
        transport: httpx.AsyncBaseTransport | None,
        pace: Pace | None,
        clock: Clock,
        pause: Pause,
        jitter: Jitter,
    ) -> None:
        self._sender = Sender(
            base_url=access.base_url,
            setting="DRIVERLINK_MOTIVE_URL",
            headers={"X-Api-Key": access.api_key} if access.grant is None else {},
            transport=transport,
            pace=pace,
            clock=clock,
            pause=pause,
            jitter=jitter,
        )
        grant = access.grant
        self._state_spelling = StateSpelling()
        self._tokens = Tokens(grant, transport=transport, clock=clock, pause=pause) if grant else None

    async def page(self, number: int, size: int = PAGE_SIZE, unreadable: UnreadableRecords | None = None) -> UsersPage:
        """One page of the list of drivers, deactivated ones included; the first is 1.

        What cannot be read on it is added to `unreadable`.
        """
        query = {"role": "driver", "per_page": str(size), "page_no": str(number)}
        reply = _accepted(await self._send(Call(path="/v1/users", params=query)))
        read = read_lines(reply, UsersPage, USERS)
        if unreadable is not None:
            unreadable.add(replace(record, place=f"page {number}, {record.place}") for record in read.unreadable)
        return read.answer

    async def user(self, key: str) -> User | None:
        """One user with the record ids of the external ids; None if nobody has this key."""
        user = await self._one(Call(path=_path_of(key)))
        if user is not None and user.key != key:
            raise TargetFailed(_ANOTHER)
        return user

    async def lookup(self, **query: str) -> User | None:
        """The visible user with this `email` or `username`."""
        user = await self._one(Call(path="/v1/users/lookup", params=query))
        email = query.get("email")
        if user and email and user.email and user.email.casefold() != email.casefold():
            raise TargetFailed(_ANOTHER)
        return user

    async def lookup_by_external_id(self, external_id: str, integration: str) -> User | None:
        """The visible user who carries this external id."""
        query = {"external_id": external_id, "integration_name": integration}
        user = await self._one(Call(path="/v1/users/lookup_by_external_id", params=query))
        carried = [(entry.external_id, entry.integration_name) for entry in (user and user.external_ids) or ()]
        if carried and (external_id, integration) not in carried:
            raise TargetFailed(_ANOTHER)
        return user

    async def create(self, body: Mapping[str, object]) -> httpx.Response:
        """Make a user; the answer is a success or a refusal."""
        return await self._write(Call(method="POST", path="/v1/users", intent=Intent.CREATE, body=body))

    async def edit(self, key: str, body: Mapping[str, object], profile: Profile) -> httpx.Response | None:
        """Write these fields of a user; None if nobody has this key. The profile is what a refusal may repeat."""
        reply = await self._write(Call(method="PUT", path=_path_of(key), intent=Intent.WRITE, body=body))
        return None if _is_miss(reply, "user not found") else _accepted(reply, profile)

    async def add_external_id(self, key: str, entry: ExternalId) -> None:
        """Let a user carry this external id."""
        body = {
            "external_id": entry.external_id,
            "integration_name": entry.integration_name,
            "external_id_holder_id": int(key),
            "external_id_holder_type": "User",
        }
        call = Call(method="POST", path="/v1/external_ids", intent=Intent.WRITE, body=body, may_lack=True)
        _accepted(await self._send(call))

    async def remove_external_id(self, record: int) -> None:
        """Remove one external id; whether it took effect shows only when the user is read."""
        with suppress(RepeatRefused):
            path = f"/v1/external_ids/{record}"
            await self._send(Call(method="DELETE", path=path, intent=Intent.WRITE, may_lack=True))

    def room(self) -> int:
        """How many calls may be under way now; see `Pace.room`."""
        return self._sender.room()

    async def close(self) -> None:
        """Close the connections."""
        if self._tokens is not None:
            await self._tokens.close()
        await self._sender.close()

    async def _one(self, call: Call) -> User | None:
        reply = await self._send(call)
        return None if _is_miss(reply, "not found") else read_one(_accepted(reply), UserAnswer, USERS).user

    async def _write(self, call: Call) -> httpx.Response:
        """The answer to a write; with the state of a licence in another spelling where Motive refuses one."""
        refused: httpx.Response | None = None
        for place, body in self._state_spelling.bodies(call.body or {}):
            reply = await self._send(replace(call, body=body))
            if not is_refused_for_state(reply):
                self._state_spelling.has_worked(place)
                return reply
            refused = refused or reply
        return refused or await self._send(call)

    async def _send(self, call: Call) -> httpx.Response:
        reply = await (send_with(self._tokens, self._sender, call) if self._tokens else self._sender.send(call))
        if reply.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise TargetFailed(refused(reply, {}))
        return reply


def refused(reply: httpx.Response, profile: Profile) -> Rejected:
    """What Motive's refusal of a call with this profile means."""
    return refusal(reply, words_of(reply), profile)


def _is_miss(reply: httpx.Response, words: str) -> bool:
    """Whether an answer says that there is no such user; by which status is not documented."""
    return reply.status_code == httpx.codes.NOT_FOUND or words in words_of(reply).casefold()


def _accepted(reply: httpx.Response, profile: Profile | None = None) -> httpx.Response:
    if reply.is_success:
        return reply
    raise TargetFailed(refused(reply, profile or {}))


def _path_of(key: str) -> str:
    return f"/v1/users/{quote(key, safe='')}"
