"""The rows of intake: what it knows of the Portal's drivers, and of the lists that it reads."""

from dataclasses import dataclass
from typing import ClassVar, Final

from domain.cleaning import folded
from domain.identity import AccountId, PortalDriverId
from domain.portal import PortalDriver, PortalDriverEvent, apply
from domain.profile import Profile
from domain.store import Row
from services.runtime.context import CHANGES
from services.runtime.read_models import Events, ReadModel, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDriver(Row):
    """A portal driver as it was stated last."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTerm(Row):
    """A text by which a portal driver is found, as it is compared, and the field that it is from.

    Of a name that is the rest of it from each of its words on. What was stated once stays, so a row of a name or an
    e-mail address may be out of date. `field` is that of the profile, or `driver` for the Portal's id, or `name`.
    """

    TABLE: ClassVar[str] = "search_terms"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver", "field", "term")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "term", "driver", "field"),)

    account: str
    driver: str
    field: str
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
    )


LONGEST_TERM: Final = 100
"""Letters of a text by which drivers are found; what follows is not looked at."""

SEARCHED_IDS: Final = ("driver", "ref_id", "driveri_driver_id")
"""The fields of ids by which drivers are found: by those that they had once, too."""


def search_terms(account: str, driver: str, profile: Profile) -> set[SearchTerm]:
    """By what a driver is found that the Portal states like this."""
    words = folded(" ".join(profile[field] for field in ("first_name", "last_name") if field in profile)).split()
    names = (" ".join(words[place:]) for place in range(len(words)))
    texts = [("driver", driver), *((field, profile.get(field, "")) for field in ("email", *SEARCHED_IDS[1:]))]
    terms = [("name", name) for name in names] + [(field, folded(text)) for field, text in texts if text]
    return {SearchTerm(account=account, driver=driver, field=field, term=term[:LONGEST_TERM]) for field, term in terms}


def new_terms(before: PortalDriver, after: PortalDriver) -> set[SearchTerm]:
    """By what a driver is found after a change, and was not before."""
    if after.profile is None or after.profile == before.profile:
        return set()
    known = before.profile
    old = search_terms(before.account, before.driver, known) if known is not None else set[SearchTerm]()
    return search_terms(after.account, after.driver, after.profile) - old


def project_known_drivers(events: Events, rows: Rows) -> None:
    """What is known of the Portal's drivers after these changes, and by what they are found."""
    facts = [event for _, event in events if isinstance(event, PortalDriverEvent)]
    rows.load(KnownDriver, ((fact.account, fact.driver) for fact in facts))
    known: dict[tuple[str, str], PortalDriver] = {}
    for fact in facts:
        place = fact.account, fact.driver
        if place not in known:
            row = rows.get(KnownDriver, *place)
            start = PortalDriver(account=AccountId(fact.account), driver=PortalDriverId(fact.driver))
            known[place] = to_portal_driver(row) if row else start
        before = known[place]
        known[place] = apply(before, fact)
        for term in new_terms(before, known[place]):
            rows.put(term)
    for driver in known.values():
        rows.put(to_row(driver))


READ_MODELS = (ReadModel(tables=(KnownDriver, SearchTerm), projections=lambda _: {CHANGES: project_known_drivers}),)
"""What intake keeps of its own log."""
