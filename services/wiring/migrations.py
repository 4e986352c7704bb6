"""Numbered scripts for what no rebuild can make again: positions, and tables that hold work in hand.

Each is run once in every store, in one transaction with the note that it was, before the store's tables are checked.
A script looks at what is there and leaves alone what it does not know: a new store has no tables yet.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import structlog

from adapters.store.migrating import OldTables, chain_histories, name_events, seal_histories
from domain.ports import ProfileKeys
from services.runtime.consumer import PartitionOf
from services.wiring.registry import SERVICES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Migration:
    """One store to be migrated, and the stores of those who write the logs that it consumes.

    `partition_of` is None in the embedded deployment, where each log is read in place. `keys` seal profiles.
    """

    service: str
    tables: OldTables
    logs: Mapping[str, OldTables]
    partition_of: PartitionOf | None
    keys: ProfileKeys


_Script = Callable[[_Migration], None]
"""Brings the tables of one store to the next version; it does nothing where they are of that version already."""


def _migrate_positions(found: _Migration) -> None:
    """Positions of streams in an epoch become positions in logs: by partition the last record that was consumed.

    Where records came by Kafka, the version of each history said what was consumed: partition by partition that is all
    up to some position in the log, apart from dead letters.
    """
    if "tracking" not in found.tables.columns():
        return
    positions = _read_in_place(found) if found.partition_of is None else _by_watermarks(found, found.partition_of)
    for name, at in [*positions]:
        found.tables.execute("INSERT INTO tracking (application_name, notification_id) VALUES (?, ?)", (name, at))
    found.tables.execute("DROP TABLE IF EXISTS watermarks")


def _read_in_place(found: _Migration) -> Iterator[tuple[str, int]]:
    rows = found.tables.fetch("SELECT application_name, MAX(notification_id) FROM tracking GROUP BY application_name")
    known = {str(name) for name, _ in rows}
    for name, at in rows:
        _, slash, rest = str(name).partition("/")
        if slash and rest.rpartition("/")[0] in found.logs and rest not in known:
            yield rest, at


def _by_watermarks(found: _Migration, partition_of: PartitionOf) -> Iterator[tuple[str, int]]:
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


_DELIVERIES = """
CREATE TABLE deliveries (
    account {text} NOT NULL, driver {text} NOT NULL, version BIGINT NOT NULL, body {text} NOT NULL,
    reports BIGINT NOT NULL, answers BIGINT NOT NULL, due {text} NOT NULL, tries BIGINT NOT NULL,
    started BIGINT NOT NULL, started_body {text} NOT NULL, PRIMARY KEY (account, driver)
)
"""

_WORK_OF_BREAKERS = {"probe_at": "{text} NOT NULL DEFAULT ''", "tries": "BIGINT NOT NULL DEFAULT 0"}
_WORK_OF_BREAKERS |= {"relapses": "BIGINT NOT NULL DEFAULT 0", "refused": "{text} NOT NULL DEFAULT '{{}}'"}

_FORMER = (
    "newest_decisions",
    "answer_counts",
    "due_deliveries",
    "started_attempts",
    "probes",
    "refused_drivers",
)


def _migrate_deliveries(found: _Migration) -> None:
    """What a projector has to do for a link, and for a breaker, becomes part of the row that says what is known of it.

    The other columns of these rows are made again from the logs; the work in hand is taken from the rows made here.
    """
    tables = found.tables
    if not set(_FORMER) <= tables.columns().keys():
        return
    text = tables.dialect.text
    tables.execute(_DELIVERIES.format(text=text))
    for row in _deliveries(found):
        tables.execute("INSERT INTO deliveries VALUES (?, ?, 0, '{}', 0, 0, ?, ?, ?, ?)", row)
    for column, declaration in _WORK_OF_BREAKERS.items():
        tables.execute(f"ALTER TABLE breakers ADD COLUMN {column} {declaration.format(text=text)}")
    for account, not_before, tries, relapses in tables.fetch("SELECT account, not_before, tries, relapses FROM probes"):
        work = (not_before, tries, relapses, account)
        tables.execute("UPDATE breakers SET probe_at = ?, tries = ?, relapses = ? WHERE account = ?", work)
    refused: dict[str, dict[str, bool]] = {}
    for account, driver, is_alone in tables.fetch("SELECT account, driver, is_alone FROM refused_drivers"):
        refused.setdefault(account, {})[driver] = bool(is_alone)
    for account, drivers in refused.items():
        text_of_drivers = json.dumps(drivers, ensure_ascii=False, sort_keys=True)
        tables.execute("UPDATE breakers SET refused = ? WHERE account = ?", (text_of_drivers, account))
    for name in _FORMER:
        tables.execute(f"DROP TABLE {name}")


def _chain_histories(found: _Migration) -> None:
    """Each history becomes a chain of hashes, as it is stored now."""
    if _lacks(found, "hash"):
        chain_histories(found.tables, _progress("histories are chained", found.service))


def _name_events(found: _Migration) -> None:
    """Each event is found by its account, and by its driver."""
    if _lacks(found, "account"):
        name_events(found.tables, _progress("events get the names of their accounts", found.service))


def _lacks(found: _Migration, column: str) -> bool:
    """Whether there are stored events, without this column."""
    columns = found.tables.columns().get("stored_events")
    return columns is not None and column not in columns


def _seal_profiles(found: _Migration) -> None:
    """Each profile that was stored plain is sealed, and each history is a chain over what is stored then."""
    if "stored_events" in found.tables.columns():
        seal_histories(found.tables, found.keys, _progress("profiles are sealed", found.service))


def _progress(what: str, service: str) -> Callable[[int], None]:
    """Says now and then how far a script is."""
    said_at = monotonic()

    def on_step(done: int) -> None:
        nonlocal said_at
        if monotonic() - said_at >= _BETWEEN:
            said_at = monotonic()
            _log.warning(what, service=service, events=done)

    return on_step


_BETWEEN: Final = 2.0
"""Seconds between two lines that say how far a script is."""

_log = structlog.get_logger()


def _deliveries(found: _Migration) -> list[tuple[Any, ...]]:
    """Of each link that has any: when it is due, its tries, and the call that was started."""
    started = {
        (account, driver): (json.loads(body)["decision"], body)
        for account, driver, body in found.tables.fetch("SELECT account, driver, body FROM started_attempts")
    }
    due = {
        (account, driver): (not_before or "0", deferred)
        for account, driver, not_before, deferred in found.tables.fetch(
            "SELECT account, driver, not_before, deferred FROM due_deliveries"
        )
    }
    return [(*place, *due.get(place, ("", 0)), *started.get(place, (0, "{}"))) for place in {**due, **started}]


_FORMER_INDEXES = ("webhook_messages_endpoint_place", "webhook_messages_endpoint_link_state_number")


def _drop_former_indexes(found: _Migration) -> None:
    """Indexes of messages that tempt the database to read all of an endpoint; the next start makes what is needed."""
    for name in _FORMER_INDEXES:
        found.tables.execute(f"DROP INDEX IF EXISTS {name}")


_SCRIPTS: Sequence[tuple[int, str, _Script]] = (
    (1, "positions are those of logs", _migrate_positions),
    (2, "a link's delivery, and a breaker, is one row", _migrate_deliveries),
    (3, "each history is a chain of hashes", _chain_histories),
    (4, "messages are found by state and place", _drop_former_indexes),
    (5, "each event is found by its account and driver", _name_events),
    (6, "profiles are sealed", _seal_profiles),
)
"""Every script, by its number, with what it does."""


def migrate(stores: Mapping[str, OldTables], partition_of: PartitionOf | None, keys: ProfileKeys) -> None:
    """Run what was not run yet in these stores, which are by service. Raises `StoreFailed`."""
    logs = {spec.log: stores[name] for name, spec in SERVICES.items()}
    applied = {name: tables.applied() for name, tables in stores.items()}
    for number, name, script in _SCRIPTS:
        for service, tables in stores.items():
            if number not in applied[service]:
                script(_Migration(service=service, tables=tables, logs=logs, partition_of=partition_of, keys=keys))
                tables.apply(number, name)
