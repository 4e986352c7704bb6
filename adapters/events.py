"""Events as they are stored: the library's JSON mapper, with every event under its own name, and profiles sealed.

A profile is sealed by the key of its data subject, for the one event that it is in: what is stored in its place is
`{"key": ID, "sealed": BASE64}`. What works with events sees it plain, or as the profile of an erased driver.
"""

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

import msgspec
from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from eventsourcing.utils import TopicError, register_topic

from domain import account, driver_link, hash_chain, outcomes, portal, reconciliation
from domain.ports import ProfileCipher, ProfileKeys
from domain.profile import PERSONAL_FIELDS, DataSubject, erased_profile, is_erased
from domain.store import DeciderEvent, Event, Record, Resubmission, once

__all__ = [
    "EventMapper",
    "account",
    "decoded",
    "driver_link",
    "hash_chain",
    "new_mapper",
    "outcomes",
    "portal",
    "reconciliation",
]


Ciphers = Mapping[str, ProfileCipher | None]
"""Keys by their ids; None for one that is destroyed."""


def new_mapper(keys: ProfileKeys | None = None) -> "EventMapper":
    """A mapper that knows every event of the domain, which the modules imported above define.

    Without keys profiles stay plain, as in a store that is thrown away.
    """
    for topic, event in Event.BY_TOPIC.items():
        register_topic(topic, event)
    transcoder = _Transcoder()
    transcoder.register(DatetimeAsISO())
    return EventMapper(transcoder, keys)


class EventMapper(Mapper[UUID]):
    """The library's, with fewer steps for an event of ours that has only had one form, and with sealed profiles."""

    def __init__(self, transcoder: JSONTranscoder, keys: ProfileKeys | None) -> None:
        super().__init__(transcoder)
        self._keys = keys

    def to_stored_events(self, events: Sequence[Event]) -> list[StoredEvent]:
        """The events as they are stored; the keys that these need are there then. Raises `StoreFailed`."""
        subjects = [_subject_in(vars(event)) for event in events]
        stated: dict[DataSubject, bool] = {}
        for event, subject in zip(events, subjects, strict=True):
            if subject:
                # A projector reports an erased target driver without a profile: one that has one is another's by now.
                is_stated = bool(subject.target) or isinstance(event, _STATEMENTS)
                stated[subject] = stated.get(subject, False) or is_stated
        if self._keys is None or not stated:
            return [self._to_stored(event, None) for event in events]
        ciphers, found = self._keys.sealing(stated), list[StoredEvent]()
        for event, subject in zip(events, subjects, strict=True):
            place = f"{event.originator_id}/{event.originator_version}"
            found.append(self._to_stored(event, _sealed_in(vars(event), ciphers[subject], place) if subject else None))
        return found

    def to_stored_event(self, domain_event: Any) -> StoredEvent:  # noqa: ANN401 - the library's signature is narrower
        """The event as it is stored."""
        (stored,) = self.to_stored_events([domain_event])
        return stored

    def to_domain_event(self, stored_event: StoredEvent) -> Any:  # noqa: ANN401 - as above
        """The event that was stored."""
        return self.to_event(stored_event, self.ciphers([stored_event.state]))

    def ciphers(self, bodies: Iterable[bytes]) -> Ciphers:
        """The keys that sealed profiles in these bodies, by one query. Raises `StoreFailed`."""
        if self._keys is None:
            return {}
        ids = {id for body in bodies if (id := _sealed_by(body))}  # noqa: A001 - the key's word
        return self._keys.opening(ids) if ids else {}

    def lacks_keys(self, bodies: Iterable[bytes]) -> bool:
        """Whether profiles in these bodies are sealed, and none of the keys is known. Raises `StoreFailed`."""
        ids = {id for body in bodies if (id := _sealed_by(body))}  # noqa: A001 - as above
        return bool(ids) and self._keys is not None and not self._keys.opening(ids)

    def to_event(self, stored: StoredEvent, ciphers: Ciphers) -> Any:  # noqa: ANN401 - as above
        """The event that was stored; the profile of an erased driver is `erased_profile()`.

        Raises what the library raises, and `ValueError` or `TypeError` where the profile cannot be read.
        """
        event = self._to_domain(stored)
        said = vars(event)
        for name in PERSONAL_FIELDS:
            profile = said.get(name)
            if type(profile) is dict and _SEALED in profile:
                said[name] = self.opened(profile, _place(to_id(stored), name), ciphers)
        return event

    def opened(self, profile: Mapping[str, object], place: str, ciphers: Ciphers) -> dict[str, str]:
        """The profile that is sealed for the event of this id; raises as `to_event` does."""
        key, sealed = profile.get("key"), profile[_SEALED]
        if not isinstance(key, str) or not isinstance(sealed, str):
            raise TypeError("its profile is not sealed as it should be")
        if key not in ciphers:
            raise ValueError(f"its profile is sealed by the key {key}, which is not known here")
        cipher = ciphers[key]
        if cipher is None:
            return erased_profile()
        opened = _DECODER.decode(cipher.open(sealed, place))
        if type(opened) is not dict:
            raise TypeError("its profile is not one")
        return opened

    def _to_stored(self, event: Event, sealed: Mapping[str, Mapping[str, str]] | None) -> StoredEvent:
        """The event as it is stored, with these in the place of its profiles, if there are any to seal."""
        kind = type(event)
        topic = getattr(kind, "TOPIC", "")
        state = dict(vars(event))
        if sealed is not None:
            state.update(sealed)
        if Event.BY_TOPIC.get(topic) is not kind or not _has_one_form(topic):
            shown = object.__new__(kind)
            vars(shown).update(state)
            return super().to_stored_event(shown)
        id, version = state.pop("originator_id"), state.pop("originator_version")  # noqa: A001 - the event's word
        return StoredEvent(id, version, topic, self.transcoder.encode(state))

    def _to_domain(self, stored: StoredEvent) -> Any:  # noqa: ANN401 - as above
        kind = Event.BY_TOPIC.get(stored.topic)
        if kind is None or not _has_one_form(kind.TOPIC) or _VERSION in stored.state:
            return super().to_domain_event(stored)
        try:
            state = self.transcoder.decode(stored.state)
        except Exception:  # noqa: BLE001 - the library says what is wrong
            return super().to_domain_event(stored)
        state["originator_id"] = stored.originator_id
        state["originator_version"] = stored.originator_version
        event = object.__new__(kind)
        vars(event).update(state)
        return event


_SEALED = "sealed"

_STATEMENTS = (portal.DriverCreated, portal.DriverUpdated)
"""By these the Portal states a driver: also one who was erased, and is there again."""


def _subject_in(said: Mapping[str, Any]) -> DataSubject | None:
    """Whose profile is in what an event says; None where there is none, or nothing in it that is to be sealed.

    What shows that a driver exists already is about that target driver, not about the one who was to be created.
    """
    if not [*_to_seal(said)]:
        return None
    if (driver := said.get("driver")) is not None and said.get("outcome") != outcomes.Outcome.EXISTS:
        return DataSubject(account=said["account"], driver=driver)
    return DataSubject(account=said["account"], driver=said["key"], target=said["target"])


def _to_seal(said: Mapping[str, Any]) -> Iterator[str]:
    """The fields of what an event says that have a profile, or a part of one, which is to be sealed."""
    for name in PERSONAL_FIELDS:
        profile = said.get(name)
        if profile and _SEALED not in profile and not is_erased(profile):
            yield name


def _place(id: str, name: str) -> str:  # noqa: A002 - the event's word
    """For what a field of the event of this id is sealed, so that it cannot stand in the place of another."""
    return id if name == "profile" else f"{id}/{name}"


def _sealed_in(said: Mapping[str, Any], cipher: ProfileCipher | None, id: str) -> dict[str, Mapping[str, str]]:  # noqa: A002 - as above
    """What is stored in the place of each profile in the event of this id."""
    return {name: _sealed(said[name], cipher, _place(id, name)) for name in _to_seal(said)}


def _sealed(profile: Mapping[str, str], cipher: ProfileCipher | None, place: str) -> Mapping[str, str]:
    """What is stored in the place of a profile, in the event of this id; without a cipher its driver is erased."""
    if cipher is None:
        return erased_profile()
    return {"key": cipher.id, _SEALED: cipher.seal(_ENCODER.encode(profile), place)}


def seal_stored(keys: ProfileKeys, stored: Sequence[StoredEvent]) -> list[StoredEvent]:
    """The same events with their profiles sealed that were stored plain once; by one query. Raises `StoreFailed`.

    What else they have stays as it was; so does all of what is not an event with a profile.
    """
    said = [_plain(each) for each in stored]
    subjects = [_subject_in(state) if state else None for state in said]
    ciphers = keys.sealing(dict.fromkeys(filter(None, subjects), False))
    sealed = []
    for each, state, subject in zip(stored, said, subjects, strict=True):
        if state and subject:
            sealed_in = _sealed_in(state, ciphers[subject], to_id(each))
            each = replace(each, state=_ENCODER.encode({**state, **sealed_in}))  # noqa: PLW2901 - the same one, sealed
        sealed.append(each)
    return sealed


class BodySealer:
    """See `ProfileSealer`."""

    def __init__(self, keys: ProfileKeys) -> None:
        self._keys = keys
        self._mapper = new_mapper(keys)

    def opened(self, id: str, body: bytes) -> bytes:  # noqa: A002 - the record's word
        """The same with the profile as it is read."""
        ciphers = self._mapper.ciphers([body])
        if not ciphers:
            return body
        state = _DECODER.decode(body)
        try:
            for name in PERSONAL_FIELDS:
                if type(state.get(name)) is dict and _SEALED in state[name]:
                    state[name] = self._mapper.opened(state[name], _place(id, name), ciphers)
        except (TypeError, ValueError):
            return body
        return _ENCODER.encode(state)

    def sealed(self, id: str, topic: str, body: bytes) -> bytes:  # noqa: A002 - as above
        """The same with the profile sealed."""
        try:
            (stored,) = seal_stored(self._keys, [to_stored_event(id, topic, body)])
        except ValueError:
            return body
        return stored.state


def _plain(stored: StoredEvent) -> dict[str, Any] | None:
    """What an event says whose profile is not sealed; None where there is no such thing."""
    kind = Event.BY_TOPIC.get(stored.topic)
    if kind is None or "profile" not in _shape(kind.TOPIC):
        return None
    try:
        state = _DECODER.decode(stored.state)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    if type(state) is not dict or any(type(state.get(name, {})) not in (dict, NoneType) for name in PERSONAL_FIELDS):
        return None
    return state if [*_to_seal(state)] else None


class _SealingKey(msgspec.Struct):
    key: str = ""


class _SealedBody(msgspec.Struct):
    profile: _SealingKey | None = None
    former: _SealingKey | None = None


_SEALED_BODIES = msgspec.json.Decoder(_SealedBody)


def _sealed_by(body: bytes) -> str:
    """The id of the key that seals a profile in these bytes; empty where there is none."""
    if b'"sealed"' not in body:
        return ""
    try:
        found = _SEALED_BODIES.decode(body)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return ""
    return (found.profile and found.profile.key) or (found.former and found.former.key) or ""


@cache
def _has_one_form(topic: str) -> bool:
    """Whether the events of this topic only had one form so far."""
    return not hasattr(Event.BY_TOPIC[topic], "class_version")


_VERSION = b'"class_version"'
"""Stands in events of later forms than the first."""

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()

_MARKED = ("_type_", "_data_")
_MARK = b'"_type_"'
_ESCAPED = b"\\u005"
"""How an underscore would be written that hides a mark."""


class _Transcoder(JSONTranscoder):
    """Plain JSON, written and read by msgspec: the moment of an event is text, as RFC 3339 has it.

    The library marks each moment with a type, and so did we once. Whatever is in such a form, or odd, goes the
    library's way, which also says what is wrong with it.
    """

    def encode(self, obj: Any) -> bytes:  # noqa: ANN401 - the library's signature
        """The bytes of an event's state."""
        if isinstance(obj, dict) and isinstance(moment := obj.get("at"), datetime):
            obj = {**obj, "at": moment.isoformat()}
            try:
                return _ENCODER.encode(obj)
            except (TypeError, ValueError, msgspec.MsgspecError):
                pass
        return super().encode(obj)

    def decode(self, data: bytes) -> Any:  # noqa: ANN401 - the library's signature
        """The state of an event."""
        try:
            state = _DECODER.decode(data)
            if type(state) is dict and (moment := _moment(state.get("at"), data)):
                state["at"] = moment
                return state
        except (ValueError, RecursionError, msgspec.MsgspecError):
            pass
        state = super().decode(data)
        if type(state) is dict and isinstance(state.get("at"), str):
            with suppress(ValueError):
                state["at"] = datetime.fromisoformat(state["at"])
        return state


def _moment(stated: object, data: bytes) -> datetime | None:
    """The moment that is stated so; None where only the library can say what else of the data is marked."""
    if isinstance(stated, str):
        return datetime.fromisoformat(stated)
    if data.count(_MARK) == 1 and _ESCAPED not in data and isinstance(stated, dict) and len(stated) == len(_MARKED):
        text = stated.get("_data_") if stated.get("_type_") == DatetimeAsISO.name else None
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    return None


class _MarkedMoment(msgspec.Struct):
    text: str = msgspec.field(name="_data_")


class Envelope(msgspec.Struct):
    """What the stored bytes of an event say of it to those who do not read it."""

    account: str
    at: str | _MarkedMoment
    driver: str = ""
    target: str = ""

    @property
    def time(self) -> str:
        """The moment of the event, as RFC 3339 has it."""
        return self.at if isinstance(self.at, str) else self.at.text


_ENVELOPES = msgspec.json.Decoder(Envelope)


def envelope_of(body: bytes) -> Envelope | None:
    """The envelope of a stored event; None where the bytes are those of no event."""
    try:
        return _ENVELOPES.decode(body)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None


def names_in(body: bytes) -> tuple[str, str]:
    """The account and the driver by which a stored event is found; empty where it is about none, or is none."""
    envelope = envelope_of(body)
    return (envelope.account, envelope.driver) if envelope else ("", "")


def target_of(topic: str, body: bytes) -> str:
    """The target that a fact of the decider concerns; empty for every other record."""
    kind = Event.BY_TOPIC.get(topic)
    if kind is None or not issubclass(kind, DeciderEvent):
        return ""
    envelope = envelope_of(body)
    return envelope.target if envelope else ""


def decoded(mapper: EventMapper, stored: StoredEvent, ciphers: Ciphers | None = None) -> tuple[Event | None, str]:
    """The event, or None and why it cannot be read. Raises `StoreFailed` where the keys cannot be asked for."""
    if stored.topic not in Event.BY_TOPIC:
        return None, f"unknown type {stored.topic!r}"
    try:
        _check_version(stored)
        event = to_event(mapper, stored, ciphers)
    except (EventSourcingError, TopicError, LookupError, TypeError, ValueError) as failure:
        return None, f"{stored.topic} cannot be read: {failure}"
    stored_fields = vars(event)
    wrong = [
        name
        for name, types in _shape(event.TOPIC).items()
        if name not in stored_fields or not isinstance(stored_fields[name], types)
    ]
    # A field that came later, and has a default, is not in what was stored before.
    wrong = [name for name in wrong if name in stored_fields or not hasattr(type(event), name)]
    if wrong:
        # The library's mapper takes whatever JSON there is.
        return None, f"{stored.topic} cannot be read: missing or of another type: {', '.join(wrong)}"
    return event, ""


class PageOfKeys:
    """The keys of a page of records, which are asked for together when the first of these is read."""

    def __init__(self, mapper: EventMapper, bodies: Sequence[bytes]) -> None:
        self._mapper = mapper
        self._bodies = bodies

    @once
    def ciphers(self) -> Ciphers:
        """The keys that sealed profiles in the page. Raises `StoreFailed`."""
        return self._mapper.ciphers(self._bodies)


def to_record(mapper: EventMapper, position: int, stored: StoredEvent, page: PageOfKeys | None = None) -> Record:
    """The record of a log at this position."""
    keys = page or PageOfKeys(mapper, [stored.state])
    return Record(
        position=position,
        log_position=position,
        id=to_id(stored),
        topic=stored.topic,
        body=stored.state,
        decode=lambda: decoded(mapper, stored, keys.ciphers),
        target=target_of(stored.topic, stored.state),
    )


def to_records(mapper: EventMapper, page: Sequence[tuple[int, StoredEvent]]) -> list[Record]:
    """The records of a log at these positions, whose keys are asked for together."""
    keys = PageOfKeys(mapper, [stored.state for _, stored in page])
    return [to_record(mapper, position, stored, keys) for position, stored in page]


def to_id(stored: StoredEvent) -> str:
    """The id of an event: its originator and version."""
    return f"{stored.originator_id}/{stored.originator_version}"


def to_stored_event(id: str, topic: str, body: bytes) -> StoredEvent:  # noqa: A002 - the record's word
    """The stored event of this id; raises `ValueError` when it is none."""
    originator, _, version = id.partition("/")
    return StoredEvent(originator_id=UUID(originator), originator_version=int(version), topic=topic, state=body)


def again(mapper: EventMapper, resubmission: Resubmission) -> Record:
    """The record that a resubmission stands for."""
    body = b64decode(resubmission.body)

    def decode() -> tuple[Event | None, str]:
        try:
            stored = to_stored_event(resubmission.id, resubmission.topic, body)
        except ValueError:
            return None, f"{resubmission.id!r} is not the id of an event: originator/version"
        return decoded(mapper, stored)

    return Record(
        position=resubmission.position,
        log_position=resubmission.log_position,
        id=resubmission.id,
        topic=resubmission.topic,
        body=body,
        decode=decode,
        target=target_of(resubmission.topic, body),
    )


def to_event(mapper: EventMapper, stored: StoredEvent, ciphers: Ciphers | None = None) -> Event:
    """The event; raises what the library raises when it cannot be read, as a service's own history always can.

    `ciphers` are the keys of a page that it is in; without them its own is asked for.
    """
    event = mapper.to_domain_event(stored) if ciphers is None else mapper.to_event(stored, ciphers)
    if not isinstance(event, Event):
        raise TypeError(f"{stored.topic} is not an event")
    return event


def _check_version(stored: StoredEvent) -> None:
    """Raise `ValueError` for an event of a later version than is known: the library would take it for an old one."""
    if _VERSION not in stored.state:
        return
    stated = json.loads(stored.state)
    version = stated.get("class_version", 1) if isinstance(stated, dict) else 1
    if version not in range(1, getattr(Event.BY_TOPIC[stored.topic], "class_version", 1) + 1):
        raise ValueError(f"its version {version!r} is unknown here")


@cache
def _shape(topic: str) -> Mapping[str, tuple[type, ...]]:
    kind = Event.BY_TOPIC[topic]
    hints = get_type_hints(kind)
    return {field.name: _types(hints[field.name]) for field in fields(kind)}


def _types(hint: Any) -> tuple[type, ...]:  # noqa: ANN401 - an annotation
    if isinstance(hint, UnionType):
        return tuple(each for part in get_args(hint) for each in _types(part))
    return (dict,) if is_typeddict(hint) else (get_origin(hint) or hint,)
