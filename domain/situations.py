"""Section 5's table: which situation a driver is in on a target, and what is the answer to it.

| the Portal    | the link          | the wished key on the target | situation  | answer                      |
| ------------- | ----------------- | ---------------------------- | ---------- | --------------------------- |
| wants         | any               | both ids blank               | UNKEYED    | park                        |
| wants         | any               | another's, or two candidates | CONTESTED  | park                        |
| wants         | none or ended     | unknown                      | ABSENT     | create                      |
| wants         | none or ended     | there, unclaimed             | FOUND      | link (adopt)                |
| wants         | none or ended     | there, deleted               | DORMANT    | reinstate                   |
| wants         | live, same key    | unknown                      | MISSING    | create                      |
| wants         | live, same key    | there under another key      | MISSING    | link                        |
| wants         | live, same key    | there, deleted               | MISSING    | reinstate                   |
| wants         | live, same key    | our wish changed             | OUTDATED   | update                      |
| wants         | live, same key    | differs, and not by us       | DRIFTED    | record the drift, update    |
| wants         | live, same key    | equal                        | IN STEP    | nothing                     |
| wants         | live, key changed | unknown                      | RENAMED    | rename                      |
| wants         | live, key changed | there, unclaimed             | REDIRECTED | link (relink)               |
| wants         | live, key changed | there, deleted               | REDIRECTED | reinstate                   |
| wants         | live, key changed | unknown, linked driver gone  | MISSING    | create                      |
| deleted       | none or ended     | a create is on its way       | ORPHANED   | withdraw                    |
| deleted       | live              | there                        | ORPHANED   | delete, through the guard   |
| deleted       | live              | gone already                 | GONE       | end the link                |
| not in a list | live              | there                        | UNSEEN     | nothing                     |
| -             | none              | there                        | STRAY      | report only                 |
"""

from dataclasses import dataclass
from enum import StrEnum


class Portal(StrEnum):
    """What the Portal says of a driver."""

    WANTS = "wants"
    DELETED = "deleted"
    NOT_IN_LIST = "not in a list"
    SILENT = "-"


class Linked(StrEnum):
    """How the link stands to what is wished."""

    NONE = "none or ended"
    SAME_KEY = "live, same key"
    KEY_CHANGED = "live, key changed"


class Shown(StrEnum):
    """What the target shows at the key concerned."""

    BLANK = "both ids blank"
    CLAIMED = "another's, or two candidates"
    UNKNOWN = "unknown"
    UNCLAIMED = "there, unclaimed"
    DELETED = "there, deleted"
    ELSEWHERE = "there under another key"
    BOTH_UNKNOWN = "unknown, linked driver gone"
    WISH_CHANGED = "our wish changed"
    DIFFERS = "differs, and not by us"
    EQUAL = "equal"
    ON_ITS_WAY = "a create is on its way"
    THERE = "there"
    GONE = "gone already"
    NOTHING = "nothing"


class Situation(StrEnum):
    """Where a driver stands on a target."""

    UNKEYED = "UNKEYED"
    CONTESTED = "CONTESTED"
    ABSENT = "ABSENT"
    FOUND = "FOUND"
    DORMANT = "DORMANT"
    MISSING = "MISSING"
    OUTDATED = "OUTDATED"
    DRIFTED = "DRIFTED"
    IN_STEP = "IN STEP"
    RENAMED = "RENAMED"
    REDIRECTED = "REDIRECTED"
    ORPHANED = "ORPHANED"
    GONE = "GONE"
    UNSEEN = "UNSEEN"
    STRAY = "STRAY"
    UNLINKED = "UNLINKED"


class Answer(StrEnum):
    """What follows from a situation."""

    PARK = "park"
    CREATE = "create"
    LINK = "link"
    REINSTATE = "reinstate"
    UPDATE = "update"
    OVERRIDE = "record the drift, update"
    RENAME = "rename"
    WITHDRAW = "withdraw"
    DELETE = "delete, through the guard"
    END = "end the link"
    NOTHING = "nothing"
    REPORT = "report only"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    portal: Portal
    linked: frozenset[Linked]
    shown: Shown
    situation: Situation
    answer: Answer


_NONE, _SAME, _CHANGED = (frozenset({linked}) for linked in Linked)
_LIVE = _SAME | _CHANGED
_ANY = _NONE | _LIVE

TABLE = (
    Row(Portal.WANTS, _ANY, Shown.BLANK, Situation.UNKEYED, Answer.PARK),
    Row(Portal.WANTS, _ANY, Shown.CLAIMED, Situation.CONTESTED, Answer.PARK),
    Row(Portal.WANTS, _NONE, Shown.UNKNOWN, Situation.ABSENT, Answer.CREATE),
    Row(Portal.WANTS, _NONE, Shown.UNCLAIMED, Situation.FOUND, Answer.LINK),
    Row(Portal.WANTS, _NONE, Shown.DELETED, Situation.DORMANT, Answer.REINSTATE),
    Row(Portal.WANTS, _SAME, Shown.UNKNOWN, Situation.MISSING, Answer.CREATE),
    Row(Portal.WANTS, _SAME, Shown.ELSEWHERE, Situation.MISSING, Answer.LINK),
    Row(Portal.WANTS, _SAME, Shown.DELETED, Situation.MISSING, Answer.REINSTATE),
    Row(Portal.WANTS, _SAME, Shown.WISH_CHANGED, Situation.OUTDATED, Answer.UPDATE),
    Row(Portal.WANTS, _SAME, Shown.DIFFERS, Situation.DRIFTED, Answer.OVERRIDE),
    Row(Portal.WANTS, _SAME, Shown.EQUAL, Situation.IN_STEP, Answer.NOTHING),
    Row(Portal.WANTS, _CHANGED, Shown.UNKNOWN, Situation.RENAMED, Answer.RENAME),
    Row(Portal.WANTS, _CHANGED, Shown.UNCLAIMED, Situation.REDIRECTED, Answer.LINK),
    Row(Portal.WANTS, _CHANGED, Shown.DELETED, Situation.REDIRECTED, Answer.REINSTATE),
    Row(Portal.WANTS, _CHANGED, Shown.BOTH_UNKNOWN, Situation.MISSING, Answer.CREATE),
    Row(Portal.DELETED, _NONE, Shown.ON_ITS_WAY, Situation.ORPHANED, Answer.WITHDRAW),
    Row(Portal.DELETED, _LIVE, Shown.THERE, Situation.ORPHANED, Answer.DELETE),
    Row(Portal.DELETED, _LIVE, Shown.GONE, Situation.GONE, Answer.END),
    Row(Portal.NOT_IN_LIST, _LIVE, Shown.THERE, Situation.UNSEEN, Answer.NOTHING),
    Row(Portal.SILENT, _NONE, Shown.THERE, Situation.STRAY, Answer.REPORT),
)

_BY_FACTS = {(row.portal, linked, row.shown): row for row in TABLE for linked in row.linked}
_NOTHING_TO_DO = Row(Portal.DELETED, _NONE, Shown.NOTHING, Situation.UNLINKED, Answer.NOTHING)


def row_for(portal: Portal, linked: Linked, shown: Shown) -> Row:
    """The row that these facts lead to; where no row stands there is nothing to do."""
    return _BY_FACTS.get((portal, linked, shown), _NOTHING_TO_DO)
