"""Which partition an account is in."""

from aiokafka.partitioner import murmur2


def partition_of(account: str, partitions: int) -> int:
    """The partition of this account in every topic of so many: what Kafka's own clients make of it as a key."""
    return int(murmur2(account.encode()) & 0x7FFFFFFF) % partitions
