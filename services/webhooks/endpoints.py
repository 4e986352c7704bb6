"""What people ask of webhooks: where messages go, and what was sent there.

Every command is stored with who gave it and why. What the service has to do about it is a row that it takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.store import FILLED, JournalRow, Row, Store, Unit, Where
from domain.webhooks import MessageState
from services.runtime.context import Clock
from services.webhooks.messages import is_ended
from services.webhooks.read_models import (
    Asked,
    EndpointHealthRow,
    EndpointId,
    EndpointRequest,
    EndpointRow,
    MessageRow,
    messages_to,
)

MOST_ENDPOINTS = 10
"""Endpoints of one account."""


class EndpointRefused(Exception):
    """What is asked of an endpoint cannot be done; the message says what to do."""


class UnknownEndpoint(Exception):
    """An account has no endpoint, or no message, of this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEndpoint:
    """An endpoint, how it does, and how many messages to it are in each state."""

    row: EndpointRow
    health: EndpointHealthRow | None
    messages: Mapping[str, int]

    @property
    def ended(self) -> str:
        """Why we have ended it since it was turned on; empty if we have not."""
        return self.health.ended if self.health and is_ended(self.row, self.health) else ""

    @property
    def failing_since(self) -> str:
        """Since when it fails, in a row; empty if it does not."""
        return self.health.failing_since if self.health and self.health.at >= self.row.since else ""


class Endpoints:
    """The endpoints of accounts, as commands and queries see them. `allows_private` is what the settings say."""

    def __init__(self, store: Store, clock: Clock, *, allows_private: bool = False) -> None:
        self.allows_private = allows_private
        self._store = store
        self._clock = clock

    def on(self, store: Store) -> "Endpoints":
        """The same on another store, such as one that holds back what is stored."""
        return Endpoints(store, self._clock, allows_private=self.allows_private)

    def add(self, to: EndpointId, url: str, types: Sequence[str], noted: JournalRow) -> EndpointRow:
        """Store a new endpoint, which is on. Raises `EndpointRefused` where an account has too many."""
        if len(self._store.select(EndpointRow, {"account": to.account})) >= MOST_ENDPOINTS:
            raise EndpointRefused(f"{to.account} has {MOST_ENDPOINTS} endpoints, which is the most: delete one first")
        now = self._clock().isoformat()
        row = EndpointRow(**to._asdict(), url=url, types=sorted(set(types)), is_on=True, since=now, created=now)
        self._keep([row, noted])
        return row

    def show(self, to: EndpointId) -> EndpointRow:
        """An endpoint. Raises `UnknownEndpoint`."""
        found = self._store.select(EndpointRow, to._asdict())
        if not found:
            raise UnknownEndpoint(
                f"{to.account} has no endpoint {to.endpoint}: see `driverlink webhooks list {to.account}`"
            )
        return found[0]

    def all(self, account: str) -> list[KnownEndpoint]:
        """The endpoints of an account, the oldest first."""
        rows = self._store.select(EndpointRow, {"account": account})
        health = {row.endpoint: row for row in self._store.select(EndpointHealthRow, {"account": account})}
        names = [row.endpoint for row in rows]
        counts = self._store.count(MessageRow, messages_to(*names), by=["endpoint", "state"]) if names else {}
        messages = {
            name: {str(state): number for (endpoint, state), number in counts.items() if endpoint == name}
            for name in names
        }
        return [
            KnownEndpoint(row=row, health=health.get(row.endpoint), messages=messages[row.endpoint])
            for row in sorted(rows, key=lambda row: (row.created, row.endpoint))
        ]

    def note(self, to: EndpointId, noted: JournalRow) -> EndpointRow:
        """Store an entry about an endpoint, which has another secret. Raises `UnknownEndpoint`."""
        row = self.show(to)
        self._keep([noted])
        return row

    def turn(self, to: EndpointId, noted: JournalRow, *, on: bool) -> EndpointRow:
        """Turn an endpoint on or off. One that we have ended is on again. Raises `UnknownEndpoint`."""
        row = replace(self.show(to), is_on=on, since=self._clock().isoformat())
        self._keep([row, noted, *([_request(to, Asked.LOOK)] if on else [])])
        return row

    def delete(self, to: EndpointId, noted: JournalRow) -> None:
        """Remove an endpoint with its messages. Raises `UnknownEndpoint`."""
        self.show(to)
        unit = Unit()
        for kind in (EndpointRow, EndpointHealthRow, EndpointRequest):
            unit.remove(kind, to._asdict())
        unit.remove(MessageRow, messages_to(to.endpoint))
        unit.keep([noted])
        self._store.commit(unit)

    def ping(self, to: EndpointId, message: str, noted: JournalRow) -> None:
        """Ask for a ping as this message. Raises `UnknownEndpoint`, and `EndpointRefused` where the endpoint is off."""
        self._check_on(to)
        self._keep([_request(to, Asked.PING, message), noted])

    def resend(self, to: EndpointId, message: str, noted: JournalRow) -> MessageRow:
        """Ask for a message that has ended to be sent again. Raises `UnknownEndpoint`, `EndpointRefused`."""
        self._check_on(to)
        found = self._store.select(MessageRow, {**to._asdict(), "message": message})
        if not found:
            raise UnknownEndpoint(
                f"{to.endpoint} has no message {message}: see `driverlink webhooks messages {to.account} {to.endpoint}`"
            )
        if found[0].state == MessageState.WAITING:
            raise EndpointRefused(f"{message} is being sent anyway")
        self._keep([_request(to, Asked.RESEND, message), noted])
        return found[0]

    def messages(self, to: EndpointId, state: str, after: str, limit: int) -> list[MessageRow]:
        """Messages to an endpoint behind this place, the newest first. Raises `UnknownEndpoint`."""
        self.show(to)
        found: list[MessageRow] = []
        for each in (state,) if state else MessageState:
            where: Where = {"endpoint": to.endpoint, "state": str(each), "place": FILLED}
            found += self._store.select(MessageRow, where, order_by="place", after=after or None, limit=limit)
        return sorted(found, key=lambda row: row.place)[:limit]

    def _check_on(self, to: EndpointId) -> None:
        row = self.show(to)
        found = self._store.select(EndpointHealthRow, to._asdict())
        if not row.is_on or is_ended(row, found[0] if found else None):
            raise EndpointRefused(
                f"{to.endpoint} is off: turn it on by `driverlink webhooks enable {to.account} {to.endpoint}`"
            )

    def _keep(self, rows: Sequence[Row]) -> None:
        unit = Unit()
        unit.keep(rows)
        self._store.commit(unit)


def _request(to: EndpointId, asked: Asked, message: str = "") -> EndpointRequest:
    return EndpointRequest(**to._asdict(), asked=str(asked), message=message)
