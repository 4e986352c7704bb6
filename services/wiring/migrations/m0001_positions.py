"""Positions of streams in an epoch become positions in logs: by partition the last record that was consumed.

Where records came by Kafka, the version of each history said what was consumed: partition by partition that is all up
to some position in the log, apart from dead letters.
"""

import json
from collections.abc import Iterator

from services.wiring.migrations.script import Migration, PartitionOf


def migrate(found: Migration) -> None:
    """Keep for each partition of each log how far it was consumed."""
    if "tracking" not in found.tables.columns():
        return
    positions = _read_in_place(found) if found.partition_of is None else _by_watermarks(found, found.partition_of)
    for name, at in [*positions]:
        found.tables.execute("INSERT INTO tracking (application_name, notification_id) VALUES (?, ?)", (name, at))
    found.tables.execute("DROP TABLE IF EXISTS watermarks")


def _read_in_place(found: Migration) -> Iterator[tuple[str, int]]:
    rows = found.tables.fetch("SELECT application_name, MAX(notification_id) FROM tracking GROUP BY application_name")
    known = {str(name) for name, _ in rows}
    for name, at in rows:
        _, slash, rest = str(name).partition("/")
        if slash and rest.rpartition("/")[0] in found.logs and rest not in known:
            yield rest, at


def _by_watermarks(found: Migration, partition_of: PartitionOf) -> Iterator[tuple[str, int]]:
    if "watermarks" not in found.tables.columns():
        return
    known: dict[str, int] = dict(found.tables.fetch("SELECT originator, version FROM watermarks"))
    letters = found.tables.fetch("SELECT stream, log_position FROM dead_letters")
    for log, writer in found.logs.items():
        if writer is found.tables or "stored_events" not in writer.columns():
            continue
        dead = {at for stream, at in letters if str(stream).split("/")[-2] == log}
        reached: dict[int, int] = {}
        sql = "SELECT notification_id, originator_id, originator_version, state FROM stored_events ORDER BY 1"
        for at, originator, version, state in writer.fetch(sql):
            if version <= known.get(str(originator), 0) or at in dead:
                reached[partition_of(str(json.loads(bytes(state))["account"]))] = at
        yield from ((f"{log}/{partition}", at) for partition, at in reached.items())
