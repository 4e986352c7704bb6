"""What an adapter promises when its target fails: what comes out is right, or it says that it does not know."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import pytest

from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Key
from domain.matching import ObservedDriver
from domain.ports import Answer, Done, Exists, TargetDrivers
from domain.profile import SPECS, Profile, chosen
from tests.contract.targets.sandboxes import Json, SandboxStand
from tests.contract.targets.stands import People

T = TypeVar("T")

REQUESTS: Final = range(1, 13)
"""Which request of a call is struck; no call makes that many."""

RENAMED: Final = Key("B/9")

BLIPS: Final[Mapping[str, Json]] = {
    "latency": {"fault": "latency", "seconds": 20},
    "429": {"fault": "limited"},
    "429 for a minute": {"fault": "limited", "retry_after": 60},
    "500 after the effect": {"fault": "failing", "status": 500, "has_effect": True},
    "502 after the effect": {"fault": "failing", "status": 502, "has_effect": True},
    "503": {"fault": "failing", "retry_after": 1},
    "503 after the effect": {"fault": "failing", "has_effect": True},
    "reset before the effect": {"fault": "reset_before"},
    "reset after the effect": {"fault": "reset_after"},
    "truncated": {"fault": "truncated"},
    "malformed": {"fault": "malformed"},
    "senseless": {"fault": "senseless"},
    "empty": {"fault": "empty"},
    "senseless without effect": {"fault": "senseless", "has_effect": False},
    "empty without effect": {"fault": "empty", "has_effect": False},
    "web page": {"fault": "web_page"},
    "web page as a success": {"fault": "web_page", "status": 200},
    "web page as a miss": {"fault": "web_page", "status": 404},
    "expired token": {"fault": "expired_token"},
    "third token": {"fault": "third_token"},
}
"""Faults of one request."""

MOVES: Final[Mapping[str, Json]] = {
    "reordered": {"fault": "reordered", "seed": 1},
    **{shift: {"fault": "shifted", "shift": shift} for shift in ("left", "came", "to_end", "to_front")},
}
"""Faults of a list that is read page by page."""

STORM: Final[tuple[Json, ...]] = (
    {"fault": "limited", "share": 0.3},
    {"fault": "reset_before", "share": 0.1},
    {"fault": "reset_after", "share": 0.1},
    {"fault": "failing", "status": 500, "has_effect": True, "share": 0.1},
    {"fault": "truncated", "share": 0.1},
    {"fault": "empty", "share": 0.1},
    {"fault": "web_page", "share": 0.1},
)
"""More than half of all requests meet something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One kind of call: how it is made, who shows what became of it, and what is shown once it is done."""

    call: Callable[[TargetDrivers, People], Awaitable[Answer]]
    find: Callable[[TargetDrivers, People], Awaitable[ObservedDriver | None]]
    desired: Callable[[People], Profile] = lambda people: people.jane
    active: bool = True


def _renamed(people: People) -> Profile:
    ids = {"portal_driver_id": "p-bob", "driveri_driver_id": RENAMED}
    profile = {"first_name": "Bob", "last_name": "Ray", "email": "bob@fleet.test", **ids}
    return chosen(profile, SPECS[people.target].owned)


def _renamed_key(people: People) -> Key:
    return RENAMED if SPECS[people.target].is_key_desired else people.bob


TRIES: Final[Mapping[str, Try]] = {
    "create": Try(
        call=lambda drivers, people: drivers.create(people.desired_key, people.jane),
        find=lambda drivers, people: drivers.find(people.desired_key, people.jane),
    ),
    "update": Try(
        call=lambda drivers, people: drivers.update(people.bob, people.jane, tuple(people.jane)),
        find=lambda drivers, people: drivers.find(people.bob, {}),
    ),
    "update of a name": Try(
        call=lambda drivers, people: drivers.update(people.bob, people.jane, ["first_name"]),
        find=lambda drivers, people: drivers.find(people.bob, {}),
        desired=lambda people: {"first_name": people.jane["first_name"]},
    ),
    "rename": Try(
        call=lambda drivers, people: drivers.rename(people.bob, RENAMED, _renamed(people)),
        find=lambda drivers, people: drivers.find(_renamed_key(people), {}),
        desired=_renamed,
    ),
    "delete": Try(
        call=lambda drivers, people: drivers.delete(people.bob),
        find=lambda drivers, people: drivers.find(people.bob, {}),
        desired=lambda _: {},
        active=False,
    ),
    "reinstate": Try(
        call=lambda drivers, people: drivers.reinstate(people.departed, people.jane),
        find=lambda drivers, people: drivers.find(people.departed, {}),
    ),
}

CREATE: Final = TRIES["create"]


READINGS: Final[tuple[Callable[[TargetDrivers, People], Awaitable[object]], ...]] = (
    lambda drivers, people: drivers.find(people.bob, {}),
    lambda drivers, people: drivers.find(people.departed, {}),
    lambda drivers, people: drivers.find(people.unknown, {}),
    lambda drivers, people: drivers.find(None, people.jane),
    lambda drivers, _: keys(drivers),
    lambda drivers, people: drivers.gone([people.bob, people.unknown]),
    lambda drivers, _: drivers.probe(),
)


async def is_effective(stand: SandboxStand, one: Try) -> bool:
    """Whether the target really shows what the call was to bring about."""
    found = await one.find(stand.drivers, stand.people)
    return found is not None and found.active is one.active and stand.is_shown(one.desired(stand.people), found)


async def assert_right(stand: SandboxStand, one: Try, answered: Answer) -> None:
    """The answer says nothing but what is true."""
    match answered:
        case Done(seen=seen):
            assert seen.active is one.active
            assert await is_effective(stand, one), answered
        case Exists(seen=seen) if one is CREATE:
            assert seen == await one.find(stand.drivers, stand.people)
        case Unavailable(reason=Reason.NO_ANSWER):
            pass
        case Unavailable() | Rejected(reason=Reason.NOT_EFFECTIVE):
            assert not await is_effective(stand, one), answered
        case _:
            pytest.fail(f"{answered} is a wrong fact")


async def answer_or_failure(reading: Awaitable[T]) -> T | Unavailable:
    """What was read, or why it could not be read for now."""
    try:
        return await reading
    except TargetFailed as failed:
        if isinstance(failed.failure, Rejected):
            raise
        return failed.failure


async def keys(drivers: TargetDrivers) -> list[Key]:
    """The drivers that a scan shows."""
    return sorted([driver.key async for page in drivers.scan() for driver in page])


async def strike(stand: SandboxStand, one: Try, rule: Json) -> bool:
    """Let a fault strike one request of the call, then repeat the call; whether there was such a request."""
    await stand.seed_again()
    bystanders = await stand.bystanders()
    drivers = stand.reconnected()
    await stand.switch_on(rule)
    answered = await one.call(drivers, stand.people)
    [struck] = await stand.switch_off()
    await stand.time.pause(60)
    await assert_right(stand, one, answered)
    assert isinstance(await one.call(drivers, stand.people), Done | Exists)
    assert await is_effective(stand, one)
    assert sum(entry["created"] for entry in await stand.journal()) == (one is CREATE)
    assert await stand.bystanders() == bystanders
    return bool(struck)


@pytest.mark.anyio
class UnderFaults:
    """Inherit it, and give a fixture `stand`, with few drivers."""

    @pytest.mark.parametrize("fault", BLIPS)
    async def test_a_call_is_right_or_unavailable_and_right_when_it_is_repeated(
        self, stand: SandboxStand, fault: str
    ) -> None:
        for one in TRIES.values():
            for number in REQUESTS:
                if not await strike(stand, one, {**BLIPS[fault], "every": number, "times": 1}):
                    break

    @pytest.mark.parametrize("fault", BLIPS)
    async def test_what_is_read_is_so_or_cannot_be_read_now(self, stand: SandboxStand, fault: str) -> None:
        for reading in READINGS:
            truth = await reading(stand.drivers, stand.people)
            for number in REQUESTS:
                drivers = stand.reconnected()
                await stand.switch_on({**BLIPS[fault], "every": number, "times": 1})
                read = await answer_or_failure(reading(drivers, stand.people))
                assert read == truth or isinstance(read, Unavailable)
                if await stand.switch_off() == [0]:
                    break

    async def test_a_create_that_makes_no_driver_is_not_effective_and_can_be_repeated(
        self, stand: SandboxStand
    ) -> None:
        before = await stand.state()
        await stand.switch_on({"fault": "creates_nothing"})
        answered = await CREATE.call(stand.drivers, stand.people)
        await stand.switch_off()
        assert isinstance(answered, Rejected)
        assert answered.reason is Reason.NOT_EFFECTIVE
        assert await stand.state() == before
        assert isinstance(await CREATE.call(stand.drivers, stand.people), Done)

    async def test_no_slot_is_free_until_the_time_that_a_limit_names(self, stand: SandboxStand) -> None:
        await stand.drivers.probe()
        await stand.switch_on({"fault": "limited", "retry_after": 60, "times": 1})
        answered = await stand.drivers.delete(stand.people.bob)
        assert isinstance(answered, Unavailable)
        assert (answered.reason, answered.retry_after, stand.drivers.slots()) == (Reason.LIMITED, 60, 0)
        await stand.time.pause(60)
        assert stand.drivers.slots() > 0
        assert isinstance(await stand.drivers.delete(stand.people.bob), Done)

    @pytest.mark.parametrize("seed", range(5))
    async def test_a_caller_who_looks_before_trying_again_gets_through_a_storm_once(
        self, stand: SandboxStand, seed: int
    ) -> None:
        struck = 0
        for place, one in enumerate(TRIES.values()):
            await stand.seed_again()
            draw = 100 * seed + 10 * place
            await stand.switch_on(*({**rule, "seed": draw + number} for number, rule in enumerate(STORM)))
            await self._get_through(stand, one)
            struck += sum(await stand.switch_off())
            await stand.time.pause(60)
            assert await is_effective(stand, one)
            assert sum(entry["created"] for entry in await stand.journal()) == (one is CREATE)
        assert struck > 0

    async def _get_through(self, stand: SandboxStand, one: Try) -> None:
        for _ in range(100):
            answered = await one.call(stand.drivers, stand.people)
            if not isinstance(answered, Unavailable):
                return
            while isinstance(await answer_or_failure(one.find(stand.drivers, stand.people)), Unavailable):
                await stand.time.pause(60)
        pytest.fail("the storm is too strong")


@pytest.mark.anyio
class ListMoves:
    """Inherit it too where drivers have places in a list, and give a fixture `wide`, with more than a page of them.

    A list that goes on behind a driver, not behind a place, cannot move so.
    """

    @pytest.mark.parametrize("move", MOVES)
    async def test_a_scan_of_a_list_that_moves_once_shows_everybody(self, wide: SandboxStand, move: str) -> None:
        everybody = await keys(wide.drivers)
        await wide.switch_on({**MOVES[move], "times": 1})
        assert await keys(wide.drivers) == everybody
        assert await wide.switch_off() == [1]

    @pytest.mark.parametrize("move", MOVES)
    async def test_a_scan_of_a_list_that_always_moves_shows_everybody_or_fails(
        self, wide: SandboxStand, move: str
    ) -> None:
        everybody = await keys(wide.drivers)
        await wide.switch_on(MOVES[move])
        shown = await answer_or_failure(keys(wide.drivers))
        assert shown == everybody or isinstance(shown, Unavailable)
        assert (await wide.switch_off())[0] > 0

    @pytest.mark.parametrize("move", MOVES)
    async def test_a_find_says_the_truth_of_a_list_that_moves(self, stand: SandboxStand, move: str) -> None:
        people = stand.people
        for key in (people.bob, people.departed, people.unknown):
            truth = await stand.drivers.find(key, {})
            await stand.switch_on(MOVES[move])
            found = await answer_or_failure(stand.drivers.find(key, {}))
            await stand.switch_off()
            assert found == truth or isinstance(found, Unavailable)
