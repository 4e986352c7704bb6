"""A reading waits out the stops of its target, within reason, and holds up no other call meanwhile."""

from collections.abc import Sequence

import pytest

from adapters.driveri.target import DriveriDrivers
from adapters.http.client import LONGEST_WAITED_OUT, MOST_WAITS, UNLIMITED, RateLimiter
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.failures import Reason, TargetFailed
from tests.unit.adapters.driveri import tenant as driveri
from tests.unit.adapters.motive import company as motive
from tests.unit.adapters.vendor import Answer, Vendor, answer

pytestmark = pytest.mark.anyio


def limited(seconds: float | None) -> Answer:
    return answer(429, headers={} if seconds is None else {"Retry-After": f"{seconds:.0f}"})


def of_motive(vendor: Vendor) -> MotiveDrivers:
    return MotiveDrivers(
        MotiveAccess(base_url="https://motive.test", api_key="hush"),
        transport=vendor.transport,
        rate_limiter=RateLimiter(UNLIMITED, clock=vendor.clock, pause=vendor.pause),
        clock=vendor.clock,
        pause=vendor.pause,
        jitter=lambda: 0.0,
    )


def of_driveri(vendor: Vendor) -> DriveriDrivers:
    return DriveriDrivers(
        driveri.ACCESS,
        transport=vendor.transport,
        rate_limiter=RateLimiter(UNLIMITED, clock=vendor.clock, pause=vendor.pause),
        clock=vendor.clock,
        pause=vendor.pause,
        jitter=lambda: 0.0,
    )


def two_pages(between: Sequence[Answer]) -> list[Answer]:
    """Two full pages; since a full page may be followed by another one, the end shows in the third."""
    first = motive.listed(motive.user(), total=2, per_page=1)
    second = motive.listed(motive.user(number=18), page_no=2, total=2, per_page=1)
    return [first, *between, second, motive.listed(page_no=3, total=2, per_page=1)]


async def keys_of(target: MotiveDrivers | DriveriDrivers) -> list[str]:
    return [seen.key async for page in target.scan() for seen in page]


@pytest.mark.parametrize("seconds", [10.0, LONGEST_WAITED_OUT])
async def test_a_scan_goes_on_behind_the_page_that_a_stop_kept_from_it(seconds: float) -> None:
    vendor = motive.company()
    vendor.on(motive.LIST, *two_pages([limited(seconds)]))
    assert await keys_of(of_motive(vendor)) == ["17", "18"]
    assert [query["page_no"] for query in vendor.queries(motive.LIST)] == ["1", "2", "2", "3"]
    # The call behind the stop waits for the lowered rate too, for less than a millisecond.
    assert vendor.clock() == pytest.approx(seconds, abs=0.001)


async def test_a_scan_of_driveri_waits_out_a_stop_from_its_first_call_on() -> None:
    vendor = driveri.tenant()
    vendor.on(driveri.LIST, limited(60.0), driveri.listed(driveri.row("A1")))
    assert await keys_of(of_driveri(vendor)) == ["A1"]


async def test_a_stop_of_unknown_length_is_waited_out_too() -> None:
    vendor = motive.company()
    vendor.on(motive.LIST, *two_pages([limited(None)] * 15))
    assert await keys_of(of_motive(vendor)) == ["17", "18"]


@pytest.mark.parametrize(("seconds", "questions"), [(LONGEST_WAITED_OUT + 1, 1), (10.0, MOST_WAITS + 1)])
async def test_a_stop_beyond_reason_fails_the_scan(seconds: float, questions: int) -> None:
    vendor = motive.company()
    vendor.on(motive.LIST, limited(seconds))
    with pytest.raises(TargetFailed) as raised:
        await keys_of(of_motive(vendor))
    assert raised.value.failure.reason is Reason.LIMITED
    assert len(vendor.requests) == questions


async def test_a_failure_that_is_not_a_stop_fails_the_scan_at_once() -> None:
    vendor = motive.company()
    vendor.on(motive.LIST, answer(403))
    with pytest.raises(TargetFailed):
        await keys_of(of_motive(vendor))
    assert len(vendor.requests) == 1


async def test_looking_whether_a_driver_is_gone_waits_out_a_stop() -> None:
    vendor = motive.company()
    vendor.on(motive.READ, limited(60.0), motive.NOBODY)
    assert await of_motive(vendor).gone([motive.KEY]) == [motive.KEY]


async def test_a_probe_and_a_single_look_up_wait_for_no_long_stop() -> None:
    vendor = motive.company()
    vendor.on(motive.LIST, limited(60.0))
    vendor.on(motive.READ, limited(60.0))
    target = of_motive(vendor)
    with pytest.raises(TargetFailed):
        await target.probe()
    with pytest.raises(TargetFailed):
        await target.find(motive.KEY, {})
    assert vendor.clock() == 0.0
