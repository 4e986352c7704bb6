"""Views of what is stored, to be read by SQL: in a schema of their own, and without personal data.

`decisions` and `attempts` are made of events, which stay in their tables; those of one target have a view of their own,
because a database reads two tables whole to find what is newest in both. `links` is made of a read model: whatever
drops that table hides the view first and shows it again behind that, in one transaction, because a view keeps to the
table that it was made of. Views are replaced, never dropped, so that what was granted on them stays.
"""

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from adapters.store.postgres_connection import connect, failures
from domain.driver_link import (
    Confirmed,
    Decision,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DeleteRejected,
    Parked,
    Refused,
    Released,
)
from domain.outcomes import CallAnswered
from domain.store import Event

SCHEMA: Final = "questions"
"""What the schema is called, behind the prefix of an installation."""

_TEXT: Final = 'text COLLATE "C"'

_LINKS: Final[Mapping[str, tuple[str, str]]] = {
    "account": ("account", _TEXT),
    "target": ("target", _TEXT),
    "driver": ("driver", _TEXT),
    "state": ("state", _TEXT),
    "key": ("nullif(key, '')", _TEXT),
    "reason": ("nullif(reason, '')", _TEXT),
    "detail": ("nullif(detail, '')", _TEXT),
    "since": ("nullif(since, '')::timestamptz", "timestamptz"),
    "is_live": ("is_live", "boolean"),
    "is_deleting": ("is_deleting", "boolean"),
    "version": ("version", "bigint"),
}
"""The columns of `links`: what each is of the read model, and its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """The view `name` of a read model's table, as this version has it; the table has rows for these targets."""

    schema: str
    name: str
    table: str
    targets: Collection[str]

    def hide(self) -> str:
        """The statement that lets the view be of no table, without a row; it does nothing where there is no schema."""
        columns = ", ".join(f"NULL::{kind} AS {name}" for name, (_, kind) in _LINKS.items())
        replace = f"CREATE OR REPLACE VIEW {self.name} AS SELECT {columns} WHERE false"
        return self._where_there(replace)

    def show(self) -> str:
        """The statement that makes it a view of the table of that name; it does nothing where there is no schema."""
        columns = ", ".join(f"{said}::{kind} AS {name}" for name, (said, kind) in _LINKS.items())
        # It names the targets, so that an account and a driver are a key of the table without one, too.
        targets = f"target = ANY ('{{{','.join(self.targets)}}}')"
        replace = f"CREATE OR REPLACE VIEW {self.name} AS SELECT {columns} FROM {self.table} WHERE {targets}"  # noqa: S608 - our own names
        return self._where_there(replace)

    def _where_there(self, statement: str) -> str:
        return f"DO $do$ BEGIN IF to_regnamespace('{self.schema}') IS NOT NULL THEN {statement}; END IF; END $do$"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionViews:
    """All that can be asked of an installation by SQL: the `schema` of its views, and those of its services."""

    schema: str
    decider: str
    projectors: Mapping[str, str]

    @property
    def links(self) -> TableView:
        """The view of the links, in the schema of the decider."""
        return TableView(
            schema=self.schema,
            name=f"{self.schema}.links",
            table=f"{self.decider}.links",
            targets=[*self.projectors],
        )

    def statements(self, *, is_current: bool) -> list[str]:
        """Those that make the schema and what is in it; where the read model is another version's, `links` is empty."""
        schema, log = self.schema, f"{self.decider}.stored_events"
        attempts = (f"SELECT * FROM {schema}.attempts_{target}" for target in self.projectors)  # noqa: S608 - our own names
        return [
            f"CREATE SCHEMA IF NOT EXISTS {schema}",
            self.links.show() if is_current else self.links.hide(),
            f"CREATE OR REPLACE VIEW {schema}.moments AS {_moments(log)}",
            f"CREATE OR REPLACE VIEW {schema}.decisions AS {_decisions(log)}",
            *(
                f"CREATE OR REPLACE VIEW {schema}.attempts_{target} AS {_attempts(target, own)}"
                for target, own in self.projectors.items()
            ),
            f"CREATE OR REPLACE VIEW {schema}.attempts AS {' UNION ALL '.join(attempts)}",
            _POSITION_AT.format(schema=schema),
            f"CREATE OR REPLACE FUNCTION {schema}.links_as_of(moment timestamptz) RETURNS SETOF {schema}.links "
            f"LANGUAGE sql STABLE AS $sql$ {_links_as_of(schema)} $sql$",
        ]


def make_questions(url: str, password: str, views: QuestionViews, *, is_current: bool) -> None:
    """Make the schema and what is in it, in one transaction; what is there is replaced. Raises `StoreFailed`."""
    with closing(connect(url, password)) as connection, failures(), connection.transaction():
        for statement in views.statements(is_current=is_current):
            connection.execute(statement.encode())


_DATA: Final = " CROSS JOIN LATERAL (SELECT convert_from(state, 'UTF8')::jsonb AS data) AS stated"

_AT: Final = (
    "(CASE jsonb_typeof(data -> 'at') WHEN 'object' THEN data #>> '{at,_data_}' ELSE data ->> 'at' END)::timestamptz"
)
"""The moment of an event; in the first form that was stored it is marked with its type."""

_PLACE: Final[Mapping[str, str]] = {
    "position": "notification_id",
    "history": "originator_id",
    "version": "originator_version",
    "at": _AT,
    "account": "account",
    "driver": "driver",
}


def _text(*names: str) -> dict[str, str]:
    return {name: f"(data ->> '{name}')::{_TEXT}" for name in names}


def _reason(*names: str) -> dict[str, str]:
    return {name: f"(data -> 'rationale' ->> '{name}')::{_TEXT}" for name in names}


_DECISIONS: Final[Mapping[str, str]] = {
    **_PLACE,
    **_text("target"),
    "type": f"substring(topic FROM '[^.]*$')::{_TEXT}",
    **_text("key", "desired_key", "reason", "detail", "holder"),
    **_reason("trigger", "ref", "situation", "mode"),
    "reconciliation": "(data -> 'rationale' ->> 'reconciliation')::bigint",
    "fields": "data -> 'fields'",
    "decision": "(data ->> 'decision')::bigint",
    "hold": "(data ->> 'hold')::bigint",
}
"""The columns of `decisions`. What personal data a fact has is not among them, nor identifiers that may be some."""

_ATTEMPTS: Final[Mapping[str, str]] = {
    **_PLACE,
    "decision": "(data ->> 'decision')::bigint",
    **_text("outcome", "key", "left", "reason", "detail"),
}
"""The columns of `attempts`, besides the target; `left` is a word of SQL, so it is the former key there."""


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{said} AS {'former_key' if name == 'left' else name}" for name, said in columns.items())


def _moments(log: str) -> str:
    return f"SELECT notification_id AS position, {_AT} AS at FROM {log}{_DATA}"  # noqa: S608 - our own names


def _decisions(log: str) -> str:
    return f"SELECT {_columns(_DECISIONS)} FROM {log}{_DATA} WHERE topic LIKE 'DriverLink.%'"  # noqa: S608 - our own names


def _attempts(target: str, schema: str) -> str:
    columns = f"'{target}'::{_TEXT} AS target, {_columns(_ATTEMPTS)}"
    return f"SELECT {columns} FROM {schema}.stored_events{_DATA} WHERE topic = '{CallAnswered.TOPIC}'"  # noqa: S608 - our own names


_POSITION_AT: Final = """
CREATE OR REPLACE FUNCTION {schema}.position_at(moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $sql$
DECLARE
    low bigint := 0;
    high bigint;
    middle bigint;
    known record;
BEGIN
    SELECT coalesce(max(position), 0) INTO high FROM {schema}.moments;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT * INTO known FROM {schema}.moments AS each WHERE each.position > middle ORDER BY each.position LIMIT 1;
        IF known.at <= moment THEN
            low := known.position;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END
$sql$
"""
"""The position of the last fact until a moment, found by halving the log as `mark_at` of the API does."""


def _kinds(*kinds: type[Event]) -> list[str]:
    """What these events are called, and those that they are the base of."""
    named = {each.__name__ for each in Event.BY_TOPIC.values() if issubclass(each, kinds)}
    return sorted(named)


def _last(*kinds: type[Event]) -> str:
    """The version of the last fact of one of these kinds; 0 where there is none."""
    return f"coalesce(max(version) FILTER (WHERE type = ANY ('{{{','.join(_kinds(*kinds))}}}')), 0)"


def _said(column: str, kind: type[Event]) -> str:
    """What the last fact of a kind says."""
    return f"(array_agg({column} ORDER BY version DESC) FILTER (WHERE type = '{kind.__name__}'))[1]"


_FOLDED: Final[Mapping[str, str]] = {
    "version": "max(version)",
    "decided": _last(Decision),
    "deleting": _last(DeleteDecided),
    "answered": _last(Confirmed, Refused, Parked, DeleteHeld),
    "parked": _last(Parked),
    "unparked": _last(Decision, DeleteHeld, Released),
    "held": _last(DeleteHeld),
    "unheld": _last(Decision, Parked, DeleteApproved, DeleteRejected, DeleteRecalled),
    "rejected": _last(DeleteRejected),
    "judged": _last(DeleteApproved, DeleteRecalled),
    "key": f"nullif({_said('key', Confirmed)}, '')",
    "refusal": f"nullif({_said('reason', Refused)}, '')",
    "parked_for": _said("reason", Parked),
    "detail": f"nullif({_said('detail', Parked)}, '')",
    "since": _said("at", Parked),
}
"""What is known of a link after some of its facts: the version of the last one of each kind, and what that says.

What is true of a link is what was said last of it, which is what `apply` of `domain.driver_link` folds.
"""

_AS_OF: Final[Mapping[str, str]] = {
    "account": "account",
    "target": "target",
    "driver": "driver",
    "state": "CASE WHEN parked > unparked THEN 'parked' WHEN held > unheld THEN 'held' "
    "WHEN decided > answered THEN 'pending' WHEN key IS NULL THEN 'ended' "
    "WHEN rejected > judged THEN 'kept' ELSE 'in_sync' END",
    "key": "key",
    "reason": "CASE WHEN parked > unparked THEN "
    "CASE parked_for WHEN 'refused' THEN coalesce(refusal, parked_for) ELSE parked_for END END",
    "detail": "CASE WHEN parked > unparked THEN detail END",
    "since": "CASE WHEN parked > unparked THEN since END",
    "is_live": "key IS NOT NULL",
    "is_deleting": "decided > answered AND deleting = decided",
    "version": "version",
}
"""The columns of `links`, of what is known of a link."""


def _links_as_of(schema: str) -> str:
    known = ", ".join(f"{said} AS {name}" for name, said in _FOLDED.items())
    columns = ", ".join(f"({_AS_OF[name]})::{kind} AS {name}" for name, (_, kind) in _LINKS.items())
    return (
        f"SELECT {columns} FROM (SELECT account, target, driver, {known} FROM {schema}.decisions "  # noqa: S608 - our own names
        f"WHERE position <= (SELECT {schema}.position_at(moment)) GROUP BY account, target, driver) AS folded"
    )
