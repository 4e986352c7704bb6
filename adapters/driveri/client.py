"""Driveri's driver calls, each as one function. Source: driveri-python-sdk 1.0.0."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from adapters.driveri.access import UPDATE_DRIVERS, VIEW_CONFIGURATIONS, VIEW_DRIVERS, DriveriAccess
from adapters.driveri.license_states import in_other_form, is_refused_for_state
from adapters.driveri.tokens import Tokens
from adapters.driveri.wire import DRIVERS, DriverRow, DriversPage, Lookup, StatusRow, statuses_of, words_of
from adapters.http import Call, Clock, Intent, Jitter, Pause, Sender, refusal
from adapters.lenient import read_lines
from adapters.pace import Pace
from adapters.shared_token import send_with
from domain.failures import Reason, Rejected, TargetFailed
from domain.profile import Profile
from domain.roster import UnreadableRecords

PAGE_SIZE: Final = 200
"""The most drivers that Driveri puts on a page."""

FIRST_PAGE: Final = MappingProxyType({"offset": "0", "limit": str(PAGE_SIZE), "showAll": "true"})
_GOODBYE: Final = 2.0
"""Seconds that Driveri has to take a token back when we end; a token that it does not take expires by itself."""

_DOTS: Final = {".": "%2E", "..": "%2E%2E"}


class DriveriClient:
    """The calls of one tenant. Each raises `TargetFailed` when there is no answer or the credentials are refused."""

    def __init__(
        self,
        access: DriveriAccess,
        *,
        transport: httpx.AsyncBaseTransport | None,
        pace: Pace | None,
        clock: Clock,
        pause: Pause,
        jitter: Jitter,
    ) -> None:
        self._sender = Sender(
            base_url=access.base_url,
            setting="DRIVERLINK_DRIVERI_URL",
            headers={"Accept-Language": access.language},
            transport=transport,
            pace=pace,
            clock=clock,
            pause=pause,
            jitter=jitter,
        )
        self._tokens = Tokens(access, self._sender, clock)
        self.has_left_out = False
        self._turns_states = False
        self._tenant = f"/v1/tenants/{_quoted(access.tenant)}"

    async def statuses(self) -> tuple[StatusRow, ...]:
        """The meanings of this tenant's driver status codes."""
        reply = await self._send(Call(path=f"{self._tenant}/configurations"), VIEW_CONFIGURATIONS)
        return statuses_of(_accepted(reply))

    async def page(self, query: Mapping[str, str], unreadable: UnreadableRecords | None = None) -> DriversPage:
        """One page of the list of drivers; what cannot be read on it is added to `unreadable`."""
        reply = await self._send(Call(path=f"{self._tenant}/drivers", params=query), VIEW_DRIVERS)
        read = read_lines(_accepted(reply), DriversPage, DRIVERS)
        self.has_left_out |= read.left_out > 0
        if unreadable is not None:
            unreadable.add(
                replace(record, place=f"offset {query.get('offset', '')}, {record.place}") for record in read.unreadable
            )
        return read.answer

    async def lookup(self, driver_id: str) -> tuple[DriverRow, ...]:
        """The drivers of this id that Driveri shows without being asked for deleted ones."""
        reply = await self._send(Call(path=f"{self._tenant}/driver", params={"driverId": driver_id}), VIEW_DRIVERS)
        if reply.status_code == httpx.codes.NOT_FOUND:
            return ()
        found = read_lines(_accepted(reply), Lookup, DRIVERS).answer.data
        return (found and found.drivers) or ()

    async def add(self, body: Mapping[str, object], *, reinstate: bool) -> httpx.Response:
        """Create a driver or, if so asked, bring a deleted one of this id back."""
        call = Call(
            method="POST",
            path=f"{self._tenant}/drivers",
            intent=Intent.WRITE if reinstate else Intent.CREATE,
            params={"reinstateDriver": str(reinstate).lower()},
            body=body,
        )
        return await self._write(call)

    async def edit(self, driver_id: str, body: Mapping[str, object]) -> httpx.Response:
        """Write these fields of a driver; a `driverId` among them is the new id."""
        path = f"{self._tenant}/drivers/{_quoted(driver_id)}"
        return await self._write(Call(method="PUT", path=path, intent=Intent.WRITE, body=body))

    def room(self) -> int:
        """How many calls may be under way now; see `Pace.room`."""
        return self._sender.room()

    async def close(self) -> None:
        """Give our token back and close the connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._tokens.let_go()
        await self._sender.close()

    async def _write(self, call: Call) -> httpx.Response:
        """The answer to a write; with the state of a licence in the other form where Driveri refuses the first."""
        turned = in_other_form(call.body or {})
        if turned is None:
            return await self._send(call, UPDATE_DRIVERS)
        forms = [call, replace(call, body=turned)]
        first, second = reversed(forms) if self._turns_states else forms
        reply = await self._send(first, UPDATE_DRIVERS)
        if not is_refused_for_state(reply):
            return reply
        again = await self._send(second, UPDATE_DRIVERS)
        if is_refused_for_state(again):
            return reply
        self._turns_states = not self._turns_states
        return again

    async def _send(self, call: Call, scope: str) -> httpx.Response:
        reply = await send_with(self._tokens, self._sender, call)
        if reply.status_code == httpx.codes.UNAUTHORIZED:
            raise TargetFailed(refusal(reply, "", {}))
        if reply.status_code == httpx.codes.FORBIDDEN:
            detail = f"answered 403: the API key may be another tenant's, or lack the scope {scope}"
            raise TargetFailed(Rejected(reason=Reason.CREDENTIALS, detail=detail))
        return reply


def next_query(query: Mapping[str, str], link: str) -> dict[str, str]:
    """Our query, moved on to where the link points.

    Only the link's query is taken: whatever host or path it names, the call stays on the configured ones.
    """
    return {**query, **dict(parse_qsl(urlsplit(link).query))}


def refused(reply: httpx.Response, profile: Profile) -> Rejected:
    """What Driveri's refusal of a call with this profile means."""
    return refusal(reply, words_of(reply), profile)


def _accepted(reply: httpx.Response) -> httpx.Response:
    if reply.is_success:
        return reply
    raise TargetFailed(refused(reply, {}))


def _quoted(part: str) -> str:
    return _DOTS.get(part) or quote(part, safe="")
