"""Every golden capsule comes out as it did when it was made; and a change of a rule or of a call is seen in one."""

import asyncio
from collections.abc import Sequence

import pytest

from domain import deciding
from domain.driver_link import CreateDecided
from domain.identity import Key, Target
from domain.ports import Answer, TargetDrivers
from domain.situations import Resolution
from services.capsules.calling import ReplayedCall
from services.capsules.capsule import read
from services.capsules.deciding import ReplayedDecision
from services.capsules.replay import ReplayStep, replay_whole
from services.projector import calls
from services.projector.read_models import Delivery
from tests.golden.made_capsules import FOLDER, STORIES, made

CAPSULES = sorted(FOLDER.glob("*.json"))


def replayed(name: str) -> Sequence[ReplayStep]:
    return asyncio.run(replay_whole(read((FOLDER / f"{name}.json").read_bytes())))


def differing(name: str) -> list[ReplayStep]:
    return [each for each in replayed(name) if not each.is_equal]


def test_there_is_a_capsule_of_each_story() -> None:
    assert {path.stem for path in CAPSULES} == {*STORIES}, "run `make capsules`"


@pytest.mark.parametrize("name", STORIES)
def test_a_capsule_comes_out_as_it_did(name: str) -> None:
    steps = replayed(name)
    assert [each for each in steps if not each.is_equal] == []
    called = [each for each in steps if isinstance(each, ReplayedCall)]
    decided = [each for each in steps if isinstance(each, ReplayedDecision)]
    assert {each.decision.target for each in called} == {*map(str, Target)}
    assert [each for each in called if each.untried or not each.exchanged] == []
    assert len(decided) > 2


def test_a_capsule_that_is_made_now_comes_out_so_too() -> None:
    steps = asyncio.run(replay_whole(read(made("adopt"))))
    assert len(steps) > 2
    assert all(each.is_equal for each in steps)


def test_a_decision_that_is_not_made_any_more_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(deciding._RESOLVE, Resolution.RENAME, deciding._nothing)
    first, *_ = differing("chain")
    assert isinstance(first, ReplayedDecision)
    assert [type(each).__name__ for each in first.then] == ["Released", "RenameDecided"]
    assert [type(each).__name__ for each in first.now] == ["Released"]
    assert differing("re-hire") == []


def test_a_rule_that_holds_no_mass_delete_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.guard.Guard.lets_through", lambda _guard, _driver: True)
    first, *_ = differing("mass-delete")
    assert isinstance(first, ReplayedDecision)
    assert [type(each).__name__ for each in (*first.then, *first.now)] == ["DeleteHeld"] * 2 + ["DeleteDecided"] * 2


def test_a_call_that_is_not_read_back_any_more_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def not_at_all(*_: object) -> None:
        return None

    monkeypatch.setattr(calls, "read_back", not_at_all)
    found = [each for each in differing("timeout") if isinstance(each, ReplayedCall)]
    assert {each.decision.target for each in found} == {*map(str, Target)}
    assert all("exchanges" in each.differing for each in found)
    assert differing("adopt") == []


def test_another_call_for_a_decision_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_at_once(delivery: Delivery, drivers: TargetDrivers) -> Answer:
        key = Key(delivery.desired_key) if delivery.desired_key else None
        if key is None or delivery.fact == CreateDecided.TOPIC:
            return await drivers.create(key, delivery.profile)
        return await drivers.reinstate(key, delivery.profile)

    monkeypatch.setattr(calls, "_call", all_at_once)
    first, *_ = differing("drift")
    assert isinstance(first, ReplayedCall)
