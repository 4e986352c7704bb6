import pytest

from adapters.kafka.topics import partition_of


@pytest.mark.parametrize(
    ("account", "partition"),
    # What Kafka's own Java clients make of these keys in a topic of 12 partitions.
    [("", 9), ("acme", 0), ("other", 10), ("sample-fleet", 5), ("Zoë Ltd", 3), ("4711", 10)],
)
def test_an_account_is_where_kafkas_own_clients_put_its_key(account: str, partition: int) -> None:
    assert partition_of(account, 12) == partition
