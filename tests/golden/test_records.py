"""Whatever was once sent stays readable, and what is sent now is known to the byte."""

from pathlib import Path

import pytest

from adapters.events import new_mapper
from adapters.kafka.cloud_events import to_record
from domain.store import Event
from tests.golden.samples import SAMPLES
from tests.golden.wire_forms import FOLDER, LOG_POSITION, add, files, read, sent
from tests.unit.adapters.kafka.messages import FakeMessage

ALL = sorted(FOLDER.glob("*.json"))


def name(path: Path) -> str:
    return path.stem


def received(path: Path) -> FakeMessage:
    form = read(path)
    return FakeMessage(offset=6, key=form.key, value=form.value, headers=form.headers)


@pytest.mark.parametrize("topic", sorted(Event.BY_TOPIC))
def test_every_kind_of_event_has_a_golden_record(topic: str) -> None:
    assert files(topic), "run `python -m tests.golden`"


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_form_ever_sent_is_read(path: Path) -> None:
    record = to_record(new_mapper(), received(path))
    assert record.reason == ""
    assert record.event is not None
    assert record.log_position == LOG_POSITION


@pytest.mark.parametrize("topic", sorted(SAMPLES))
def test_the_present_form_is_read_to_the_same_event(topic: str) -> None:
    assert to_record(new_mapper(), received(files(topic)[-1])).event == SAMPLES[topic]


@pytest.mark.parametrize("topic", sorted(SAMPLES))
def test_an_event_is_sent_in_its_present_form_to_the_byte(topic: str) -> None:
    assert sent(SAMPLES[topic]) == read(files(topic)[-1])


def test_a_record_that_is_there_is_not_added_again(tmp_path: Path) -> None:
    sample = SAMPLES["Account.SyncTurnedOn"]
    first = add(sample, tmp_path)
    assert first == tmp_path / "Account.SyncTurnedOn.json"
    assert add(sample, tmp_path) is None
    assert list(tmp_path.iterdir()) == [first]


def test_another_form_gets_a_file_of_its_own_beside_the_first(tmp_path: Path) -> None:
    sample = SAMPLES["Account.SyncTurnedOn"]
    first = tmp_path / "Account.SyncTurnedOn.json"
    older = '{"key": "acme", "headers": {}, "value": ""}'
    first.write_text(older, "utf-8")
    second = add(sample, tmp_path)
    assert second == tmp_path / "Account.SyncTurnedOn.2.json"
    assert first.read_text("utf-8") == older
    assert files(sample.TOPIC, tmp_path) == [first, second]
