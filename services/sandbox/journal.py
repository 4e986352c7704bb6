"""Every write that reached a vendor's API, in order, and what it really changed."""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.sandbox.faults.faults import fault_of
from services.sandbox.state import Now

LONGEST_JOURNAL: Final = 10_000
"""Entries that are kept, the newest; each takes about 600 bytes."""

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_ABOUT_TOKENS = ("/v1/auth/", "/oauth/")
_WRITES_BY_GET = frozenset({"/v2/driver/create", "/v2/driver/update", "/v2/driver/delete"})
_WRITE = "sandbox.write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a driver stood at one moment: its key, and its status in the vendor's own terms."""

    key: str
    status: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one write did to one driver; `changed` names the fields whose stored value is another one now.

    `fingerprint` stands for what these fields hold now, without showing it; empty where nothing changed.
    """

    before: Seen | None = None
    after: Seen | None = None
    created: bool = False
    changed: tuple[str, ...] = ()
    fingerprint: str = ""


NO_EFFECT = Effect()


def fingerprint_of(stored: Mapping[str, object], changed: Sequence[str]) -> str:
    """A digest of the stored values of the changed fields."""
    values = repr([stored.get(name) for name in changed])
    return sha256(values.encode("utf-8", "backslashreplace")).hexdigest()[:16] if changed else ""


@dataclass(slots=True, kw_only=True)
class Write:
    """What the endpoints found out about one write request while they served it."""

    owner: str | None = None
    effects: list[Effect] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal. `at` is in milliseconds since the epoch; `owner` is the tenant or company.

    `status` is what the API answered, or what turned the call away before; None where a reset did. `fault` names the
    fault that the call met, if any.
    """

    number: int
    at: int
    owner: str | None
    method: str
    path: str
    status: int | None
    fault: str | None
    effect: Effect

    def shown(self, owner_word: str) -> dict[str, object]:
        """The line as JSON, with the vendor's word for its owner."""
        effect = asdict(self.effect)
        driver = self.effect.after.key if self.effect.after else None
        return {
            "number": self.number,
            "at": self.at,
            owner_word: self.owner,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "fault": self.fault,
            "driver": driver,
            **effect,
        }


class Journal:
    """The newest entries since the last seeding; numbers go on over a seeding, so that a reader never goes astray."""

    def __init__(self, owner_word: str, longest: int = LONGEST_JOURNAL) -> None:
        self._owner_word = owner_word
        self._entries: deque[Entry] = deque(maxlen=longest)
        self._seeded = 0
        self.last = 0
        """The number of the newest entry ever written, 0 before the first."""

    @property
    def dropped(self) -> int:
        """The number of the newest entry since the seeding that is not kept any more; 0 if all are kept."""
        oldest = self.last - len(self._entries)
        return oldest if oldest > self._seeded else 0

    def record(
        self, *, at: int, method: str, path: str, status: int | None, write: Write, fault: str | None = None
    ) -> None:
        """Write down one request: an entry for each driver it was about, or one without a driver."""
        for effect in write.effects or (NO_EFFECT,):
            self.last += 1
            self._entries.append(
                Entry(
                    number=self.last,
                    at=at,
                    owner=write.owner,
                    method=method,
                    path=path,
                    status=status,
                    fault=fault,
                    effect=effect,
                )
            )

    def shown(self, *, after: int, limit: int) -> Sequence[dict[str, object]]:
        """At most `limit` entries with numbers above `after`, oldest first, as JSON."""
        start = max(after - (self.last - len(self._entries)), 0)
        return [entry.shown(self._owner_word) for entry in islice(self._entries, start, start + limit)]

    def forget(self) -> None:
        """Drop all entries; the next one carries the next number all the same."""
        self._seeded = self.last
        self._entries.clear()


class Journalling:
    """ASGI middleware that records each write to the API, except those about tokens, when its answer starts.

    Between a change of the state and the start of the answer nothing else runs, so the journal has the order in
    which the writes took effect.
    """

    def __init__(self, app: ASGIApp, journal: Journal, now: Now) -> None:
        self._app = app
        self._journal = journal
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; ASGI's own signature."""
        if scope["type"] != "http" or not _is_told(scope):
            await self._app(scope, receive, send)
            return
        scope[_WRITE] = Write()

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._record(scope, message["status"])
            await send(message)

        with suppress(ClientDisconnect):
            await self._app(scope, receive, send_and_record)

    def record_refusal(self, scope: Scope, owner: str | None, status: int | None) -> None:
        """Write down a call that a fault turned away; None is the status of one that got no answer."""
        if _is_told(scope):
            scope[_WRITE] = Write(owner=owner)
            self._record(scope, status)

    def _record(self, scope: Scope, status: int | None) -> None:
        self._journal.record(
            at=self._now(),
            method=scope["method"],
            path=scope["path"],
            status=status,
            write=scope[_WRITE],
            fault=fault_of(scope),
        )


def _is_told(scope: Scope) -> bool:
    is_write = scope["method"] not in _READS or scope["path"] in _WRITES_BY_GET
    return is_write and not scope["path"].startswith(_ABOUT_TOKENS)


def note_owner(request: Request, owner: str) -> None:
    """Say whose data the request is about; of no consequence when it is a read."""
    if _WRITE in request.scope:
        request.scope[_WRITE].owner = owner


def effect_of(before: Seen | None, after: Seen, stored: Mapping[str, object], changed: tuple[str, ...]) -> Effect:
    """What a write did that left this `stored`, with other values in the `changed` fields."""
    return Effect(
        before=before,
        after=after,
        created=before is None,
        changed=changed,
        fingerprint=fingerprint_of(stored, changed),
    )


def note_effect(request: Request, effect: Effect) -> None:
    """Say what a write did to one driver."""
    request.scope[_WRITE].effects.append(effect)
