"""What every adapter of a port has to keep, as suites that each adapter's tests inherit.

    class TestSqliteStore(StoreContract): ...

with a fixture `stand` beside it that gives what the suite asks for (`stands`).
"""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.committing",
    "tests.contract.histories",
    "tests.contract.lasting",
    "tests.contract.streaming",
    "tests.contract.tables",
)
