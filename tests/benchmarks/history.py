"""The logs of a busy fleet: written by the services themselves, with targets that do at once whatever is decided."""

from collections.abc import Iterator, Sequence

from domain.matching import ObservedDriver
from domain.ports import Done, PortalLine
from domain.store import Position, Record, Store, Unit
from services.api.installation import Installation
from services.projector.calls import Attempt
from services.projector.service import ProjectorApp
from services.runtime.consumer import BATCH
from services.runtime.context import log_of
from tests.benchmarks.fleet import MASTER_USER, Fleet, added_by, key_of, profile
from tests.benchmarks.telling import Done as TellingDone
from tests.support.stated import whole


def live(installation: Installation, fleet: Fleet, editions: int, done: TellingDone) -> None:
    """Let a fleet opt in, state each of its drivers so often, and let everything that follows happen."""
    unknown = fleet.account
    installation.accounts.add(unknown, "operator", added_by)
    installation.accounts.ask(unknown, MASTER_USER, lambda person, known: person.turn_on(known))
    for edition in range(1, editions + 1):
        lines = [
            PortalLine(line=number, driver=fleet.driver(number), profile=whole(profile(number, edition=edition)))
            for number in fleet.numbers
        ]
        for start in range(0, len(lines), BATCH):
            installation.intake.take_list(fleet.account, lines[start : start + BATCH], source="api")
        while _step(installation):
            pass
        done(edition)


def records(store: Store) -> Iterator[Sequence[Record]]:
    """All of a store's log, read and decoded, in batches."""
    position = 0
    while some := store.log.read(position, BATCH):
        yield some
        position = some[-1].position


def copy(here: Installation, there: Installation) -> None:
    """Let the services there have the same logs, and have consumed all of them; their read models stay empty."""
    partitions = {0}
    for service, other in zip(here.services, there.services, strict=True):
        for some in records(service.store):
            events = [record.event for record in some if record.event]
            other.store.commit(Unit(events=events))
            if there.partition_of:
                partitions |= {there.partition_of(event.account) for event in events}
    for service in there.services:
        for other in there.services:
            if (log := log_of(other.store.log.name)) in service.consumes and (end := other.store.log.end()):
                positions = [Position(name=f"{log}/{each}", at=end) for each in partitions]
                service.store.commit(Unit(positions=positions))


def _step(installation: Installation) -> int:
    decided = installation.decider_service.step()
    return decided + sum(_project(app) for app in installation.projectors.values())


def _project(app: ProjectorApp) -> int:
    done = app.service.step()
    for scan in [*app._scans.due()]:
        app._scans.complete(scan, set())
        done += 1
    deliveries, begun = app._deliveries, list[Attempt]()
    deliveries.most_calls = BATCH
    deliveries.begin_by(lambda calls: begun.extend(attempt for attempt, _ in calls))
    deliveries.turn([])
    deliveries.begin_by(None)
    deliveries.turn([(attempt, _done(attempt)) for attempt in begun])
    return done + len(begun)


def _done(attempt: Attempt) -> Done:
    delivery, (_, driver) = attempt.delivery, attempt.driver
    return Done(seen=ObservedDriver(key=delivery.desired_key or key_of(driver), active=True, profile=delivery.profile))
