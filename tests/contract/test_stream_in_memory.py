import pytest

from tests.contract.streaming import StreamContract
from tests.support.stream_in_memory import StreamInMemory


@pytest.fixture
def stand() -> StreamInMemory:
    return StreamInMemory()


class TestStreamInMemory(StreamContract):
    """The stream that tests of followers read keeps the contract of `Stream`."""
