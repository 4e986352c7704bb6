"""Masks a capsule: a pseudonym for every value that may say who somebody is, the same one wherever the value stands.

A pseudonym has the shape of its value: a letter for each letter, a digit for each digit, blanks, capitals and
punctuation where they were. Values that differ only in these have pseudonyms that differ only in these, and values that
are different have different ones; so everything that is compared compares as before: keys, RefIDs, e-mail addresses,
licences, and a value in a target's own form. Of a phone number the last seven digits are masked, so that it is the same
with and without its country code.

What many people share and rules read stays as it is: time zones, countries, and the states that issue licences. What a
person wrote as a note is left out, and of what a target said only words stay that say nothing about anybody.
"""

import random
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from domain.account import Role
from domain.driver_link import Rationale
from domain.identity import AccountId, Key, PortalDriverId, Target, temporary_id
from domain.matching import key_identifier, temporary_values
from domain.portal import Change
from domain.profile import FIELDS, PERSONAL_FIELDS, SPECS, IdentifierKind, is_erased
from domain.store import Event
from services.capsules.capsule import Capsule, with_own_id

_SHARED: Final = frozenset({"time_zone", "country", "licence_state", "licence_country"})
"""Fields of a profile that stay as they are."""

_PHONE_TAIL: Final = 7
_SHORTEST: Final = 3
"""Characters of a pseudonym at least: of shorter ones there are too few."""

_TRIES: Final = 40

_PLAIN: Final = frozenset(
    {
        *("originator_id", "originator_version", "at", "target", "tier", "role", "mode", "modes", "sequence"),
        *("fields", "answers", "policy_generation", "hold", "decision", "unlike", "unseen", "reason", "first_seen"),
        *("reconciliation", "at_odds", "outcome", "active", "is_shown", "request", "drivers", "unreadable"),
        *("reconcile_at", "exchanges", "since", "not_restored", "ending"),
        *("undo_decision", "undo_reconciliation", "undo_since"),
    }
)
"""Fields of facts that hold nothing about anybody."""

_SOURCES: Final = frozenset({"api", "command line", "erasure", "export", "push"})
"""Our own words for how something was stated; a client may give another one."""

_REF: Final = re.compile(r"(decision )?[0-9]*")
_IDS: Final = frozenset({"account", "driver", "key", "desired_key", "left", "holder", "only", "back_to"})
_PEOPLE: Final = frozenset({"by", "authenticated", "master_user", "account_manager"})

_HARMLESS: Final = """
    a after all already an and answer answered another any are as at be been bad before belongs breaker by call calls
    can cannot claimed code conflict connection could credentials decision delete deleted different driver drivers
    duplicate e-mail email empty error exist exists external failed fails few field fields first for forbidden form
    found gave gets given group had has have http id ids in integration integrations internal invalid is it its key
    known lacks last later licence license limit limited longer lost made many may missing mode more motive driveri
    must name names neither no nor not nothing now of on only or other others out over phone place portal read ref
    refid refused rejected request required restored same say says second seconds server set several show shown shows
    so state status such taken target than that the their there they this times timeout to too tries try unavailable
    unexpected unique unknown until up upsert us user username users valid value values version was were which while
    wants with without wrong yet zone given-up lets deletes changes place temporary until then soon one up said
"""
_WORDS: Final = frozenset(_HARMLESS.split())
"""Words that stay in what a target, or we, said in words."""

_WORD: Final = re.compile(r"[^\s.,;:()<>`'\"!?]+")


def masked(capsule: Capsule, draws: random.Random | None = None) -> Capsule:
    """The same capsule without anything by which a person or a customer could be known.

    `draws` chooses the pseudonyms, at random and for this capsule only: nobody can work out what they stand for.
    """
    masks = _Masks(capsule, draws or random.SystemRandom())
    return replace(
        capsule,
        account=AccountId(masks.text(capsule.account)),
        driver=PortalDriverId(masks.text(capsule.driver)),
        facts={log: [(at, masks.fact(event)) for at, event in facts] for log, facts in capsule.facts.items()},
        batches=[
            replace(
                each,
                account=masks.text(each.account),
                handled=[masks.reference(at) for at in each.handled],
            )
            for each in capsule.batches
        ],
        dead_letters=[replace(each, reason=masks.words(each.reason)) for each in capsule.dead_letters],
    )


class _Masks:
    """The pseudonyms of one capsule."""

    def __init__(self, capsule: Capsule, draws: random.Random) -> None:
        self._draws = draws
        self._facts = [event for facts in capsule.facts.values() for _, event in facts]
        self._bare: dict[str, str] = {}
        self._tails: dict[str, str] = {}
        self._whole: dict[str, str] = {each: each for each in ("", *map(str, Role))}
        self._opaque: dict[str, str] = {}
        self._known = {_bare_of(text) for text in _texts(self._facts)}
        self._taken: set[str] = set(self._known)
        self._drivers = {capsule.driver, *(str(each.driver) for each in self._facts if hasattr(each, "driver"))}
        self._note_temporary_values(capsule.account)
        self._identifiers = {target: self._masked_identifiers(target) for target in Target}

    def fact(self, event: Event) -> Event:
        """A fact, masked. Raises `LookupError` for a field of which it is not known what it holds."""
        masks: dict[str, Any] = {}
        for name, value in vars(event).items():
            mask = self._mask_of(name, event)
            if mask is not None and value is not None:
                masks[name] = mask(value)
        return with_own_id(replace(event, **masks))

    def _mask_of(self, name: str, event: Event) -> Callable[[Any], Any] | None:
        if name in _PLAIN:
            return None
        if name in _IDS or name in _PEOPLE:
            return self.text
        others: Mapping[str, Callable[[Any], Any]] = {
            **dict.fromkeys(PERSONAL_FIELDS, self.profile),
            "detail": self.words,
            "note": lambda _: "",
            "digest": self.opaque,
            "plan": self.opaque,
            "keys": lambda keys: [self.text(each) for each in keys],
            "elsewhere": lambda keys: [self.text(each) for each in keys],
            "source": lambda source: source if source in _SOURCES else self.text(source),
            "holds": lambda holds: [[self.text(driver), hold] for driver, hold in holds],
            "waits_for": lambda identifier: self.identifier(Target(getattr(event, "target", "")), identifier),
            "rationale": self.rationale,
            "unreadable_records": lambda _: [],
        }
        if name not in others:
            raise LookupError(f"nothing says how {event.TOPIC}.{name} is masked")
        return others[name]

    def text(self, value: str) -> str:
        """The pseudonym of a value, in its shape."""
        if value in self._whole:
            return self._whole[value]
        if value.startswith("ref:"):
            return f"ref:{self.text(value.removeprefix('ref:'))}"
        bare = _bare_of(value)
        if not bare:
            return value
        if bare not in self._bare:
            self._bare[bare] = self._drawn(bare)
        self._whole[value] = _dressed(value, self._bare[bare])
        return self._whole[value]

    def opaque(self, value: str) -> str:
        """Something in place of a hash, whose text could be guessed."""
        if value and value not in self._opaque:
            self._opaque[value] = "".join(self._draws.choice("0123456789abcdef") for _ in value)
        return self._opaque.get(value, "")

    def reference(self, handled: int | str) -> int | str:
        """What a batch handled: a position, a driver, or what a retry was for."""
        return self.text(handled) if isinstance(handled, str) and handled in self._drivers else handled

    def profile(self, profile: Mapping[str, str]) -> dict[str, str]:
        """A profile, field by field."""
        if is_erased(profile):
            return dict(profile)
        return {field: self._field(field, text) for field, text in profile.items()}

    def _field(self, field: str, text: str) -> str:
        if field in _SHARED:
            return text
        return self.phone(text) if field == "phone" else self.text(text)

    def phone(self, text: str) -> str:
        """A phone number, whose last digits say whose it is."""
        digits = "".join(filter(str.isdecimal, text))
        if len(digits) < _PHONE_TAIL:
            return self.text(text)
        tail = digits[-_PHONE_TAIL:]
        if tail not in self._tails:
            self._tails[tail] = self._unused_tail(tail)
        masked_digits = iter(digits[:-_PHONE_TAIL] + self._tails[tail])
        return "".join(next(masked_digits) if each.isdecimal() else each for each in text)

    def _unused_tail(self, tail: str) -> str:
        while True:
            found = "".join(self._character(each, is_first=not number) for number, each in enumerate(tail))
            if found != tail and found not in self._tails.values():
                return found

    def identifier(self, target: Target, identifier: str) -> str:
        """An identifier that something waits for, made of the pseudonyms."""
        if not identifier or identifier in self._identifiers[target]:
            return self._identifiers[target].get(identifier, "")
        kind, _, value = identifier.partition(":")
        return f"{kind}:{self.opaque(value)}"

    def rationale(self, rationale: Mapping[str, Any]) -> Rationale:
        """Why something was decided."""
        told = {**rationale, "evidence": self._evidence(rationale.get("evidence", {}))}
        if "evidence" not in rationale:
            del told["evidence"]
        if rationale.get("trigger") == "hint":
            told["ref"] = self.text(str(rationale["ref"]))
        elif not _REF.fullmatch(str(rationale.get("ref", ""))):
            told["ref"] = self.opaque(str(rationale["ref"]))
        return cast("Rationale", told)

    def _evidence(self, evidence: Mapping[str, Any]) -> dict[str, Any]:
        names = {"key", "holder", "former"}
        return {
            about: {name: self.text(str(value)) if name in names else value for name, value in each.items()}
            for about, each in evidence.items()
        }

    def words(self, text: str) -> str:
        """What was said in words: those that say nothing about anybody, and pseudonyms for all others."""
        return _WORD.sub(lambda found: self._word(found[0]), text)

    def _word(self, word: str) -> str:
        is_harmless = word.casefold() in _WORDS or word in FIELDS or (word.isdecimal() and len(word) <= _SHORTEST)
        return word if is_harmless else self.text(word)

    def _note_temporary_values(self, account: str) -> None:
        """A temporary id follows from the names of account and driver, and so does its pseudonym."""
        masked_account = AccountId(self.text(account))
        for driver in sorted(self._drivers):
            for target in Target:
                before = temporary_id(AccountId(account), target, PortalDriverId(driver))
                after = temporary_id(masked_account, target, PortalDriverId(self.text(driver)))
                self._whole[before] = after
                values = temporary_values(target, after)
                for field, value in temporary_values(target, before).items():
                    self._whole[value] = values[field]

    def _masked_identifiers(self, target: Target) -> dict[str, str]:
        """Every identifier on a target, with the one that follows from the pseudonyms."""
        spec, found = SPECS[target], dict[str, str]()
        kinds: list[IdentifierKind] = [*spec.matched_by, *([spec.unique] if spec.unique else [])]
        for event in self._facts:
            profile: Mapping[str, str] = getattr(event, "profile", {})
            keys = [getattr(event, name, None) for name in ("key", "desired_key", "left", "back_to")]
            if isinstance(event, Change):
                keys += [profile.get(field) for field in spec.key_fields]
            for key in filter(None, keys):
                found[key_identifier(target, Key(key))] = key_identifier(target, Key(self.text(key)))
            if driver := getattr(event, "driver", ""):
                profile = {"portal_driver_id": driver, **profile}
            after = self.profile(profile)
            for kind in kinds:
                if before := kind.identifier(profile):
                    found[before] = kind.identifier(after)
        return found

    def _drawn(self, bare: str) -> str:
        """An unused pseudonym of this shape; longer than the value where all short ones are in use."""
        length = max(len(bare), _SHORTEST)
        for tried in range(_TRIES * 100):
            shape = bare + bare[-1] * (length + tried // _TRIES - len(bare))
            found = "".join(self._character(each, is_first=not number) for number, each in enumerate(shape))
            if found not in self._taken:
                self._taken.add(found)
                return found
        raise AssertionError("there are pseudonyms without end")

    def _character(self, character: str, *, is_first: bool) -> str:
        if character == "0" and is_first:
            return "0"
        if character.isdecimal():
            return self._draws.choice("123456789" if is_first else string.digits)
        return self._draws.choice(string.ascii_lowercase)


def _bare_of(text: str) -> str:
    """Its letters and digits, without regard to letter case."""
    return "".join(filter(str.isalnum, text)).casefold()


def _dressed(value: str, bare: str) -> str:
    """These letters and digits with the capitals, blanks and punctuation of a value."""
    told, at = list[str](), 0
    for character in value:
        if not character.isalnum():
            told.append(character)
            continue
        width = len(character.casefold())
        part = bare[at : at + width]
        told.append(part.upper() if character.isupper() else part)
        at += width
    return "".join(told) + bare[at:]


def _texts(facts: Iterable[Event]) -> Iterable[str]:
    """Every value that may get a pseudonym."""
    for event in facts:
        for name, value in vars(event).items():
            if isinstance(value, str) and name not in _PLAIN:
                yield value
        for name in PERSONAL_FIELDS:
            yield from (getattr(event, name, None) or {}).values()
