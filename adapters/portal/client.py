"""The calls of the Portal's API v2, each as one function. Source: the API Guide for Developers of GPS Insight.

Everything is asked for by GET with everything in the address, secrets too; so no address is ever told, or logged whole.
"""

from collections.abc import Mapping
from typing import Final

import httpx

from adapters.answer import OF_A_LIST
from adapters.http import Call, Clock, Jitter, Pause, Sender, UnexpectedForm, down
from adapters.lenient import OddLine, parsed_python
from adapters.pace import Pace
from adapters.portal.access import PortalAccess
from adapters.portal.sessions import Sessions
from adapters.portal.wire import REFUSED_ACCESS, AttributeRow, answer_of, code_of, is_framed, validated
from adapters.shared_token import Token
from domain.identity import PortalDriverId

_LIST: Final = "driver/list"
_REFUSED_LIST: Final = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND})


class PortalClient:
    """The calls of one user. Each raises `TargetFailed` when there is no answer or the user is refused."""

    def __init__(
        self,
        access: PortalAccess,
        *,
        transport: httpx.AsyncBaseTransport | None,
        pace: Pace | None,
        clock: Clock,
        pause: Pause,
        jitter: Jitter,
    ) -> None:
        self._sender = Sender(
            base_url=access.base_url,
            setting="DRIVERLINK_PORTAL_URL",
            headers={},
            transport=transport,
            pace=pace,
            limits=OF_A_LIST,
            clock=clock,
            pause=pause,
            jitter=jitter,
        )
        self._sessions = Sessions(access, self._sender)
        self._has_worked = ""

    async def drivers(self) -> list[object]:
        """Every driver whom the user may see, as it came over the wire; the Portal knows no pages."""
        return _listed(answer_of(await self._ask(_LIST, {})).data)

    async def attributes(self, driver: PortalDriverId) -> tuple[AttributeRow | None, ...] | None:
        """The custom attributes of whom the Portal takes for this driver; None if that is nobody.

        One whose value has an odd form is None in its place. Raises `OddLine` for what is no list of attributes.
        """
        reply = await self._ask("driver/getattributes", {"driver": driver})
        if code_of(reply) == httpx.codes.NOT_FOUND and is_framed(reply):
            return None
        data = answer_of(reply).data
        try:
            return tuple(_attribute(row) for row in _listed(data))
        except UnexpectedForm as odd:
            raise OddLine(odd.failure) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._sessions.settle()
        await self._sender.close()

    async def _ask(self, method: str, params: Mapping[str, str]) -> httpx.Response:
        """The answer in the current session, or in another one if that is over."""
        session = await self._sessions.current()
        reply = await self._sender.send(_in_session(method, params, session))
        code = code_of(reply)
        if not self._may_be_over(session, method, code):
            self._has_worked = session.secret if code == httpx.codes.OK else self._has_worked
            return reply
        self._sessions.refuse(session)
        return await self._sender.send(_in_session(method, params, await self._sessions.current()))

    def _may_be_over(self, session: Token, method: str, code: int) -> bool:
        """Whether an answer may be about the session: what a list that needs nothing else is refused for, too.

        How the Portal refuses a session that is over is documented for some calls only.
        """
        is_of_session = method == _LIST and code in _REFUSED_LIST and session.secret == self._has_worked
        return code in REFUSED_ACCESS or is_of_session


def _in_session(method: str, params: Mapping[str, str], session: Token) -> Call:
    return Call(path=f"/v2/{method}", params={**params, "session_token": session.secret})


def _attribute(row: object) -> AttributeRow | None:
    """An attribute; None where it is named, and its value cannot be read."""
    is_named = isinstance(row, Mapping) and {"id", "key"} <= row.keys()
    return parsed_python(row, AttributeRow) if is_named else validated(AttributeRow, row)


def _listed(data: object) -> list[object]:
    if isinstance(data, list):
        return data
    raise UnexpectedForm(down("data that are no list"))
