"""Profiles are sealed in stored events: by the key of their driver, for the one event that they are in."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent

from adapters.events import EventMapper, decoded, new_mapper, to_records
from adapters.profile_keys import ProfileKeyRow, ProfileKeysTable, StatedMasterKeys
from adapters.store.sqlite import SqliteStore
from domain.profile import DataSubject, erased_profile
from domain.store import Event, Unit
from tests.contract.profile_keys import FIRST, NOW, Tried
from tests.golden.samples import SAMPLES

WITH_PROFILE = sorted(topic for topic, kind in Event.BY_TOPIC.items() if "profile" in get_type_hints(kind))
CREATED: Any = SAMPLES["PortalDriver.DriverCreated"]
SEEN: Any = SAMPLES["Report.ObservedDriverSeen"]
KEYS = ("ref_id", "driveri_driver_id", "portal_driver_id")


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Tried]:
    with closing(SqliteStore(tmp_path / "keys.sqlite", log_name="keys", rows=(ProfileKeyRow,))) as table:
        yield Tried(table)


@pytest.fixture
def keys(tried: Tried) -> ProfileKeysTable:
    return ProfileKeysTable(tried.as_table, StatedMasterKeys(FIRST), lambda: NOW)


@pytest.fixture
def mapper(keys: ProfileKeysTable) -> EventMapper:
    return new_mapper(keys)


def _profile(event: Event) -> dict[str, str]:
    found = vars(event)["profile"]
    assert isinstance(found, dict)
    return found


def _stored_profile(stored: StoredEvent) -> dict[str, str]:
    found = json.loads(stored.state)["profile"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("topic", WITH_PROFILE)
def test_every_profile_is_sealed_where_it_is_stored_and_plain_where_it_is_read(mapper: EventMapper, topic: str) -> None:
    event = SAMPLES[topic]
    stored = mapper.to_stored_event(event)
    assert _profile(event)
    assert _stored_profile(stored).keys() == {"key", "sealed"}
    personal = [text for field, text in _profile(event).items() if field not in KEYS]
    assert personal
    assert not any(f'"{text}"' in stored.state.decode() for text in personal)
    assert mapper.to_domain_event(stored) == event
    assert decoded(mapper, stored) == (event, "")


@pytest.mark.parametrize("topic", sorted(SAMPLES.keys() - set(WITH_PROFILE)))
def test_an_event_without_a_profile_is_stored_as_it_is(mapper: EventMapper, topic: str) -> None:
    assert mapper.to_stored_event(SAMPLES[topic]) == new_mapper().to_stored_event(SAMPLES[topic])


def test_an_empty_profile_needs_no_key(mapper: EventMapper, tried: Tried) -> None:
    stored = mapper.to_stored_event(replace(CREATED, profile={}))
    assert _stored_profile(stored) == {}
    assert tried.asked == 0


def test_what_was_stored_plain_before_is_read(mapper: EventMapper) -> None:
    assert decoded(mapper, new_mapper().to_stored_event(CREATED)) == (CREATED, "")


@pytest.mark.parametrize(
    "other",
    [
        replace(CREATED, originator_version=CREATED.originator_version + 1),
        replace(CREATED, originator_id=SEEN.originator_id),
        replace(CREATED, driver="another"),
    ],
)
def test_a_sealed_profile_cannot_be_moved_to_another_event(mapper: EventMapper, other: Event) -> None:
    ours, theirs = mapper.to_stored_event(CREATED), mapper.to_stored_event(other)
    moved = {**json.loads(theirs.state), "profile": _stored_profile(ours)}
    event, reason = decoded(mapper, replace(theirs, state=json.dumps(moved).encode()))
    if other.originator_id == CREATED.originator_id and other.originator_version == CREATED.originator_version:
        assert event is not None  # only the chain of hashes shows what else is altered in an event
    else:
        assert (event, reason) == (
            None,
            f"{CREATED.TOPIC} cannot be read: what is sealed was altered, or belongs elsewhere",
        )


def test_the_key_of_another_driver_opens_nothing(mapper: EventMapper) -> None:
    ours, theirs = mapper.to_stored_event(CREATED), mapper.to_stored_event(replace(CREATED, driver="another"))
    mixed = {**_stored_profile(ours), "key": _stored_profile(theirs)["key"]}
    assert mixed["key"] != _stored_profile(ours)["key"]
    state = json.dumps({**json.loads(ours.state), "profile": mixed}).encode()
    assert decoded(mapper, replace(ours, state=state))[0] is None


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (
            {"key": "0" * 32, "sealed": "AAAA"},
            "is sealed by the key 00000000000000000000000000000000, which is not known",
        ),
        ({"key": 5, "sealed": "AAAA"}, "is not sealed as it should be"),
        ({"sealed": "AAAA"}, "is not sealed as it should be"),
        ({"key": "0" * 32, "sealed": None}, "is not sealed as it should be"),
        ({"key": "lone \ud800", "sealed": ""}, "cannot be read"),
    ],
)
def test_a_profile_that_is_sealed_by_nothing_known_is_a_reason_not_a_failure(
    mapper: EventMapper, profile: dict[str, object], reason: str
) -> None:
    stored = new_mapper().to_stored_event(CREATED)
    state = json.dumps({**json.loads(stored.state), "profile": profile}).encode()
    event, why = decoded(mapper, replace(stored, state=state))
    assert event is None
    assert reason in why
    assert decoded(new_mapper(), replace(stored, state=state))[0] is None


def test_the_profile_of_an_erased_driver_is_read_as_such(mapper: EventMapper, keys: ProfileKeysTable) -> None:
    stored = [mapper.to_stored_event(each) for each in (CREATED, SEEN)]
    driver = DataSubject(account=CREATED.account, driver=vars(CREATED)["driver"])
    seen = DataSubject(account=SEEN.account, driver=vars(SEEN)["key"], target=vars(SEEN)["target"])
    keys.destroy([driver])
    assert mapper.to_domain_event(stored[0]) == replace(CREATED, profile=erased_profile())
    assert mapper.to_domain_event(stored[1]) == SEEN
    keys.destroy([seen])
    assert decoded(mapper, stored[1]) == (replace(SEEN, profile=erased_profile()), "")


def test_what_a_projector_reports_of_an_erased_target_driver_stays_erased(
    mapper: EventMapper, keys: ProfileKeysTable
) -> None:
    """It leaves the profile out itself; one that has a profile is another's by now."""
    keys.destroy([DataSubject(account=SEEN.account, driver=vars(SEEN)["key"], target=vars(SEEN)["target"])])
    erased = replace(SEEN, profile=erased_profile())
    stored = mapper.to_stored_event(erased)
    assert _stored_profile(stored) == erased_profile()
    assert mapper.to_domain_event(stored) == erased
    assert mapper.to_domain_event(mapper.to_stored_event(SEEN)) == SEEN


def test_who_exists_already_is_sealed_by_a_key_of_their_own(mapper: EventMapper, keys: ProfileKeysTable) -> None:
    """And not by that of the driver who was to be created."""
    answer: Any = SAMPLES["Report.CallAnswered"]
    exists = replace(answer, outcome="exists")
    stored = mapper.to_stored_event(exists)
    keys.destroy([DataSubject(account=answer.account, driver=vars(answer)["driver"])])
    assert mapper.to_domain_event(stored) == exists
    keys.destroy([DataSubject(account=answer.account, target=vars(answer)["target"], driver=vars(answer)["key"])])
    assert mapper.to_domain_event(stored) == replace(exists, profile=erased_profile())


@pytest.mark.parametrize("topic", WITH_PROFILE)
def test_only_the_portal_states_an_erased_driver_again_and_scans_see_target_drivers_again(
    mapper: EventMapper, keys: ProfileKeysTable, topic: str
) -> None:
    event = SAMPLES[topic]
    mapper.to_stored_event(event)
    said = vars(event)
    subject = DataSubject(account=event.account, driver=said.get("driver") or said["key"])
    if "driver" not in {each.name for each in fields(type(event))}:
        subject = replace(subject, target=said["target"])
    keys.destroy([subject])
    is_statement = topic in ("PortalDriver.DriverCreated", "PortalDriver.DriverUpdated") or bool(subject.target)
    assert (mapper.to_domain_event(mapper.to_stored_event(event)) == event) is is_statement


def test_a_whole_commit_and_a_whole_page_ask_for_their_keys_at_once(
    tmp_path: Path, keys: ProfileKeysTable, tried: Tried
) -> None:
    events = [
        replace(
            CREATED,
            originator_id=UUID(int=number),
            originator_version=1,
            driver=f"p-{number}",
        )
        for number in range(1, 301)
    ]
    with closing(SqliteStore(tmp_path / "log.sqlite", log_name="log.v1", rows=(), keys=keys)) as store:
        store.commit(Unit(events=list(events)))
        made = tried.asked
        others = ProfileKeysTable(tried.as_table, StatedMasterKeys(FIRST), lambda: NOW)
        reading = SqliteStore(tmp_path / "log.sqlite", log_name="log.v1", rows=(), keys=others, is_reader=True)
        with closing(reading):
            page = reading.log.read(0, 1000)
            assert tried.asked == made == 3
            assert [record.event for record in page] == events
            assert tried.asked == made + 1
            ids = [event.originator_id for event in events]
            assert [*reading.histories(ids).values()] == [[event] for event in events]
            assert tried.asked == made + 1


def test_records_that_are_only_passed_on_need_no_key(mapper: EventMapper, tried: Tried) -> None:
    stored = mapper.to_stored_event(CREATED)
    other = new_mapper(ProfileKeysTable(tried.as_table, StatedMasterKeys(FIRST), lambda: NOW))
    asked = tried.asked
    (record,) = to_records(other, [(1, stored)])
    assert (record.body, record.id) == (stored.state, f"{stored.originator_id}/{stored.originator_version}")
    assert tried.asked == asked
