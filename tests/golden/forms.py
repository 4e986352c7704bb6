"""The golden files: every form in which a fact was ever stored, one file each.

A fact's first form is in `<topic>.json`; a form that it was given later is in `<topic>.2.json`, and so on.
Files are added, never edited: stores out there hold these bytes, and the present code has to read them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from adapters.events import new_mapper
from domain.store import Event

FOLDER = Path(__file__).parent / "events"

_MAPPER = new_mapper()


def stored(event: Event) -> StoredEvent:
    """The fact as the present code stores it."""
    return _MAPPER.to_stored_event(event)


def files(topic: str, folder: Path = FOLDER) -> Sequence[Path]:
    """The golden files of this kind of fact, the present form last."""
    found = [path for path in folder.glob(f"{topic}*.json") if topic_of(path) == topic]
    return sorted(found, key=_number)


def topic_of(path: Path) -> str:
    """The kind of fact that a golden file holds."""
    return ".".join(path.stem.split(".")[:2])


def read(path: Path) -> StoredEvent:
    """The fact in a golden file, as a store holds it."""
    golden = json.loads(path.read_text("utf-8"))
    return StoredEvent(
        originator_id=UUID(golden["originator_id"]),
        originator_version=golden["originator_version"],
        topic=golden["topic"],
        state=json.dumps(golden["state"], ensure_ascii=False, separators=(",", ":")).encode(),
    )


def add(event: Event, folder: Path = FOLDER) -> Path | None:
    """Write the fact's present form to a golden file, unless the last one of its kind holds it."""
    form, known = stored(event), files(event.TOPIC, folder)
    if known and read(known[-1]) == form:
        return None
    path = folder / (f"{event.TOPIC}.{len(known) + 1}.json" if known else f"{event.TOPIC}.json")
    golden = {
        "topic": form.topic,
        "originator_id": str(form.originator_id),
        "originator_version": form.originator_version,
        "state": json.loads(form.state),
    }
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(golden, ensure_ascii=False, indent=2) + "\n")
    return path


def _number(path: Path) -> int:
    _, _, number = path.stem.removeprefix(topic_of(path)).partition(".")
    return int(number or 1)
