"""The decider with sealed profiles, beside the same one with plain profiles: by processor time, on SQLite.

One account on both targets: all of its drivers are created, and then updated. The changes come from a log that is
sealed or plain as the decider's own is. Each driver's key is made where the changes are stored, as intake does.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

from adapters.profile_keys import ProfileKeyRow, ProfileKeysTable, StatedMasterKeys
from adapters.store.sqlite import SqliteStore
from domain.driver_link import Decision
from domain.identity import AccountId
from domain.store import Event, Unit
from services.decider.handlers import Decider
from services.runtime.consumer import BATCH
from services.runtime.context import CHANGES, DECISIONS, Assignment
from services.wiring import registry
from tests.benchmarks.budgets import SEALING
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import AT, Fleet, confirmed
from tests.benchmarks.servers import Servers
from tests.benchmarks.telling import Telling

LAPS = 5
DRIVERS = 2_000

_EDITIONS = {"creates": 1, "updates": 2}
_ALL = 1_000_000


def measure(_: Servers, telling: Telling) -> Sequence[Finding]:
    """The median over all laps, which take turns."""
    done, laps = telling("sealing", LAPS), dict[tuple[str, bool], list[float]]()
    for number in range(LAPS):
        for is_sealed in (False, True):
            with TemporaryDirectory() as folder, ExitStack() as opened:
                for kind, rate in _lap(Path(folder), opened, is_sealed=is_sealed):
                    laps.setdefault((kind, is_sealed), []).append(rate)
        done(number + 1)
    return [
        Finding(
            what=f"decider, {kind}: sealed to plain profiles",
            ours=median(laps[kind, True]),
            unit="changes a second of processor time",
            budget=SEALING,
            beside=median(laps[kind, False]),
        )
        for kind in _EDITIONS
    ]


def _lap(folder: Path, opened: ExitStack, *, is_sealed: bool) -> Iterator[tuple[str, float]]:
    keys = None
    if is_sealed:
        table = SqliteStore(folder / "keys.sqlite", log_name="keys", rows=(ProfileKeyRow,))
        keys = opened.enter_context(
            closing(ProfileKeysTable(table, StatedMasterKeys("a secret text " * 3), lambda: AT))
        )
    intake = SqliteStore(folder / "intake.sqlite", log_name=CHANGES, rows=registry.INTAKE_ROWS, keys=keys)
    decider = SqliteStore(folder / "decider.sqlite", log_name=DECISIONS, rows=registry.DECIDER_ROWS, keys=keys)
    opened.enter_context(closing(intake))
    opened.enter_context(closing(decider))
    store = registry.SERVICES["decider"].caching(decider)
    deciding, fleet = Decider(store, lambda: AT, Assignment()), Fleet(account=AccountId("lap"), drivers=DRIVERS)
    store.commit(deciding.on_accounts([*enumerate(fleet.account_events, 1)]))
    store.commit(deciding.on_reports([*enumerate(fleet.scans, 1)]))
    while deciding.reconcile():
        pass
    for kind, edition in _EDITIONS.items():
        before, at = decider.log.end(), intake.log.end()
        intake.commit(Unit(events=[*fleet.changes(edition)]))
        began = process_time()
        while page := intake.log.read(at, BATCH):
            store.commit(deciding.on_changes([(each.position, each.event) for each in page if each.event]))
            at = page[-1].position
        yield kind, DRIVERS / (process_time() - began)
        decided = [each.event for each in decider.log.read(before, _ALL)]
        answers: Iterator[Event] = iter(confirmed(each for each in decided if isinstance(each, Decision)))
        while some := [*islice(answers, BATCH)]:
            store.commit(deciding.on_reports([*enumerate(some, 1)]))
