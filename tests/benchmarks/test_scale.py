from collections.abc import Callable

import pytest

from tests.benchmarks.fleet import Fleet
from tests.benchmarks.scale import Json, Shape, for_each_account


def test_an_interrupted_run_goes_on_behind_the_last_account() -> None:
    seen: list[str] = []
    kept = Json()

    def interrupted_at(account: str) -> Callable[[Fleet], None]:
        def work(fleet: Fleet) -> None:
            if fleet.account == account:
                raise KeyboardInterrupt
            seen.append(fleet.account)

        return work

    shape = Shape(accounts=4, drivers=10)
    with pytest.raises(KeyboardInterrupt):
        for_each_account(shape, kept, interrupted_at("fleet-21"), lambda _: None)
    for_each_account(shape, kept, interrupted_at(""), lambda _: None)
    assert seen == ["fleet-1", "fleet-11", "fleet-21", "fleet-31"]
