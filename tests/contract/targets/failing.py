"""What every call of an account shows that cannot be served at all."""

import pytest

from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key
from domain.ports import TargetDrivers


async def assert_failing(drivers: TargetDrivers, reason: Reason) -> None:
    """Calls are rejected for this reason, and walks, finds and probes fail for the same."""
    answered = await drivers.delete(Key("2"))
    assert isinstance(answered, Rejected)
    assert answered.reason is reason
    with pytest.raises(TargetFailed) as walked:
        [page async for page in drivers.walk()]
    with pytest.raises(TargetFailed) as found:
        await drivers.find(Key("2"), {})
    with pytest.raises(TargetFailed) as probed:
        await drivers.probe()
    assert walked.value.failure == found.value.failure == probed.value.failure == answered
