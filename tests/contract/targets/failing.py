"""What every call of an account shows that cannot be served at all."""

import pytest

from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key
from domain.ports import TargetDrivers


async def assert_failing(drivers: TargetDrivers, reason: Reason) -> None:
    """Calls are rejected for this reason, and scans, finds and probes fail for the same."""
    answered = await drivers.delete(Key("2"))
    assert isinstance(answered, Rejected)
    assert answered.reason is reason
    with pytest.raises(TargetFailed) as scanned:
        [page async for page in drivers.scan()]
    with pytest.raises(TargetFailed) as found:
        await drivers.find(Key("2"), {})
    with pytest.raises(TargetFailed) as probed:
        await drivers.probe()
    assert scanned.value.failure == found.value.failure == probed.value.failure == answered
