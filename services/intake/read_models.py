"""The rows of intake: what it knows of the Portal's drivers, and of the lists that it reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from domain.cleaning import folded
from domain.identity import AccountId, PortalDriverId
from domain.portal import DriverErased, PortalDriver, PortalDriverEvent, apply
from domain.profile import Profile
from domain.store import Row, Unit, key_of
from services.runtime.context import CHANGES
from services.runtime.read_models import Events, ReadModel, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDriver(Row):
    """A portal driver as it was stated last, and when it was `erased` (ISO 8601), unless it was stated since."""

    TABLE: ClassVar[str] = "known_drivers"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "ref_id"),)

    account: str
    driver: str
    version: int
    is_there: bool
    missed: bool
    ref_id: str
    profile: dict[str, str]
    erased: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTerm(Row):
    """A text by which a portal driver is found, as it is compared, and the field that it is from.

    Of a name that is the rest of it from each of its words on, and `place` is that of the word; of an id it is the
    version of the driver that stated it, and those that it had once stay. `field` is that of the profile, or `driver`
    for the Portal's id, or `name`. Those of a deleted driver stay too, and of an erased one only the Portal's id.
    """

    TABLE: ClassVar[str] = "search_terms"
    # A key that began with the account would let a search read all of an account: the database may not know better.
    KEY: ClassVar[tuple[str, ...]] = ("driver", "account", "field", "place")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "term", "driver", "field"),)
    # A term is never empty: only what goes by terms may use their index.
    SPARSE: ClassVar[frozenset[str]] = frozenset({"term"})

    account: str
    driver: str
    field: str
    place: int
    term: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDriver(Row):
    """Work in hand: a driver that the snapshot being read has shown so far."""

    TABLE: ClassVar[str] = "snapshot_drivers"
    KEY: ClassVar[tuple[str, ...]] = ("account", "snapshot", "driver")

    account: str
    snapshot: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDriver(Row):
    """Work in hand: which login has shown a driver last. Only a driver that it has shown can be lacking in its list."""

    TABLE: ClassVar[str] = "shown_drivers"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")

    account: str
    driver: str
    login: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRow(Row):
    """Work in hand: when an account's list was read last by the Portal's API, and when it is to be read next.

    `at` is when it was read whole, empty if never; `drivers` and `refused` are lines of that list. `failure` says why
    it could not be read since `failing_since`; empty if it could.
    """

    TABLE: ClassVar[str] = "readings"
    KEY: ClassVar[tuple[str, ...]] = ("account",)
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "failing_since"),)
    SPARSE: ClassVar[frozenset[str]] = frozenset({"failing_since"})

    account: str
    next_at: str
    at: str = ""
    drivers: int = 0
    refused: int = 0
    failure: str = ""
    failing_since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReKeyingRow(Row):
    """Work in hand: a driver who was or would be re-keyed, from these identifiers to those.

    `state` is `passed` (counts in the window from `at` on), `held` (waits for a person since then), or `approved` (may
    be done once, by the word of `by`). A new driver who may be a known one under another id has none before.
    """

    TABLE: ClassVar[str] = "rekeyings"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "state"), ("state", "account"))

    account: str
    driver: str
    state: str
    at: str
    before: dict[str, str]
    after: dict[str, str]
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRow(Row):
    """Work in hand: a push that was accepted, so that the same one changes nothing again; `push` is its webhook-id.

    `hour` is when it came, to the hour; `digest` stands for its body, and `changes` is what it was answered.
    """

    TABLE: ClassVar[str] = "pushes"
    KEY: ClassVar[tuple[str, ...]] = ("account", "push")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("hour",),)

    account: str
    push: str
    hour: str
    digest: str
    changes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPushRow(Row):
    """Work in hand: how often a push was refused for a `reason`, and when last; not a word of what was in it.

    `account` is empty where there is none of that name.
    """

    TABLE: ClassVar[str] = "refused_pushes"
    KEY: ClassVar[tuple[str, ...]] = ("account", "sender", "reason")

    account: str
    sender: str
    reason: str
    refused: int
    at: str


def to_portal_driver(row: KnownDriver) -> PortalDriver:
    """The portal driver that a row stands for."""
    return PortalDriver(
        account=AccountId(row.account),
        driver=PortalDriverId(row.driver),
        version=row.version,
        profile=row.profile if row.is_there else None,
        missed=row.missed,
        erased_at=datetime.fromisoformat(row.erased) if row.erased else None,
    )


def to_row(known: PortalDriver) -> KnownDriver:
    """The row that stands for a portal driver."""
    profile = dict(known.profile or {})
    return KnownDriver(
        account=known.account,
        driver=known.driver,
        version=known.version,
        is_there=known.is_there,
        missed=known.missed,
        ref_id=profile.get("ref_id", ""),
        profile=profile,
        erased=known.erased_at.isoformat() if known.erased_at else "",
    )


LONGEST_TERM: Final = 100
"""Letters of a text by which drivers are found; what follows is not looked at."""

MOST_WORDS: Final = 10
"""Words of a name by which drivers are found."""

SEARCHED_IDS: Final = ("driver", "ref_id", "driveri_driver_id")
"""The fields of ids by which drivers are found: by those that they had once, too."""

_NAME: Final = ("first_name", "last_name")


def search_terms(driver: str, profile: Profile) -> set[tuple[str, str]]:
    """By what a driver is found that the Portal states like this: fields and terms."""
    texts = [("driver", driver), *((field, profile.get(field, "")) for field in ("email", *SEARCHED_IDS[1:]))]
    return {("name", name) for name in _names(profile)} | {(field, _term(text)) for field, text in texts if text}


def _term(text: str) -> str:
    return folded(text)[:LONGEST_TERM]


def _names(profile: Profile) -> list[str]:
    """A driver's name, from each of its words on."""
    words = folded(" ".join([profile[field] for field in _NAME if field in profile])).split()
    return [" ".join(words[place:])[:LONGEST_TERM] for place in range(min(len(words), MOST_WORDS))]


def _new_ids(before: PortalDriver, after: PortalDriver, stated: Profile) -> Iterator[SearchTerm]:
    """The ids by which a driver is found after a statement, and was not before it."""
    known = before.profile or {}
    for field in SEARCHED_IDS[1:]:
        if (text := stated.get(field, "")) and text != known.get(field):
            yield _placed(after, field, after.version, _term(text))
    if not before.version:
        yield _placed(after, "driver", 0, _term(after.driver))


def _new_words(before: PortalDriver, stated: Profile) -> Iterator[SearchTerm]:
    """What the name and the e-mail of a driver come to by a statement, or several; a blank term: there is none."""
    # What was stated of a driver who comes back is not known, nor therefore what it is still found by.
    is_back, known = bool(before.version) and before.profile is None, before.profile or {}
    if is_back or stated.get("email") != known.get("email"):
        yield _placed(before, "email", 0, _term(stated.get("email", "")))
    if is_back or any(stated.get(field) != known.get(field) for field in _NAME):
        names, former = _names(stated), MOST_WORDS if is_back else len(_names(known))
        names += [""] * (former - len(names))
        yield from (_placed(before, "name", place, name) for place, name in enumerate(names))


def _terms_of(driver: PortalDriver) -> Iterator[SearchTerm]:
    """Every text by which a driver may be found that the Portal stated so often, but for the Portal's id."""
    for version in range(1, driver.version):
        yield from (_placed(driver, field, version, "") for field in SEARCHED_IDS[1:])
    yield _placed(driver, "email", 0, "")
    yield from (_placed(driver, "name", place, "") for place in range(MOST_WORDS))


def _placed(driver: PortalDriver, field: str, place: int, term: str) -> SearchTerm:
    return SearchTerm(account=driver.account, driver=driver.driver, field=field, place=place, term=term)


def keep_terms(unit: Unit, before: PortalDriver, after: PortalDriver) -> None:
    """Store in the unit, as the last that it has of this driver, by what the driver is found after a fact."""
    if after.profile is None or after.profile == before.profile:
        return
    for term in (*_new_ids(before, after, after.profile), *_new_words(before, after.profile)):
        key = key_of(term)
        if term.term:
            unit.rows[SearchTerm, key] = term
        else:
            unit.rows.pop((SearchTerm, key), None)
            unit.remove(SearchTerm, dict(zip(SearchTerm.KEY, key, strict=True)))


def forget_driver(unit: Unit, after: PortalDriver) -> None:
    """Store in the unit what is known of a driver after its erasure, and by what it is found: the Portal's id."""
    place = {"account": after.account, "driver": after.driver}
    for kind in (ReKeyingRow, SearchTerm):
        unit.remove(kind, place)
    unit.keep([to_row(after), _placed(after, "driver", 0, _term(after.driver))])


def project_known_drivers(events: Events, rows: Rows) -> None:
    """What is known of the Portal's drivers after these changes, and by what they are found."""
    facts = [event for _, event in events if isinstance(event, PortalDriverEvent)]
    rows.load(KnownDriver, ((fact.account, fact.driver) for fact in facts))
    known: dict[tuple[str, str], PortalDriver] = {}
    stated: dict[tuple[str, str], tuple[PortalDriver, Profile]] = {}
    for fact in facts:
        driver = fact.account, fact.driver
        if driver not in known:
            row = rows.get(KnownDriver, *driver)
            start = PortalDriver(account=AccountId(fact.account), driver=PortalDriverId(fact.driver))
            known[driver] = to_portal_driver(row) if row else start
        before, after = known[driver], apply(known[driver], fact)
        known[driver] = after
        if isinstance(fact, DriverErased):
            stated.pop(driver, None)
            _remove_terms(rows, after)
        if after.profile is not None and after.profile != before.profile:
            for term in _new_ids(before, after, after.profile):
                rows.put(term)
            first, _ = stated.get(driver, (before, after.profile))
            stated[driver] = first, after.profile
    for first, profile in stated.values():
        _put_words(rows, first, profile)
    for each in known.values():
        rows.put(to_row(each))


def _remove_terms(rows: Rows, erased: PortalDriver) -> None:
    for term in _terms_of(erased):
        rows.remove(SearchTerm, *key_of(term))


def _put_words(rows: Rows, before: PortalDriver, stated: Profile) -> None:
    for term in _new_words(before, stated):
        if term.term:
            rows.put(term)
        else:
            rows.remove(SearchTerm, *key_of(term))


READ_MODELS = (ReadModel(tables=(KnownDriver, SearchTerm), projections=lambda _: {CHANGES: project_known_drivers}),)
"""What intake keeps of its own log."""
