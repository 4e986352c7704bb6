"""Makes the calls of a capsule's decisions again: the real projector and adapters, against the sandboxes.

A sandbox begins with what the target had shown when the decision was made, and what its answer showed. Where a request
failed then, the same request fails now, by a fault of the sandbox. What is exchanged, and what comes of it, is compared
with what the capsule says.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from starlette.applications import Starlette

from domain.cleaning import to_rails
from domain.driver_link import CreateDecided, Decision, DriverLink
from domain.failures import Reason, Rejected
from domain.identity import Key, Target
from domain.matching import ObservedDriver, key_identifier
from domain.outcomes import CallAnswered, Outcome
from domain.ports import Exchange, TargetDrivers, noted_exchanges
from domain.profile import SPECS, is_erased, to_change
from domain.store import Store
from services.capsules.capsule import Capsule, Facts
from services.capsules.deciding import ERASED
from services.projector.breaker import Breakers
from services.projector.calls import Attempt, Connected, TargetCaller
from services.projector.deliveries import Deliveries, Outcomes
from services.projector.erasing import ErasedDrivers
from services.projector.scans import Freshness
from services.runtime.context import Assignment
from services.sandbox import driveri, motive
from services.sandbox.state import SeedRefused
from services.wiring.connections import connected_by_key

_TENANT: Final = "replay"
_KEY: Final = ("replay", "replay-key")
_URL: Final = "http://sandbox.invalid"
_READS: Final = frozenset({"GET", "HEAD"})
_WRITES: Final = ["POST", "PUT", "DELETE"]
_TOKENS: Final = ("/v1/auth/", "/oauth/")
_SUCCESS: Final = 2
_LIMITED: Final = 429
_SERVER: Final = 500
_OF_SEED: Final = frozenset({Reason.TAKEN_ELSEWHERE, Reason.FOREIGN_ROLE})
"""Reasons that a sandbox finds of its own, since it begins so."""

_REFUSED: Final = frozenset({400, 401, 403, 409, 422})
_LONGEST_BACKOFF: Final = timedelta(days=2)

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedCall:
    """What a target answered to one decision: then, and what its sandbox does now.

    `exchanged` are the requests of now; `then` has its own, where they were kept. `untried` says why the call was not
    made again; empty where it was.
    """

    at: datetime
    decision: Decision
    then: CallAnswered
    now: CallAnswered | None
    exchanged: Sequence[Exchange] = ()
    untried: str = ""

    @property
    def differing(self) -> Sequence[str]:
        """In what the two answers differ."""
        if self.untried:
            return ()
        if self.now is None:
            return ("no call was made",)
        return [*_differences(self.decision, self.then, self.now), *self._exchanged_otherwise()]

    @property
    def is_equal(self) -> bool:
        """Whether the same comes of it now."""
        return not self.differing

    def _exchanged_otherwise(self) -> Sequence[str]:
        if not self.then.exchanges:
            return ()
        then = [(each["method"], each["route"]) for each in self.then.exchanges if _is_about_drivers(each["route"])]
        now = [(each.method, each.route) for each in self.exchanged if _is_about_drivers(each.route)]
        return () if then == now else ("exchanges",)


def _is_about_drivers(route: str) -> bool:
    """Tokens and configurations are asked for once for many calls, so whose they are is chance."""
    return not route.startswith(_TOKENS) and not route.endswith("/configurations")


def _differences(decision: Decision, then: CallAnswered, now: CallAnswered) -> Iterator[str]:
    """The names of what differs; a key that the target gives is another one in each target."""
    is_given = isinstance(decision, CreateDecided) and not SPECS[Target(decision.target)].is_key_desired
    for name in ("outcome", "reason", "active", "left"):
        if getattr(then, name) != getattr(now, name):
            yield name
    if (then.key is None, then.key if not is_given else "") != (now.key is None, now.key if not is_given else ""):
        yield "key"
    target = Target(decision.target)
    shown = {*to_change(target, then.profile, now.profile), *to_change(target, now.profile, then.profile)}
    is_shown = then.active and now.active and then.is_shown and now.is_shown
    if is_shown and shown:
        yield f"profile ({', '.join(sorted(shown))})"


class CallingAgain:
    """Carries decisions out against sandboxes. `open_store` gives an empty store of the projector of a target."""

    def __init__(self, capsule: Capsule, open_store: Callable[[Target], AbstractContextManager[Store]]) -> None:
        self._capsule = capsule
        self._open_store = open_store

    async def steps(
        self, decision: Decision, link: DriverLink, accounts: Facts, shown: Iterable[ObservedDriver]
    ) -> list[ReplayedCall]:
        """Each answer to a decision, made when the link and the account stood so and the target had shown this."""
        answers = self._answers(decision)
        if not answers:
            return []
        untried = ERASED if is_erased(decision.profile) else next(filter(None, map(_untried, answers)), "")
        if not untried:
            try:
                return await self._made(decision, link, accounts, shown, answers)
            except SeedRefused as refused:
                untried = f"the sandbox cannot be as the target was: {refused}"
        return [ReplayedCall(at=each.at, decision=decision, then=each, now=None, untried=untried) for each in answers]

    def _answers(self, decision: Decision) -> list[CallAnswered]:
        return [
            each
            for facts in self._capsule.facts.values()
            for _, each in facts
            if isinstance(each, CallAnswered)
            and (each.driver, each.target, each.decision)
            == (decision.driver, decision.target, decision.originator_version)
        ]

    async def _made(
        self,
        decision: Decision,
        link: DriverLink,
        accounts: Facts,
        shown: Iterable[ObservedDriver],
        answers: Sequence[CallAnswered],
    ) -> list[ReplayedCall]:
        target, time = Target(decision.target), _Time(decision.at)
        people = _as_it_was(target, decision, link, shown, answers)
        sandbox = _Sandbox(target, time, people, answers, decision)
        steps: list[ReplayedCall] = []
        with self._open_store(target) as store:
            projector = _Projector(store, target, time, sandbox.drivers)
            try:
                projector.begin(accounts, decision)
                for answer in answers:
                    await sandbox.expect(answer, answers)
                    now, exchanged = await projector.attempt()
                    steps.append(
                        ReplayedCall(at=answer.at, decision=decision, then=answer, now=now, exchanged=exchanged)
                    )
            finally:
                await sandbox.drivers.close()
        return steps


def _untried(answer: CallAnswered) -> str:
    """Why no sandbox can do what the target did then; empty where it can."""
    match answer.reason:
        case Reason.NOT_CONFIGURED:
            return "the account had no credentials, or no status of this name"
        case Reason.NOT_RESTORED:
            return "external ids of another integration were lost, and a capsule has none of those"
    return ""


class _Time:
    """The time of a replay: it passes only while something waits."""

    def __init__(self, at: datetime) -> None:
        self.now = at.timestamp()

    def __call__(self) -> float:
        return self.now

    def milliseconds(self) -> int:
        return int(self.now * 1000)

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    async def pause(self, seconds: float) -> None:
        self.now += seconds


class _Projector:
    """The deliveries of one target's projector, with one decision."""

    def __init__(self, store: Store, target: Target, time: _Time, drivers: TargetDrivers) -> None:
        self._store = store
        self._target = target
        self._time = time
        clock, assignment, freshness = time.moment, Assignment(), Freshness()
        breakers = Breakers(store, target, clock, assignment)
        self._breakers = breakers
        self._deliveries = Deliveries(
            store,
            target,
            clock,
            assignment,
            database=store,
            connected=Connected(lambda _: drivers),
            breakers=breakers,
            outcomes=Outcomes(store, target, clock, breakers, freshness),
            erased=ErasedDrivers(store, target, clock, assignment, freshness, destroy=len),
        )
        self._begun: list[tuple[Attempt, TargetDrivers | Rejected]] = []

    def begin(self, accounts: Facts, decision: Decision) -> None:
        """Consume the account as it was, and the decision."""
        self._store.commit(self._deliveries.on_accounts(accounts))
        self._deliveries.begin_by(self._begun.extend)
        self._deliveries.turn([])
        unit = self._deliveries.on_decisions([(1, decision)])
        self._store.commit(unit)
        self._deliveries.on_stored(unit)

    async def attempt(self) -> tuple[CallAnswered | None, Sequence[Exchange]]:
        """Make the next attempt that is due, waiting for it; the answer that is stored, and what was exchanged."""
        before = self._store.log.end()
        wait = self._deliveries.turn([])
        if not self._begun and timedelta(0) < timedelta(seconds=min(wait, 1e8)) <= _LONGEST_BACKOFF:
            await self._time.pause(wait + 1)
            self._deliveries.turn([])
        if not self._begun:
            return None, ()
        ((attempt, drivers),) = self._begun
        self._begun.clear()
        with noted_exchanges() as exchanges:
            result = drivers if isinstance(drivers, Rejected) else await self._caller(drivers).make(attempt)
        self._deliveries.turn([(replace(attempt, exchanges=tuple(exchanges)), result)])
        stored = [each.event for each in self._store.log.read(before, 10)]
        return next((each for each in stored if isinstance(each, CallAnswered)), None), exchanges

    def _caller(self, drivers: TargetDrivers) -> TargetCaller:
        async def may_repeat(attempt: Attempt) -> bool:
            return self._deliveries.is_due(attempt)

        return TargetCaller(target=self._target, drivers=drivers, pause=self._time.pause, may_repeat=may_repeat)


def _as_it_was(
    target: Target,
    decision: Decision,
    link: DriverLink,
    shown: Iterable[ObservedDriver],
    answers: Sequence[CallAnswered],
) -> list[ObservedDriver]:
    """The drivers that the target had: what it had shown, corrected by what its answers showed."""
    found = {key_identifier(target, each.key): each for each in shown}
    for name in {decision.key, decision.desired_key} - {None}:
        # A driver that the link has, and nothing has shown since.
        identifier = key_identifier(target, Key(name or ""))
        if name == link.key and identifier not in found:
            found[identifier] = ObservedDriver(key=Key(name or ""), active=True, profile=link.confirmed or {})
    for answer in answers:
        if answer.outcome == Outcome.EXISTS and answer.key:
            seen = ObservedDriver(key=Key(answer.key), active=answer.active, profile=answer.profile)
            found[key_identifier(target, seen.key)] = seen
        if answer.outcome == Outcome.MISSING and answer.left:
            found.pop(key_identifier(target, Key(answer.left)), None)
    return [*found.values()]


class _Sandbox:
    """A target's sandbox, without a socket, and the adapter in front of it."""

    def __init__(
        self,
        target: Target,
        time: _Time,
        people: Sequence[ObservedDriver],
        answers: Sequence[CallAnswered],
        decision: Decision,
    ) -> None:
        """Raises `SeedRefused`."""
        self._target = target
        seed = _SEEDS[target](people, answers, decision)
        applications: Mapping[Target, Callable[[], Starlette]] = {
            Target.DRIVERI: lambda: driveri.application(seed, time.milliseconds, pause=time.pause),
            Target.MOTIVE: lambda: motive.application(seed, time.milliseconds, pause=time.pause, first_id=1),
        }
        self._app = applications[target]()
        self.drivers = connected_by_key(
            target,
            _URL,
            _KEY,
            _TENANT,
            transport=_InProcess(self._app),
            clock=time,
            pause=time.pause,
            jitter=lambda: 0.0,
        )

    async def expect(self, answer: CallAnswered, answers: Sequence[CallAnswered]) -> None:
        """Let the next attempt meet what the one met that was answered so."""
        has_effect = not any(
            _has_written(each) for each in answers if each.originator_version > answer.originator_version
        )
        rules = _faults(self._target, answer, has_effect=has_effect)
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url=_URL) as client:
            (await client.put("/sandbox/faults", json={"rules": rules})).raise_for_status()


class _InProcess(httpx.ASGITransport):
    """A reset is what it is over a socket."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except ConnectionResetError as reset:
            raise httpx.ReadError(str(reset), request=request) from reset


def _has_written(answer: CallAnswered) -> bool:
    """Whether a write was answered well; where exchanges were not kept, it was."""
    if not answer.exchanges:
        return answer.outcome != Outcome.DEFERRED
    return any(
        each["method"] not in _READS and each["status"] // 100 == _SUCCESS and _is_about_drivers(each["route"])
        for each in answer.exchanges
    )


def _faults(target: Target, answer: CallAnswered, *, has_effect: bool) -> list[Body]:
    """The rules by which a sandbox fails as the target did; a write without an answer `has_effect` or not."""
    if not answer.exchanges:
        return _faults_of_reason(target, answer.reason, has_effect=has_effect)
    rules: list[Body] = []
    nth: Counter[tuple[str, str]] = Counter()  # Without those that an earlier rule takes, which later rules do not see.
    for each in answer.exchanges:
        method, route, status = str(each["method"]), str(each["route"]), int(each["status"])
        path = _pattern(route)
        nth[method, path] += 1
        is_refused = answer.outcome == Outcome.REFUSED and answer.reason not in _OF_SEED
        fault = _fault(method, status, is_refused=is_refused, has_effect=has_effect)
        if fault:
            rules.append({**fault, "methods": [method], "path": path, "every": nth[method, path], "times": 1})
            nth[method, path] -= 1
    if answer.reason == Reason.NOT_EFFECTIVE:
        rules.append({"fault": "creates_nothing"})
    return rules


def _fault(method: str, status: int, *, is_refused: bool, has_effect: bool) -> Body | None:
    if status == 0:
        return {"fault": "reset_after" if method not in _READS and has_effect else "reset_before"}
    if status == _LIMITED:
        return {"fault": "limited"}
    if status >= _SERVER:
        return {"fault": "failing", "status": status, "has_effect": method not in _READS and has_effect}
    return {"fault": "failing", "status": status} if is_refused and status in _REFUSED else None


def _faults_of_reason(target: Target, reason: str, *, has_effect: bool) -> list[Body]:
    """The same where it was not kept what was exchanged, and only the reason is known."""
    write = {"fault": "reset_after" if has_effect else "reset_before", "methods": _WRITES}
    looks = {Target.DRIVERI: ["*/driver"], Target.MOTIVE: ["/v1/users/*"]}[target]
    match reason:
        case Reason.CREDENTIALS:
            return [{"fault": "failing", "status": 403, "methods": _WRITES, "path": path} for path in _OF_DRIVERS]
        case Reason.INVALID:
            return [{"fault": "failing", "status": 400, "methods": _WRITES, "path": path} for path in _OF_DRIVERS]
        case Reason.LIMITED:
            return [{"fault": "limited", "retry_after": 600}]
        case Reason.DOWN:
            return [{"fault": "failing", "status": 503, "methods": ["GET"]}, {"fault": "limited"}]
        case Reason.NO_ANSWER:
            return [
                *({**write, "path": path} for path in _OF_DRIVERS),
                *({"fault": "reset_before", "methods": ["GET"], "path": path} for path in looks),
            ]
        case Reason.NOT_EFFECTIVE:
            return [{"fault": "creates_nothing"}]
    return []


_OF_DRIVERS: Final = ("*/drivers*", "*/users*")


def _pattern(route: str) -> str:
    """The paths of a route, as a fault names them."""
    ids = {"{tenant}": _TENANT, "{driver}": "*"}
    return "/".join(ids.get(part, "[0-9]*") if part.startswith("{") else part for part in route.split("/"))


def _driveri_seed(people: Sequence[ObservedDriver], _: Sequence[CallAnswered], __: Decision) -> Body:
    drivers = []
    for each in people:
        told: Body = {
            "driverId": each.key,
            "firstName": each.profile.get("first_name", ""),
            "lastName": each.profile.get("last_name"),
            "email": each.profile.get("email"),
            "phone": each.profile.get("phone"),
            "licenceNumber": each.profile.get("licence_number"),
            "licenseState": each.profile.get("licence_state"),
            "licenseCountry": each.profile.get("licence_country"),
        }
        if group := each.profile.get("driveri_group"):
            told["group"] = {"groupName": group, "groupUniqueName": group}
        told["status"] = 1 if each.active else 4
        drivers.append({name: value for name, value in told.items() if value is not None})
    clients = [{"client_id": _KEY[0], "client_secret": _KEY[1]}]
    return {"tenants": [{"tenant": _TENANT, "clients": clients, "drivers": drivers}]}


def _motive_seed(people: Sequence[ObservedDriver], answers: Sequence[CallAnswered], decision: Decision) -> Body:
    foreign = {each.key or "" for each in answers if each.reason == Reason.FOREIGN_ROLE}
    users = []
    for each in people:
        if not each.key.isdecimal():
            raise SeedRefused(f"{each.key} is not the number of a user")
        ids = [("portal_driver_id", "gps_portal"), ("driveri_driver_id", "driveri")]
        zone = each.profile.get("time_zone", "")
        told: Body = {
            "id": int(each.key),
            "role": "fleet_user" if each.key in foreign else "driver",
            "status": "active" if each.active else "deactivated",
            "first_name": each.profile.get("first_name", ""),
            "last_name": each.profile.get("last_name"),
            "email": each.profile.get("email"),
            "phone": each.profile.get("phone"),
            "driver_company_id": each.profile.get("ref_id"),
            "drivers_license_number": each.profile.get("licence_number"),
            "drivers_license_state": each.profile.get("licence_state"),
            "time_zone": (to_rails(zone) or zone) or None,
            "external_ids": [
                {"external_id": each.profile[field], "integration_name": name}
                for field, name in ids
                if field in each.profile
            ],
        }
        users.append({name: value for name, value in told.items() if value is not None})
    is_elsewhere = any(each.reason == Reason.TAKEN_ELSEWHERE for each in answers)
    login = decision.profile.get("email") or f"gps_portal-{decision.driver}"
    company = {"company": _TENANT, "api_key": _KEY[1], "users": users}
    return {"companies": [company], "elsewhere": [login] if is_elsewhere else []}


_SEEDS: Final[Mapping[Target, Callable[[Sequence[ObservedDriver], Sequence[CallAnswered], Decision], Body]]] = {
    Target.DRIVERI: _driveri_seed,
    Target.MOTIVE: _motive_seed,
}
