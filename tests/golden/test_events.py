"""Whatever was once stored stays readable, and what is stored now is known to the byte."""

import json
from pathlib import Path

import pytest

from adapters.events import decoded, new_mapper
from domain.store import Event
from tests.golden.forms import FOLDER, add, files, read, stored, topic_of
from tests.golden.samples import SAMPLES

ALL = sorted(FOLDER.glob("*.json"))


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("topic", sorted(Event.BY_TOPIC))
def test_every_kind_of_fact_has_a_sample_and_a_golden_file(topic: str) -> None:
    assert topic in SAMPLES
    assert files(topic), "run `python -m tests.golden`"


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_form_ever_stored_is_read(path: Path) -> None:
    form = read(path)
    event, reason = decoded(new_mapper(), form)
    assert (event and event.TOPIC, reason) == (topic_of(path), "")


@pytest.mark.parametrize("topic", sorted(SAMPLES))
def test_the_present_form_is_read_to_the_same_fact(topic: str) -> None:
    assert decoded(new_mapper(), read(files(topic)[-1])) == (SAMPLES[topic], "")


@pytest.mark.parametrize("topic", sorted(SAMPLES))
def test_a_fact_is_written_in_its_present_form_to_the_byte(topic: str) -> None:
    assert stored(SAMPLES[topic]) == read(files(topic)[-1])


def test_a_form_that_is_there_is_not_added_again(tmp_path: Path) -> None:
    sample = SAMPLES["Account.SyncTurnedOn"]
    first = add(sample, tmp_path)
    assert first == tmp_path / "Account.SyncTurnedOn.json"
    assert add(sample, tmp_path) is None
    assert list(tmp_path.iterdir()) == [first]


def test_another_form_gets_a_file_of_its_own_beside_the_first(tmp_path: Path) -> None:
    sample = SAMPLES["Account.SyncTurnedOn"]
    first = tmp_path / "Account.SyncTurnedOn.json"
    older = {"topic": sample.TOPIC, "originator_id": str(sample.originator_id), "originator_version": 1, "state": {}}
    first.write_text(json.dumps(older), "utf-8")
    second = tmp_path / "Account.SyncTurnedOn.2.json"
    assert add(sample, tmp_path) == second
    assert json.loads(first.read_text("utf-8")) == older
    assert files(sample.TOPIC, tmp_path) == [first, second]
    assert add(sample, tmp_path) is None
