"""A stand-in of both targets, in a process of its own: as cheap as can be, with rosters of any size.

`python -m tests.benchmarks.stand_in DRIVERS` says its address, and serves until its input ends. Each account is called
after the number of its first driver, and has as many drivers at both targets as it is told, with what the Portal states
of them. Only what is written otherwise is kept, so a million drivers take no memory before they change, and the moment
at which each update of a last name began to arrive is noted.

It checks nothing, so it shows nothing about the product but how fast it is; the sandboxes are for everything else.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

import httpx
from starlette.types import Receive, Scope, Send

from adapters.driveri.wire import to_wire as to_driveri
from adapters.motive.target import new_ids
from adapters.motive.wire import MotiveAccess
from adapters.motive.wire import to_wire as to_motive
from domain.identity import Target
from services.sandbox.demo import RunningSandboxes
from services.sandbox.serving import listening
from tests.benchmarks.fleet import driver_of, edition_of, first_of, number_of, profile
from tests.benchmarks.processes import serving

Json = dict[str, Any]

_STATUSES = [{"status": 1, "description": "Active"}, {"status": 5, "description": "Deleted"}]
_ACCESS = MotiveAccess(base_url="http://127.0.0.1")
_STATED: Mapping[Target, Callable[[dict[str, str]], Mapping[str, Any]]] = {
    Target.DRIVERI: to_driveri,
    Target.MOTIVE: to_motive,
}
_LAST_NAME = {Target.DRIVERI: "lastName", Target.MOTIVE: "last_name"}
_MESSAGE = {"data": {"message": "ok"}}
_LASTING = 4_000_000_000_000
"""Milliseconds since the epoch: no token ends in between."""


class StandIn:
    """Both targets as one ASGI application."""

    def __init__(self, drivers: int) -> None:
        self._drivers = drivers
        self._written: dict[tuple[Target, int], Json] = {}
        self._moments: dict[Target, list[tuple[int, int, float]]] = {target: [] for target in Target}
        self._calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call; ASGI's own signature."""
        at, body, more = perf_counter(), b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        status, answer = self._answer(scope, json.loads(body) if body else {}, at)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, scope: Scope, body: Json, at: float) -> tuple[int, object]:
        self._calls += 1
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        place = (scope["method"], *scope["path"].strip("/").split("/"))
        account = dict(scope["headers"]).get(b"x-api-key", b"").decode()
        answer = self._motive(place, account, query, body, at) if account else self._driveri(place, query, body, at)
        if place == ("GET", "noted"):
            moments, self._moments = self._moments, {target: [] for target in Target}
            answer = {"calls": self._calls, "moments": moments}
        return (200, answer) if answer else (501, {"error_message": "the stand-in does not have this call"})

    def _driveri(self, place: tuple[str, ...], query: Mapping[str, str], body: Json, at: float) -> Json | None:
        match place:
            case "GET", "v1", "auth", "tokens":
                return {"data": []}
            case "POST", "v1", "auth", "token":
                return {"data": {"accessToken": "token", "expiresOn": _LASTING}}
            case "GET", "v1", "tenants", _, "configurations":
                return {"data": {"configuration": {"driverStatus": _STATUSES}}}
            case "GET", "v1", "tenants", tenant, "drivers":
                return self._driveri_page(tenant, int(query["offset"]), int(query["limit"]))
            case "GET", "v1", "tenants", _, "driver":
                return {"data": {"drivers": [self._driver(number_of(query["driverId"]))]}}
            case "PUT", "v1", "tenants", _, "drivers", key:
                self._write(Target.DRIVERI, number_of(key), body, at)
                return _MESSAGE
            case "DELETE", "v1", "auth", "token", "revoke":
                return _MESSAGE
        return None

    def _motive(
        self, place: tuple[str, ...], account: str, query: Mapping[str, str], body: Json, at: float
    ) -> Json | None:
        match place:
            case "GET", "v1", "users":
                return self._motive_page(account, int(query["page_no"]), int(query["per_page"]))
            case "GET", "v1", "users", key:
                return {"user": self._user(account, int(key))}
            case "PUT", "v1", "users", key:
                self._write(Target.MOTIVE, int(key), body, at)
                return {"user": self._user(account, int(key))}
        return None

    def _driveri_page(self, tenant: str, offset: int, limit: int) -> Json:
        drivers = [self._driver(number) for number in self._numbers(tenant)[offset : offset + limit]]
        end = offset + limit
        following = f"http://127.0.0.1/drivers?offset={end}&limit={limit}" if end < self._drivers else None
        return {"data": {"drivers": drivers}, "links": {"next": following}, "totalCount": self._drivers}

    def _motive_page(self, account: str, number: int, size: int) -> Json:
        users = [
            {"user": self._user(account, each)} for each in self._numbers(account)[(number - 1) * size : number * size]
        ]
        return {"users": users, "pagination": {"per_page": size, "page_no": number, "total": self._drivers}}

    def _numbers(self, account: str) -> range:
        first = first_of(account)
        return range(first, first + self._drivers)

    def _driver(self, number: int) -> Json:
        known = profile(number)
        shown = {**to_driveri(known), **self._written.get((Target.DRIVERI, number), {})}
        group = {"groupName": known["driveri_group"], "groupUniqueName": known["driveri_group"]}
        return {**shown, "phone": None, "driverId": known["driveri_driver_id"], "status": 1, "group": group}

    def _user(self, account: str, number: int) -> Json:
        known = {**profile(number), "portal_driver_id": driver_of(account, number)}
        shown = {**to_motive(known), "external_ids": new_ids(known, _ACCESS)}
        written = self._written.get((Target.MOTIVE, number), {})
        return {"id": number, "role": "driver", "status": "active", **shown, **written}

    def _write(self, target: Target, number: int, body: Json, at: float) -> None:
        written = self._written.get((target, number), {})
        stated = _STATED[target](profile(number))
        if changed := {name: value for name, value in body.items() if value != written.get(name, stated.get(name))}:
            self._written[target, number] = {**written, **changed}
        if name := body.get(_LAST_NAME[target]):
            self._moments[target].append((number, edition_of(name), at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What a stand-in has noted: all calls, and each update that came since the last look, which is then forgotten.

    `moments` are the driver's number, the edition, and when it began to arrive, as `perf_counter` counts on a machine.
    """

    calls: int
    moments: Mapping[Target, Sequence[tuple[int, int, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Where a stand-in listens."""

    url: str
    process: int

    @property
    def running(self) -> RunningSandboxes:
        """The addresses of both targets, which are the same."""
        return RunningSandboxes(driveri=self.url, motive=self.url)

    def noted(self) -> Noted:
        """What it has noted."""
        noted: Json = _asking(self.url).get("/noted").json()
        moments = {
            Target(name): [(int(n), int(e), float(at)) for n, e, at in each] for name, each in noted["moments"].items()
        }
        return Noted(calls=noted["calls"], moments=moments)


@cache
def _asking(url: str) -> httpx.Client:
    """What asks a stand-in what it has noted: a client for each look would load all certificates each time."""
    return httpx.Client(base_url=url, timeout=30.0)


@contextmanager
def standing_in(drivers: int) -> Iterator[Targets]:
    """While this lasts, a process stands in for both targets, where each account has this many drivers."""
    with serving("tests.benchmarks.stand_in", str(drivers)) as (process, said):
        yield Targets(url=said(), process=process)


def credentials(target: Target, account: str) -> dict[str, str]:
    """What this account is connected with."""
    if target is Target.MOTIVE:
        return {"api_key": account}
    return {"tenant": account, "client_id": account, "client_secret": account}


async def _serve(drivers: int) -> None:
    async with listening(StandIn(drivers)) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
