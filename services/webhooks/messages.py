"""Messages to the endpoints of accounts: made of decisions, started before they are sent, and ended by the answer.

Everything here is done in the service's thread.
"""

import hmac
from base64 import b64decode, b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from json import dumps
from typing import Any, Final
from urllib.parse import quote
from uuid import NAMESPACE_OID, uuid5

import structlog

from domain.ports import CredentialsKeeper, CredentialsUnreadable, SigningSecrets, WebhookAnswer
from domain.store import FILLED, Event, Store, Unit
from domain.webhooks import PING, MessageState, MessageType, pause_after, wait_after
from services.runtime.context import Assignment, Clock
from services.runtime.read_models import kept_rows, to_unit
from services.runtime.repeats import forgetting, hour_of
from services.webhooks.read_models import (
    Asked,
    EndpointHealthRow,
    EndpointId,
    EndpointRequest,
    EndpointRow,
    MessageRow,
    Said,
    messages_to,
    place_of,
    project_named_links,
)

SLOTS: Final = 4
"""Messages under way to one endpoint; to one that fails, one."""

MOST_SENT: Final = 64
"""Messages under way to all endpoints."""

KEPT: Final = timedelta(days=30)
"""How long a message is kept, whatever has become of it."""

GONE: Final = 410
"""The status by which a receiver ends its endpoint for good."""

_MOST_ATTEMPTS: Final = 20
_MOST_REQUESTS: Final = 500
_LONGEST_WAIT: Final = 3600.0
_ORDER: Final = {str(kind): place for place, kind in enumerate(MessageType)}
"""In which order messages go out that are about one fact."""

UNKNOWN: Final = "the process ended before the answer was stored"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One try of a message whose start is stored. Without headers it cannot be signed, and `trouble` says why."""

    to: EndpointId
    message: str
    started: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    trouble: str = ""


Results = Sequence[tuple[Send, WebhookAnswer]]


def is_ended(endpoint: EndpointRow, health: EndpointHealthRow | None) -> bool:
    """Whether we have ended an endpoint since it was turned on."""
    return health is not None and bool(health.ended) and health.at >= endpoint.since


def signed_headers(message: str, body: bytes, secrets: Collection[str], now: datetime) -> Mapping[str, str]:
    """The headers that sign a message now, by each of these secrets, as the Standard Webhooks specification says."""
    at = str(int(now.timestamp()))
    signed = f"{message}.{at}.".encode() + body
    digests = (hmac.digest(b64decode(secret.removeprefix("whsec_")), signed, sha256) for secret in secrets)
    return {
        "content-type": "application/json",
        "user-agent": "driverlink",
        "webhook-id": message,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests),
    }


class Messages:
    """The messages of the accounts of this process. `wake` is called when there is something to send.

    `origin` is what the address of the page begins with on which people read why something was decided.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        assignment: Assignment,
        *,
        secrets: CredentialsKeeper,
        origin: str = "",
    ) -> None:
        self.under_way: dict[tuple[EndpointId, str], str] = {}
        self.wake: Callable[[], object] = lambda: None
        self._store = store
        self._clock = clock
        self._assignment = assignment
        self._secrets = secrets
        self._origin = origin
        self._due: dict[EndpointId, str] = {}

    def on_decisions(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the keys of links, and a message for each endpoint that wants to know what has happened."""
        rows = kept_rows(self._store)
        said = project_named_links(events, rows)
        unit = to_unit(rows.changes())
        if said:
            unit.keep(self._to_messages(said))
        return unit

    def on_stored(self, unit: Unit) -> None:
        """Send what was stored with a batch."""
        due = [row for row in unit.rows.values() if isinstance(row, MessageRow) and row.due]
        for row in due:
            self._note(row.to, row.due)
        if due:
            self.wake()

    def resume(self) -> None:
        """Learn what is due for our accounts; what was started and has no outcome is sent again, under the same id."""
        unit, now = Unit(), self._clock().isoformat()
        for row in self._store.select(MessageRow, {"started": FILLED}):
            if self._assignment.has(row.account) and (row.to, row.message) not in self.under_way:
                tried = _tried(row, row.started, WebhookAnswer(detail=UNKNOWN))
                unit.keep([replace(tried, started="", due=now)])
        if unit.rows:
            self._store.commit(unit)
        self._due.clear()
        found = self._store.least(MessageRow, "due", {"due": FILLED}, by=["account", "endpoint"])
        for (account, endpoint), due in found.items():
            if self._assignment.has(str(account)):
                self._note(EndpointId(str(account), str(endpoint)), str(due))

    def take_requests(self) -> None:
        """Do what commands have asked."""
        asked = self._store.select(EndpointRequest, limit=_MOST_REQUESTS)
        unit = Unit()
        for each in (each for each in asked if self._assignment.has(each.account)):
            to = EndpointId(each.account, each.endpoint)
            unit.remove(EndpointRequest, {name: getattr(each, name) for name in EndpointRequest.KEY})
            match each.asked:
                case Asked.PING:
                    unit.keep([self._ping(to, each.message)])
                case Asked.RESEND:
                    unit.keep(self._again(to, each.message))
                case Asked.LOOK:
                    unit.remove(EndpointHealthRow, to._asdict())
            self._note(to, self._clock().isoformat())
        if unit.removed:
            self._store.commit(unit)

    def end(self, results: Results) -> None:
        """Store what came of these tries. A message that is not known any more, or was started again, is left alone."""
        for send, _ in results:
            self.under_way.pop((send.to, send.message), None)
        now, unit = self._clock(), Unit()
        keys = [(*send.to, send.message) for send, _ in results]
        rows = {(row.to, row.message): row for row in self._store.among(MessageRow, MessageRow.KEY, keys)}
        places = {tuple(send.to) for send, _ in results}
        healths = {
            EndpointId(row.account, row.endpoint): row
            for row in self._store.among(EndpointHealthRow, EndpointHealthRow.KEY, places)
        }
        for send, answer in results:
            row = rows.get((send.to, send.message))
            if row is not None and row.started == send.started:
                health = healths.get(send.to) or EndpointHealthRow(**send.to._asdict(), at="")
                after, healths[send.to] = _after(row, health, answer, now)
                unit.keep([after, healths[send.to]])
                if after.state != MessageState.WAITING:
                    unit.keep(self._released(after, now))
        if unit.rows:
            self._store.commit(unit)
        for send, _ in results:
            self._note(send.to, now.isoformat())

    def begin(self) -> list[Send]:
        """Store that what is due and has a slot starts; then it can be sent."""
        now, unit, sends = self._clock(), Unit(), list[Send]()
        if all(due > now.isoformat() for due in self._due.values()):
            return sends
        endpoints, free = self._with_room(unit, now)
        most = {to.endpoint: room + 1 for to, room in free.items()}
        due = defaultdict[EndpointId, list[MessageRow]](list)
        for row in self._store.first(MessageRow, "endpoint", most, order_by="due") if most else ():
            due[row.to].append(row)
        for to, room in free.items():
            ready = [row for row in due[to] if row.due <= now.isoformat()][:room]
            behind = due[to][len(ready) :]
            # What is ready and has no slot is looked at again when a message under way has ended.
            self._due.pop(to)
            if behind and behind[0].due > now.isoformat():
                self._note(to, behind[0].due)
            for row in ready:
                started = replace(row, due="", started=now.isoformat())
                unit.keep([started])
                sends.append(self._to_send(started, endpoints[to].url, now))
        if unit.rows or unit.removed:
            self._store.commit(unit)
        self.under_way |= {(send.to, send.message): send.started for send in sends}
        return sends

    def next_due(self) -> float:
        """Seconds until something can be sent though nothing ends; 0 where it can already."""
        if len(self.under_way) >= MOST_SENT:
            return _LONGEST_WAIT
        now = self._clock()
        waits = [(datetime.fromisoformat(due) - now).total_seconds() for due in self._due.values()]
        return max(0.0, min(waits, default=_LONGEST_WAIT))

    def forget_old(self) -> int:
        """Remove what came long ago, an hour at a time; how many hours."""
        last, forgotten = hour_of(self._clock() - KEPT), 0
        while (unit := forgetting(self._store, MessageRow, last)).removed:
            self._store.commit(unit)
            forgotten += 1
        return forgotten

    def _note(self, to: EndpointId, due: str) -> None:
        self._due[to] = min(due, self._due.get(to, due))

    def _to_messages(self, said: Sequence[Said]) -> Iterable[MessageRow]:
        found = self._store.among(EndpointRow, ("account",), {(each.fact.account,) for each in said})
        endpoints = defaultdict[str, list[EndpointRow]](list)
        health = self._healths(found)
        for row in found:
            if row.is_on and not is_ended(row, health.get(EndpointId(row.account, row.endpoint))):
                endpoints[row.account].append(row)
        wanted = [
            (endpoint, each)
            for each in said
            for endpoint in endpoints[each.fact.account]
            if each.occurrence.type in endpoint.types and each.fact.at.isoformat() >= endpoint.since
        ]
        state = str(MessageState.WAITING)
        links = {(endpoint.endpoint, str(each.fact.originator_id), state) for endpoint, each in wanted}
        waiting = self._store.among(MessageRow, ("endpoint", "link", "state"), links)
        busy, now = {(row.endpoint, row.link) for row in waiting}, self._clock()
        for endpoint, each in wanted:
            place = endpoint.endpoint, str(each.fact.originator_id)
            due = "" if place in busy else now.isoformat()
            busy.add(place)
            yield self._to_message(endpoint, each, now, due=due)

    def _to_message(self, endpoint: EndpointRow, said: Said, now: datetime, *, due: str) -> MessageRow:
        fact, occurrence = said.fact, said.occurrence
        page = f"/console/accounts/{quote(fact.account)}/drivers/{quote(fact.driver, safe='')}"
        of_fact = f"{fact.originator_version}/{occurrence.type}/{endpoint.endpoint}"
        data = {
            "account": fact.account,
            "target": fact.target,
            "driver": fact.driver,
            "key": occurrence.key or None,
            "former_key": occurrence.former_key or None,
            "reason": occurrence.reason,
            "event": f"{fact.originator_id}/{fact.originator_version}",
            "explanation": f"{self._origin}{page}",
        }
        return _to_row(
            EndpointId(endpoint.account, endpoint.endpoint),
            message=f"msg_{uuid5(fact.originator_id, of_fact).hex}",
            body={"type": str(occurrence.type), "timestamp": fact.at.isoformat(), "data": data},
            link=str(fact.originator_id),
            number=said.position * len(_ORDER) + _ORDER[occurrence.type],
            now=now,
            due=due,
        )

    def _ping(self, to: EndpointId, message: str) -> MessageRow:
        now = self._clock()
        data = {"account": to.account, "endpoint": to.endpoint}
        body = {"type": PING, "timestamp": now.isoformat(), "data": data}
        return _to_row(to, message=message, body=body, link=message, number=0, now=now, due=now.isoformat())

    def _again(self, to: EndpointId, message: str) -> Iterable[MessageRow]:
        """A message that has ended, to be sent again: behind one about the same link that waits."""
        for row in self._store.select(MessageRow, {**to._asdict(), "message": message}):
            if row.state != MessageState.WAITING:
                due = "" if self._first_waiting(row) else self._clock().isoformat()
                yield replace(row, state=MessageState.WAITING, tries=0, due=due)

    def _released(self, ended: MessageRow, now: datetime) -> Iterable[MessageRow]:
        """The next message about the same link, which waited behind one that has ended."""
        following = self._first_waiting(ended)
        if following and not (following.due or following.started):
            yield replace(following, due=now.isoformat())

    def _first_waiting(self, beside: MessageRow) -> MessageRow | None:
        """The first message about the same link that waits, apart from this one."""
        where = {"endpoint": beside.endpoint, "link": beside.link, "state": str(MessageState.WAITING)}
        found = self._store.select(MessageRow, where, order_by="number", limit=2)
        return next((row for row in found if row.message != beside.message), None)

    def _with_room(
        self, unit: Unit, now: datetime
    ) -> tuple[Mapping[EndpointId, EndpointRow], Mapping[EndpointId, int]]:
        """The endpoints for which something is due that can start, with how many; messages to former ones end."""
        ready = sorted((due, to) for to, due in self._due.items() if due <= now.isoformat())
        found = self._store.among(EndpointRow, EndpointRow.KEY, [tuple(to) for _, to in ready])
        endpoints = {EndpointId(row.account, row.endpoint): row for row in found}
        healths, busy = self._healths(found), Counter(to for to, _ in self.under_way)
        left, free = MOST_SENT - len(self.under_way), dict[EndpointId, int]()
        for _, to in ready:
            endpoint, health = endpoints.get(to), healths.get(to)
            is_ours = self._assignment.has(to.account)
            if is_ours and endpoint is None:
                unit.remove(MessageRow, messages_to(to.endpoint))
            if not is_ours or endpoint is None or not endpoint.is_on or is_ended(endpoint, health):
                del self._due[to]
                continue
            is_failing = health is not None and health.failures > 0 and health.at >= endpoint.since
            if health and is_failing and health.paused_until > now.isoformat():
                self._due[to] = health.paused_until
                continue
            room = min((1 if is_failing else SLOTS) - busy[to], left)
            if room > 0:
                free[to], left = room, left - room
            elif busy[to]:
                del self._due[to]
        return endpoints, free

    def _healths(self, endpoints: Iterable[EndpointRow]) -> Mapping[EndpointId, EndpointHealthRow]:
        places = [(row.account, row.endpoint) for row in endpoints]
        found = self._store.among(EndpointHealthRow, EndpointHealthRow.KEY, places) if places else ()
        return {EndpointId(row.account, row.endpoint): row for row in found}

    def _to_send(self, row: MessageRow, url: str, now: datetime) -> Send:
        body = dumps(row.body, separators=(",", ":")).encode()
        send = Send(to=row.to, message=row.message, started=row.started, url=url, body=body)
        secrets: SigningSecrets | None = None
        try:
            secrets = self._secrets.signing_secrets(row.account, row.endpoint)
        except CredentialsUnreadable as failure:
            return replace(send, trouble=str(failure))
        if secrets is None:
            return replace(send, trouble="the endpoint has no secret: rotate it")
        return replace(send, headers=signed_headers(row.message, body, secrets.valid(now.timestamp()), now))


def _to_row(
    to: EndpointId, *, message: str, body: dict[str, Any], link: str, number: int, now: datetime, due: str
) -> MessageRow:
    return MessageRow(
        **to._asdict(),
        message=message,
        type=str(body["type"]),
        link=link,
        number=number,
        place=place_of(now, number, message),
        hour=hour_of(now),
        at=now.isoformat(),
        body=body,
        due=due,
    )


def _tried(row: MessageRow, at: str, answer: WebhookAnswer) -> MessageRow:
    attempt = {"at": at, "status": answer.status, "detail": answer.detail, "seconds": answer.seconds}
    return replace(row, attempts=[*row.attempts, attempt][-_MOST_ATTEMPTS:])


def _after(
    row: MessageRow, health: EndpointHealthRow, answer: WebhookAnswer, now: datetime
) -> tuple[MessageRow, EndpointHealthRow]:
    """A message, and how its endpoint does, after this answer."""
    first = row.attempts[-row.tries]["at"] if 0 < row.tries <= len(row.attempts) else row.started
    row = replace(_tried(row, row.started, answer), started="", tries=row.tries + 1)
    at = now.isoformat()
    if answer.is_success:
        return replace(row, state=MessageState.DELIVERED), replace(
            health, at=at, failures=0, failing_since="", paused_until="", ended=""
        )
    failures = health.failures + 1
    pause = pause_after(failures, answer.retry_after)
    paused = (now + timedelta(seconds=pause)).isoformat() if pause else ""
    health = replace(
        health, at=at, failures=failures, failing_since=health.failing_since or row.started or at, paused_until=paused
    )
    if answer.status == GONE:
        return replace(row, state=MessageState.PARKED), replace(health, ended="it answered 410: gone for good")
    wait = wait_after(row.tries, uuid5(NAMESPACE_OID, row.message), answer.retry_after)
    if wait is None:
        ended = "it failed for as long as a message is tried" if health.failing_since <= first else ""
        if ended:
            _log.warning("endpoint is ended", account=row.account, endpoint=row.endpoint)
        return replace(row, state=MessageState.PARKED), replace(health, ended=ended)
    return replace(row, due=(now + timedelta(seconds=wait)).isoformat()), health
