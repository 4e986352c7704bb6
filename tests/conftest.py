"""Properties run the same way everywhere: derived from their source, without a clock and without a memory."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.support")

pytest_plugins = ["tests.support.servers.fixtures"]

settings.register_profile("steady", derandomize=True, deadline=None, database=None, max_examples=80)
settings.load_profile("steady")
