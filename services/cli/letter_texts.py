"""Dead letters as text for people: what strangers wrote cannot do anything to a terminal."""

import json
from collections.abc import Iterator
from typing import Any

from services.cli.printing import moment, visible

_LONGEST_REASON = 100

Json = dict[str, Any]


def to_line(letter: Json) -> str:
    """A listed letter on one line: since when, name, type, account, reason."""
    reason = (
        letter["reason"] if len(letter["reason"]) <= _LONGEST_REASON else f"{letter['reason'][:_LONGEST_REASON]}..."
    )
    waiting = ["submitted again, and not looked at yet"] if letter["is_waiting"] else []
    parts = (moment(letter["since"]), letter["name"], letter["type"] or "-", letter["account"] or "-", *waiting, reason)
    return "  ".join(map(visible, parts))


def to_lines(letter: Json) -> Iterator[str]:
    """All of a letter, from its document."""
    for name in ("name", "reason", "since", "id", "type", "sequence"):
        yield visible(f"{name:9} {letter[name]}")
    if letter["is_waiting"]:
        yield "waits     submitted again, and not looked at yet"
    if (key := letter.get("key", letter.get("key_base64"))) is not None:
        yield visible(f"key       {key}{' (base64)' if 'key_base64' in letter else ''}")
    for each in letter["headers"]:
        yield visible(f"header    {each['name']}: {each.get('value', each.get('value_base64'))}")
    yield "body, in base64:" if "body_base64" in letter else "body:"
    yield from map(visible, _body(letter).split("\n"))


def _body(letter: Json) -> str:
    body = letter.get("body", letter.get("body_base64"))
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=2)
