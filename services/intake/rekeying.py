"""Which drivers may be re-keyed, and which wait for an approval."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.guard import APPROVAL_LASTS, WINDOW, Identifiers, ReKeyingGuard, digest_of_rekeying, replaced
from domain.identity import AccountId, PortalDriverId
from domain.portal import ListChange
from domain.ports import PortalLine
from domain.store import Store, Unit
from services.intake.read_models import KnownDriver, ReKeyingRow
from services.runtime.context import Clock

PASSED: Final = "passed"
HELD: Final = "held"
APPROVED: Final = "approved"

_CHUNK = 500


class ReKeyingHeld(Exception):
    """More drivers would be re-keyed than allowed without an approval; the message says what to do."""


@dataclass(slots=True, kw_only=True)
class Absences:
    """How many drivers a list should have shown, and how many of those it lacks."""

    known: int = 0
    lacking: int = 0

    def count(self, *, is_shown: bool) -> None:
        """One more driver who is known."""
        self.known += 1
        self.lacking += not is_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What the review of a whole list has found: the drivers it would re-key, those new in it, and all that it shows.

    `refused` are lines that could not be stored and name a driver. `approve` is the hash that a person saw. `is_dry`:
    nothing will follow.
    """

    rekeyed: Sequence[tuple[PortalDriverId, Identifiers]]
    new: Collection[PortalDriverId]
    shown: Collection[PortalDriverId]
    refused: Sequence[PortalLine] = ()
    is_complete: bool = False
    may_lack_many: bool = False
    approve: str | None = None
    is_dry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a list may be stored.

    It would re-key `rekeyed` drivers, and show new ones in the place of `replaced` known ones. `digest` names them.
    """

    is_held: bool
    digest: str
    rekeyed: int
    replaced: int
    known: int
    lacking: int
    counted: int
    limit: int


def digest_of(account: AccountId, rows: Iterable[ReKeyingRow]) -> str:
    """The hash of these held re-keyings."""
    return digest_of_rekeying(account, ((PortalDriverId(row.driver), row.after) for row in rows))


class ReKeyings:
    """The re-keyings of all accounts, as intake keeps count of them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def pass_through(self, account: AccountId, differences: Iterable[ListChange], unit: Unit) -> None:
        """Store in the unit which drivers it re-keys. Raises `ReKeyingHeld` when they are too many.

        A driver who was judged before passes; that uses up an approval.
        """
        rekeyed = [(each.driver, each.after) for each in differences if each.is_rekeying]
        if not rekeyed:
            return
        judged = self._judged(account, rekeyed)
        fresh = [each for each in rekeyed if each[0] not in judged]
        if fresh:
            known = self._store.count(KnownDriver, {"account": account, "is_there": True})[()]
            guard = self._guard(account, known)
            if guard.holds(len(fresh)):
                command = f"driverlink drivers import FILE --account {account}"
                raise ReKeyingHeld(
                    f"the list would re-key {len(fresh)} of {known} drivers, and {guard.limit} may be in a day; "
                    f"import it with `{command}`, which asks for a person's word"
                )
        unit.keep(self._row(account, driver, after, state=PASSED) for driver, after in fresh)
        used = [driver for driver, row in judged.items() if row.state == APPROVED]
        if used:
            unit.remove(ReKeyingRow, {"account": account, "driver": used})

    def judge(self, account: AccountId, reviewed: Reviewed, absences: Absences) -> Judgement:
        """Whether a list may be stored; if so, and it is going to be, the re-keyings are stored."""
        judged = self._judged(account, reviewed.rekeyed)
        fresh = [each for each in reviewed.rekeyed if each[0] not in judged]
        known, lacking = absences.known, absences.lacking
        instead = replaced(new=len(reviewed.new), known=known - lacking, lacking=lacking)
        newcomers: list[tuple[PortalDriverId, Identifiers]] = [(driver, {}) for driver in sorted(reviewed.new)]
        asked = [*reviewed.rekeyed, *(newcomers if instead else ())]
        guard = self._guard(account, known)
        is_held = guard.holds(len(fresh) + instead)
        judgement = Judgement(
            is_held=is_held and reviewed.approve != digest_of_rekeying(account, asked),
            digest=digest_of_rekeying(account, asked),
            rekeyed=len(reviewed.rekeyed),
            replaced=instead,
            known=known,
            lacking=lacking,
            counted=guard.counted,
            limit=guard.limit,
        )
        if judgement.is_held or reviewed.is_dry:
            return judgement
        unit, state = Unit(), APPROVED if is_held else PASSED
        noted = fresh if is_held else [*fresh, *newcomers[:instead]]
        unit.keep(self._row(account, driver, after, state=state) for driver, after in noted)
        if unit.rows:
            self._store.commit(unit)
        return judgement

    def judge_reading(
        self,
        account: AccountId,
        found: Sequence[ListChange],
        absences: Absences,
        *,
        unsaid: Collection[PortalDriverId],
    ) -> set[PortalDriverId]:
        """The drivers set aside by a reading of the Portal whose changes may be stored; the others are held.

        A driver who was held before, and by this reading would not be any more, is forgotten; but the reading says
        nothing about the identifiers of drivers who are `unsaid`.
        """
        drivers = {each.driver: each.after if each.is_rekeying else {} for each in found}
        judged = self._judged(account, list(drivers.items()))
        fresh = [each for each in found if each.driver not in judged]
        new = sum(each.is_new for each in fresh)
        instead = replaced(new=new, known=absences.known - absences.lacking, lacking=absences.lacking)
        asked = [each for each in fresh if each.is_rekeying or instead]
        is_held = self._guard(account, absences.known).holds(len(asked) - new + instead if instead else len(asked))
        held = {each.driver: each for each in asked} if is_held else {}
        passed = [] if is_held else asked[: len(asked) - new + instead]
        before = {row.driver: row for row in self.held(account)}
        gone = [driver for driver in before if driver not in held and driver not in unsaid]
        unit = Unit()
        if gone:
            unit.remove(ReKeyingRow, {"account": account, "driver": gone})
        for driver, each in held.items():
            row = self._row(account, driver, drivers[driver], state=HELD)
            at = before[driver].at if driver in before else row.at
            unit.keep([replace(row, before=dict(each.before), at=at)])
        unit.keep(self._row(account, each.driver, drivers[each.driver], state=PASSED) for each in passed)
        self._store.commit(unit)
        return drivers.keys() - held.keys()

    def held(self, account: AccountId) -> list[ReKeyingRow]:
        """The drivers who wait for an approval, by id."""
        return self._store.select(ReKeyingRow, {"account": account, "state": HELD}, order_by="driver")

    def approve(self, account: AccountId, digest: str, by: str) -> int:
        """Allow exactly the held re-keyings that this hash names; how many they are. Raises `ReKeyingHeld`."""
        rows = self.held(account)
        if not rows or digest != digest_of(account, rows):
            raise ReKeyingHeld(
                f"{digest} is not what is held now for {account}; "
                f"look at it again: `driverlink rekeyings list {account}`"
            )
        unit = Unit()
        unit.keep(replace(row, state=APPROVED, at=self._clock().isoformat(), by=by) for row in rows)
        self._store.commit(unit)
        return len(rows)

    def _judged(
        self, account: AccountId, rekeyed: Sequence[tuple[PortalDriverId, Identifiers]]
    ) -> dict[PortalDriverId, ReKeyingRow]:
        """Which of these were allowed, with these identifiers, recently enough to count."""
        wanted, since = dict(rekeyed), (self._clock() - min(WINDOW, APPROVAL_LASTS)).isoformat()
        drivers = sorted(wanted)
        found: dict[PortalDriverId, ReKeyingRow] = {}
        for start in range(0, len(drivers), _CHUNK):
            where = {"account": account, "driver": drivers[start : start + _CHUNK], "state": [PASSED, APPROVED]}
            for row in self._store.select(ReKeyingRow, where):
                driver = PortalDriverId(row.driver)
                if row.at > since and row.after == wanted[driver]:
                    found[driver] = row
        return found

    def _guard(self, account: AccountId, known: int) -> ReKeyingGuard:
        since = (self._clock() - WINDOW).isoformat()
        passed = self._store.select(ReKeyingRow, {"account": account, "state": PASSED})
        return ReKeyingGuard(known=known, counted=sum(row.at > since for row in passed))

    def _row(self, account: AccountId, driver: PortalDriverId, after: Identifiers, *, state: str) -> ReKeyingRow:
        at = self._clock().isoformat()
        return ReKeyingRow(account=account, driver=driver, state=state, at=at, before={}, after=dict(after))
