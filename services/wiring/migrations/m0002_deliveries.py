"""What a projector has to do for a link, and for a breaker, becomes part of the row that says what is known of it.

The other columns of these rows are made again from the logs; the work in hand is taken from the rows made here.
"""

import json
from typing import Any

from services.wiring.migrations.script import Migration

_DELIVERIES = """
CREATE TABLE deliveries (
    account {text} NOT NULL, driver {text} NOT NULL, version BIGINT NOT NULL, body {text} NOT NULL,
    reports BIGINT NOT NULL, answers BIGINT NOT NULL, due {text} NOT NULL, tries BIGINT NOT NULL,
    started BIGINT NOT NULL, started_body {text} NOT NULL, PRIMARY KEY (account, driver)
)
"""

_WORK_OF_BREAKERS = {"probe_at": "{text} NOT NULL DEFAULT ''", "tries": "BIGINT NOT NULL DEFAULT 0"}
_WORK_OF_BREAKERS |= {"relapses": "BIGINT NOT NULL DEFAULT 0", "refused": "{text} NOT NULL DEFAULT '{{}}'"}

_FORMER = ("newest_decisions", "answer_counts", "due_deliveries", "started_attempts", "probes", "refused_drivers")


def migrate(found: Migration) -> None:
    """Bring deliveries and breakers together, and drop the tables that they were in."""
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


def _deliveries(found: Migration) -> list[tuple[Any, ...]]:
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
