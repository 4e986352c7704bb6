"""The twins that other tests put in the place of targets keep what the real ones promise."""

import pytest

from domain.failures import Reason, TargetFailed, Unavailable
from tests.contract.targets.drivers import DriveriContract, MotiveContract
from tests.contract.targets.twins import TwinStand, driveri_twin, motive_twin


class TestDriveriTwin(DriveriContract):
    """The twin of Driveri."""

    @pytest.fixture
    def stand(self) -> TwinStand:
        return driveri_twin()


class TestMotiveTwin(MotiveContract):
    """The twin of Motive."""

    @pytest.fixture
    def stand(self) -> TwinStand:
        return motive_twin()


@pytest.mark.anyio
async def test_a_twin_without_room_says_so_and_one_that_fails_fails_its_probe() -> None:
    stand = driveri_twin()
    stand.twin.places = 0
    assert stand.drivers.slots() == 0
    stand.twin.fail_next(Unavailable(reason=Reason.DOWN, detail="down"))
    with pytest.raises(TargetFailed):
        await stand.drivers.probe()
