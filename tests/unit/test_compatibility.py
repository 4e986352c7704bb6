"""What a reader of a released version could not read is refused, and everything else may change."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from docs.compatibility import breaks, release, releases
from docs.contract import Schema, schemas

TOPIC = "DriverLink.Parked"


def changed(change: Callable[[Schema], object]) -> list[str]:
    """What is said where the schema of an event is changed so after its release."""
    present = deepcopy(schemas()[TOPIC])
    change(present)
    return list(breaks({TOPIC: schemas()[TOPIC]}, {TOPIC: present}))


def fields_of(schema: Schema, *path: str) -> Schema:
    for name in path:
        schema = schema["properties"][name]
    properties: Schema = schema["properties"]
    return properties


def test_nothing_that_is_released_is_broken() -> None:
    released = releases()
    assert "before-the-first-release" in released
    assert [line for each in released.values() for line in breaks(each, schemas())] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: fields_of(schema).update(shift={"type": "string"}),
        lambda schema: fields_of(schema, "rationale").update(shift={"type": "string"}),
        lambda schema: fields_of(schema)["reason"]["anyOf"][0]["enum"].append("on_leave"),
        lambda schema: schema.update(description="Said in other words."),
        lambda schema: fields_of(schema)["detail"].update(description="Said in other words."),
    ],
    ids=["an optional field", "an optional field further in", "a word more", "a description", "a field's description"],
)
def test_what_every_reader_can_stand_passes(change: Callable[[Schema], object]) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda schema: fields_of(schema).pop("holder"), f"{TOPIC}.holder is gone: readers expect it"),
        (
            lambda schema: fields_of(schema, "rationale").pop("trigger"),
            f"{TOPIC}.rationale.trigger is gone: readers expect it",
        ),
        (
            lambda schema: fields_of(schema)["sequence"].update(type="string"),
            f'{TOPIC}.sequence has another type: "string" in place of "integer"',
        ),
        (
            lambda schema: fields_of(schema)["holder"].update(type=["string", "null"]),
            f'{TOPIC}.holder has another type: ["string", "null"] in place of "string"',
        ),
        (
            lambda schema: fields_of(schema, "rationale")["guard"].update(additionalProperties={"type": "string"}),
            f'{TOPIC}.rationale.guard.* has another type: "string" in place of "integer"',
        ),
        (
            lambda schema: fields_of(schema, "rationale")["mode"]["enum"].append("mirror"),
            f'{TOPIC}.rationale.mode has another enum: ["off", "observe", "upsert", "full", "mirror"] '
            'in place of ["off", "observe", "upsert", "full"]',
        ),
        (
            lambda schema: fields_of(schema)["reason"]["anyOf"][0]["enum"].remove("mode"),
            f"{TOPIC}.reason lacks words that logs have: mode",
        ),
        (
            lambda schema: (fields_of(schema).update(shift={"type": "string"}), schema["required"].append("shift")),
            f"{TOPIC}.shift is required: logs do not have it everywhere, so give it a default",
        ),
        (
            lambda schema: schema["required"].remove("detail"),
            f"{TOPIC}.detail may be absent: readers expect it",
        ),
    ],
    ids=[
        "a field is removed",
        "a field further in is removed",
        "a field is retyped",
        "a field may be null",
        "values are retyped",
        "a word more where there are no more",
        "a word less",
        "a new required field",
        "a field becomes optional",
    ],
)
def test_what_some_reader_could_not_stand_is_named(change: Callable[[Schema], object], said: str) -> None:
    assert changed(change) == [said]


def test_a_type_of_event_stays_for_ever_and_others_may_come() -> None:
    assert next(breaks(schemas(), {TOPIC: schemas()[TOPIC]})) == "Account.AccountAdded is gone: logs have it"
    assert list(breaks({TOPIC: schemas()[TOPIC]}, schemas())) == []


def test_a_release_keeps_the_present_schemas_once(tmp_path: Path) -> None:
    release("9.9.9", tmp_path)
    assert releases(tmp_path) == {"9.9.9": schemas()}
    with pytest.raises(FileExistsError):
        release("9.9.9", tmp_path)
