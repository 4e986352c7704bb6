"""Batches of records as producers send them, also those that our own would not."""

import struct
from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

UNREADABLE = "?" * 7
"""What a name is built as, to be no UTF-8 afterwards."""

Header = tuple[str, bytes | None]


def batch(*records: Sequence[Header]) -> bytes:
    """A batch of records with these headers, whose values are their numbers."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 2**20)
    for number, headers in enumerate(records):
        builder.append(number, 1, None if number % 2 else b"acme", str(number).encode(), list(headers))
    return bytes(builder.build())


def unreadable(data: bytes) -> bytes:
    """The same batch with names that are not UTF-8."""
    return checked(data.replace(UNREADABLE.encode(), b"\xff" * len(UNREADABLE)))


def checked(data: bytes) -> bytes:
    """The same batch with the checksum that it should have."""
    made = bytearray(data)
    struct.pack_into(">I", made, 17, calc_crc32c(bytes(made[21:])))
    return bytes(made)
