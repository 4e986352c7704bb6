"""Targets that show only a while later what was written to them."""

from datetime import datetime, timedelta

import pytest

from domain.driver_link import CreateDecided
from domain.failures import BACKOFF_SCHEDULE, LOOK_FOR, Reason, Rejected, Unavailable
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.outcomes import BreakerOpened
from domain.ports import Answer, Done
from domain.profile import Profile
from services.projector.breaker import FAILURES_TO_OPEN
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import TargetTwin
from tests.unit.services.projector.sayings import answered, reported, say, waiting

DRIVERI = Target.DRIVERI
NOT_SHOWN = Rejected(reason=Reason.NOT_EFFECTIVE, detail="answered 201, but the driver is not there")


class LateTwin(TargetTwin):
    """Answers a create well, and shows the driver this many seconds later."""

    def __init__(self, fleet: SteppedServices, lag: float) -> None:
        super().__init__(DRIVERI)
        self.lag = lag
        self._fleet = fleet
        self._shown_from: dict[Key, datetime] = {}

    async def create(self, key: Key | None, profile: Profile) -> Answer:
        answer = await super().create(key, profile)
        if not isinstance(answer, Done):
            return answer
        self._shown_from[answer.seen.key] = self._fleet.now + timedelta(seconds=self.lag)
        return answer if self.lag == 0 else NOT_SHOWN

    async def find(self, key: Key | None, profile: Profile) -> ObservedDriver | None:
        found = await super().find(key, profile)
        is_late = found is not None and self._fleet.now < self._shown_from.get(found.key, self._fleet.now)
        return None if is_late else found


def late(fleet: SteppedServices, lag: float) -> LateTwin:
    twin = LateTwin(fleet, lag)
    assert isinstance(fleet.twins, dict)
    fleet.twins[ACME, DRIVERI] = twin
    return twin


def opened(fleet: SteppedServices) -> int:
    return sum(isinstance(event, BreakerOpened) for event in reported(fleet))


@pytest.mark.parametrize("lag", [0, 0.4, 2, 10])
def test_forty_creates_are_done_once_each_though_they_are_shown_late(fleet: SteppedServices, lag: float) -> None:
    twin = late(fleet, lag)
    for number in range(1, 41):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    while fleet.call(DRIVERI):
        pass
    assert sorted(outcome for _, _, outcome in answered(fleet)) == ["confirmed"] * 40
    assert sum(call.startswith("create") for call in twin.called) == 40
    assert opened(fleet) == 0
    assert waiting(fleet)["started"] == 0


def test_a_create_that_is_shown_long_after_counts_as_done_when_it_is_looked_for_again(fleet: SteppedServices) -> None:
    twin = late(fleet, 60)
    say(fleet, CreateDecided)
    fleet.call(DRIVERI)
    assert twin.called == ["create D1", *["find D1"] * len(LOOK_FOR)]
    fleet.wait(seconds=BACKOFF_SCHEDULE[0] * 1.1)
    fleet.call(DRIVERI)
    assert twin.effects == ["create D1"]
    assert answered(fleet)[-1] == ("p1", 1, "confirmed")


def test_what_was_started_comes_before_what_was_not_when_a_breaker_closes(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, DRIVERI]
    twin.down = "after", Unavailable(reason=Reason.NO_ANSWER, detail="no answer in time")
    for number in range(1, FAILURES_TO_OPEN + 1):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    fleet.call(DRIVERI)
    assert opened(fleet) == 1
    say(fleet, CreateDecided, "p9", desired_key="D9")
    twin.mend()
    fleet.wait(seconds=BACKOFF_SCHEDULE[-1])
    assert fleet.probe(DRIVERI) == 1
    assert sorted(attempt.driver[1] for attempt in fleet.start(DRIVERI, FAILURES_TO_OPEN + 4)) == [
        f"p{n}" for n in range(1, FAILURES_TO_OPEN + 1)
    ]
