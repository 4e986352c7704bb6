"""What waits for a service that does not run ends with a line that says which one, and how to start it."""

from collections.abc import Collection

import pytest

from domain.identity import AccountId, Target
from services.api.installation import PATIENCE, RunningServices, ServiceDown
from services.wiring.registry import SERVICES
from tests.unit.services.api.api_stand import ApiStand, Json, letter, name

pytestmark = pytest.mark.anyio

EVERY = tuple(SERVICES)
DECIDER_IS_DOWN = "decider is not running: start it by `driverlink serve decider`"
MOTIVE_IS_DOWN = "projector-motive is not running: start it by `driverlink serve projector --target motive`"


class Processes:
    """The services that run, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.running: Collection[str] = EVERY
        self.looks = 0

    def look(self) -> Collection[str]:
        self.looks += 1
        return self.running

    def end(self, *names: str) -> None:
        self.running = [each for each in EVERY if each not in names]

    def seen(self) -> RunningServices:
        return RunningServices(SERVICES.values(), self.look, clock=lambda: self.now)


def test_where_all_run_none_is_named() -> None:
    assert Processes().seen().down() == []


def test_each_service_that_does_not_run_is_named_with_the_command_that_starts_it() -> None:
    processes = Processes()
    processes.end("decider", "projector-motive")
    seen = processes.seen()
    assert seen.down() == [DECIDER_IS_DOWN, MOTIVE_IS_DOWN]
    assert seen.down("accounts", "decider") == [DECIDER_IS_DOWN]


def test_one_that_need_not_run_is_missed_only_where_it_is_needed() -> None:
    processes = Processes()
    processes.end("webhooks")
    seen = processes.seen()
    assert seen.down() == []
    assert seen.down("webhooks") == ["webhooks is not running: start it by `driverlink serve webhooks`"]


def test_a_service_that_is_restarted_in_time_is_not_given_up() -> None:
    processes = Processes()
    seen = processes.seen()
    processes.end("decider")
    seen.check("decider")
    processes.now, processes.running = PATIENCE - 1.0, EVERY
    seen.check("decider")
    processes.now = PATIENCE + 2.0
    processes.end("decider")
    seen.check("decider")
    processes.now = 2 * PATIENCE + 2.0
    with pytest.raises(ServiceDown, match="decider is not running"):
        seen.check("decider")
    seen.check("accounts", "intake")


def test_a_service_that_was_down_at_a_look_long_ago_may_be_restarted_again() -> None:
    processes = Processes()
    seen = processes.seen()
    processes.end("decider")
    seen.check("decider")
    processes.now = 3600.0
    seen.check("decider")
    processes.now += PATIENCE
    with pytest.raises(ServiceDown, match="decider is not running"):
        seen.check("decider")


def test_a_look_is_good_for_a_second() -> None:
    processes = Processes()
    seen = processes.seen()
    for moment in (0.0, 0.5, 0.9, 1.0, 1.5):
        processes.now = moment
        seen.down()
    assert processes.looks == 2


async def test_ready_names_what_does_not_run(stand: ApiStand) -> None:
    assert (await stand.get("/ready")).json() == {"ready": True, "down": []}
    processes = Processes()
    processes.end("projector-motive")
    stand.look_at(processes.seen())
    answer = await stand.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "down": [MOTIVE_IS_DOWN]})


async def test_a_reconciliation_that_waits_for_a_service_that_does_not_run_is_stopped(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await stand.post("/accounts/acme/reconciliations", {"by": "jane", "target": "driveri"})
    processes = Processes()
    processes.end("decider", "projector-motive")
    stand.look_at(processes.seen())
    assert (await progress(stand))["stage"] == "waiting"
    processes.now = PATIENCE + 1.0
    stopped = await progress(stand)
    assert (stopped["stage"], stopped["trouble"]) == (
        "stopped",
        f"{DECIDER_IS_DOWN}. What was requested is stored, and goes on when it runs.",
    )


async def test_a_reconciliation_that_is_being_decided_needs_only_the_decider(stand: ApiStand) -> None:
    await stand.set_some_aside()
    await stand.post("/accounts/acme/reconciliations", {"by": "jane", "target": "driveri"})
    stand.step()
    stand.scanned(AccountId("acme"), Target.DRIVERI, version=2, request=3)
    stand.step()
    processes = Processes()
    processes.end("accounts", "projector-driveri")
    stand.look_at(processes.seen())
    for processes.now in (0.0, PATIENCE + 1.0):
        assert (await progress(stand))["stage"] == "deciding"


async def test_an_explanation_of_what_waits_names_the_service_that_does_not_run(stand: ApiStand) -> None:
    await stand.set_some_aside()
    profile = {"first_name": "Joan"}
    await stand.post("/accounts/acme/drivers", {"action": "update", "driver": "1", "profile": profile})
    processes = Processes()
    processes.end("decider")
    stand.look_at(processes.seen())
    explained = (await stand.get("/accounts/acme/explanation", driver="1")).json()["explanation"]
    assert explained["states"][1]["advice"] == f"{DECIDER_IS_DOWN}."


async def test_a_dead_letter_that_waits_for_a_service_that_does_not_run_is_answered_with_503(stand: ApiStand) -> None:
    stand.keep(letter(7))
    await stand.post("/dead-letters/resubmission", {"name": name(7)})
    processes = Processes()
    processes.end("decider")
    stand.look_at(processes.seen())
    assert (await stand.get("/dead-letters/outcome", name=name(7))).json()["became"] == "waiting"
    processes.now = PATIENCE + 1.0
    answer = await stand.get("/dead-letters/outcome", name=name(7))
    assert (answer.status_code, answer.json()["detail"]) == (503, DECIDER_IS_DOWN)


async def progress(stand: ApiStand) -> Json:
    path = "/accounts/acme/reconciliations/progress"
    found: Json = (await stand.get(path, target="driveri", request="3")).json()
    return found
