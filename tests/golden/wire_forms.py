"""The golden records: every form in which an event was ever sent, one file each.

An event's first form is in `<topic>.json`; a form that it was given later is in `<topic>.2.json`, and so on. Files are
added, never edited: topics out there hold these bytes, others read them, and the present code has to as well.
`python -m tests.golden` adds those that are missing.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from adapters.events import new_mapper, to_record
from adapters.kafka.cloud_events import Outgoing, to_outgoing
from domain.store import Event

FOLDER = Path(__file__).parent / "records"

LOG_POSITION = 41
"""Where in its service's log each of the events is."""

_MAPPER = new_mapper()


def sent(event: Event) -> Outgoing:
    """The event as the present code sends it."""
    return to_outgoing(to_record(_MAPPER, LOG_POSITION, _MAPPER.to_stored_event(event)), "sample")


def files(topic: str, folder: Path = FOLDER) -> Sequence[Path]:
    """The golden records of this kind of event, the present form last."""
    return sorted(folder.glob(f"{topic}.*json"), key=_number)


def read(path: Path) -> Outgoing:
    """The record in a golden file."""
    golden = json.loads(path.read_text("utf-8"))
    return Outgoing(
        key=golden["key"].encode(),
        headers=tuple((name, value.encode()) for name, value in golden["headers"].items()),
        value=golden["value"].encode(),
        account=golden["key"],
    )


def add(event: Event, folder: Path = FOLDER) -> Path | None:
    """Write the event's present form to a golden file, unless the last one of its kind holds it."""
    form, known = sent(event), files(event.TOPIC, folder)
    if known and read(known[-1]) == form:
        return None
    path = folder / (f"{event.TOPIC}.{len(known) + 1}.json" if known else f"{event.TOPIC}.json")
    golden = {
        "key": form.key.decode(),
        "headers": {name: value.decode() for name, value in form.headers},
        "value": (form.value or b"").decode(),
    }
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(golden, ensure_ascii=False, indent=2) + "\n")
    return path


def _number(path: Path) -> int:
    _, _, number = path.stem.partition(".")[2].partition(".")
    return int(number or 1)
