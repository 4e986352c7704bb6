"""A small fleet that changes while targets fail in every way and the process is killed, until it comes to rest."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from domain.account import DeletesApproved
from domain.driver_link import CreateDecided
from domain.failures import CallFailure, Reason, Rejected, Unavailable
from domain.identity import Key, PortalDriverId, Target
from domain.matching import DesiredDriver, ObservedDriver, to_desired
from domain.profile import tidy, to_change
from domain.store import FILLED
from services.decider.read_models import LinkRow
from services.intake.handlers import UnknownDriver
from services.projector.calls import Attempt, Result
from services.projector.read_models import DeliveryRow
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person
from tests.support.target_in_memory import REFUSED_NAME, MotiveInMemory
from tests.support.target_twin import Moment, TargetTwin

PAYROLL = "external_id_of_payroll"
"""What another system keeps in a Motive user, and we never touch."""

DOWN = Unavailable(reason=Reason.DOWN, detail="no connection")
NO_ANSWER = Unavailable(reason=Reason.NO_ANSWER, detail="sent, but no answer came")
LIMITED = Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=60.0)
CREDENTIALS = Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
NOT_EFFECTIVE = Rejected(reason=Reason.NOT_EFFECTIVE, detail="answered 201, but the driver is not there")
INVALID = Rejected(reason=Reason.INVALID, detail="answered 400")

Fault = tuple[Moment, CallFailure]

OUTAGES: tuple[Fault, ...] = (
    ("before", DOWN),
    ("before", NO_ANSWER),
    ("after", NO_ANSWER),
    ("before", LIMITED),
    ("before", CREDENTIALS),
)
"""How a target can fail altogether, and whether a call takes effect all the same."""

FAULTS: tuple[Fault, ...] = (*OUTAGES, ("before", NOT_EFFECTIVE), ("before", INVALID))
"""How a single call can fail."""

LAST_NAMES = ("Doe", "Roe", REFUSED_NAME)

_MOST_DAYS = 12
"""Two days are enough for the whole backoff schedule; each answer may lead to another call."""


class TroubledFleet:
    """Four portal drivers, one of which both targets have already, and an unmanaged driver in each target.

    The others have no e-mail address, and this Motive takes the same external id twice: nothing but our own care
    keeps anybody from being made twice there.
    """

    def __init__(self, folder: Path) -> None:
        self.services = SteppedServices(folder, both_targets())
        self.stated: dict[int, dict[str, str]] = {}
        self.gone: set[int] = set()
        self._ids = 0
        self._late: list[tuple[Target, list[tuple[Attempt, Result]]]] = []
        self._unmanaged = {target: self._with_strangers(target) for target in Target}
        self.services.add()
        self.change(1, "Doe", is_renamed=False, has_phone=False)
        self.services.run()

    def change(self, number: int, last_name: str, *, is_renamed: bool, has_phone: bool) -> None:
        """The Portal states somebody new, or otherwise; one that had left comes back as before."""
        if number in self.gone:
            self.gone.discard(number)
        else:
            known = self.stated.get(number, _newcomer(number))
            renamed = {"driveri_driver_id": self._new_id()} if is_renamed and number in self.stated else {}
            phone = {"phone": f"555-010{number}"} if has_phone else {}
            self.stated[number] = tidy({**known, **renamed, **phone, "last_name": last_name})
        self.services.state(f"p{number}", self.stated[number])

    def leave(self, number: int) -> None:
        """The Portal deletes somebody."""
        with suppress(UnknownDriver):
            self.services.delete(f"p{number}")
            self.gone.add(number)

    def decide(self) -> None:
        """The decider takes what there is."""
        self.services.decide()

    def work(self, target: Target) -> None:
        """The decider, then a projector, does everything once, but for calls to links that have one under way."""
        self.decide()
        self.services.follow(target)
        self.services.probe(target)
        self.services.scan(target)
        if not self._late:
            self.services.call(target)

    def begin(self, target: Target) -> None:
        """Calls are made, and their answers are slow."""
        if not self._late:
            self.decide()
            self.services.follow(target)
            self._late.append((target, self.services.made(target, self.services.start(target))))

    def answer(self) -> None:
        """The slow answers arrive."""
        while self._late:
            self.services.answer(*self._late.pop())

    def kill(self) -> None:
        """Everything that was not stored is lost, answers on their way as well."""
        self._late.clear()
        self.services = self.services.reopened()

    def kill_at_start(self, target: Target) -> None:
        """The process is killed when the starts of calls are stored, and none is made."""
        if not self._late:
            self.decide()
            self.services.follow(target)
            self.services.start(target)
        self.kill()

    def fail(self, target: Target, fault: Fault, times: int) -> None:
        """Several of the next writes fail."""
        self._twin(target).fail_writes(fault[1], times, fault[0])

    def go_down(self, target: Target, outage: Fault) -> None:
        """The target does not answer any more."""
        self._twin(target).down = outage

    def come_back(self, target: Target) -> None:
        """The target answers again."""
        self._twin(target).mend()

    def break_scans(self, target: Target) -> None:
        """Scans fail half way from now on."""
        self._twin(target).breaks_off = 1, DOWN

    def turn_off_and_on(self) -> None:
        """Jane unticks Sync Drivers, and ticks it again."""
        self.services.turn_off()
        self.decide()
        self.services.turn_on()

    def wait(self, minutes: int) -> None:
        """Time passes."""
        self.services.wait(minutes=minutes)

    def come_to_rest(self) -> None:
        """Every fault ends, people mend and approve what waits for them, and time passes until nothing is left."""
        self.answer()
        for target in Target:
            self._twin(target).mend()
        for number, profile in self.stated.items():
            if number not in self.gone and profile["last_name"] == REFUSED_NAME:
                self.change(number, "Poe", is_renamed=False, has_phone=False)
        for _ in range(_MOST_DAYS):
            self.services.run()
            if self._is_at_rest():
                return
            self._approve_and_retry()
            self.services.wait(hours=25)
        raise AssertionError(f"not at rest: {[self.services.states(target) for target in Target]}")

    def disagreements(self) -> list[str]:
        """What a target shows otherwise than the Portal, of whomever it has."""
        return [
            f"{target}: {found}" for target in Target for number in self.stated for found in self._found(target, number)
        ]

    def created_too_often(self, target: Target) -> Counter[str]:
        """Who was made more often than that was decided."""
        made = Counter(effect for effect in self._twin(target).effects if effect.startswith("create "))
        decided = (event for event in self.services.decided(target) if isinstance(event, CreateDecided))
        return made - Counter(f"create {event.desired_key or event.driver}" for event in decided)

    def touched_strangers(self) -> list[str]:
        """The unmanaged drivers that are not as they were, and other systems' ids that are not there any more."""
        shown = {
            target: self._twin(target).drivers.truth(unmanaged.key) for target, unmanaged in self._unmanaged.items()
        }
        touched = [
            f"unmanaged driver in {target}"
            for target, unmanaged in self._unmanaged.items()
            if shown[target] != unmanaged
        ]
        adopted = self._twin(Target.MOTIVE).drivers.truth(Key("1"))
        return touched + ([] if adopted and adopted.profile.get(PAYROLL) == "77" else ["id of payroll"])

    def _found(self, target: Target, number: int) -> list[str]:
        theirs = [each for each in self._active(target) if each.profile.get("first_name") == f"First {number}"]
        if number in self.gone:
            return [f"{each.key} of p{number}, who is gone" for each in theirs]
        if len(theirs) != 1:
            return [f"{len(theirs)} times p{number}"]
        desired = self._desired(target, number)
        differing = to_change(target, desired.profile, theirs[0].profile)
        return [f"p{number} has {field}" for field in differing] + _misnamed(desired, theirs[0])

    def _desired(self, target: Target, number: int) -> DesiredDriver:
        return to_desired(
            ACME, target, PortalDriverId(f"p{number}"), sequence=1, profile=self.stated[number], is_wanted=True
        )

    def _active(self, target: Target) -> list[ObservedDriver]:
        drivers = self._twin(target).drivers
        everybody = [drivers.truth(each.key) for each in drivers.scan()]
        return [each for each in everybody if each and each.active]

    def _is_at_rest(self) -> bool:
        states = {state for target in Target for state in self.services.states(target).values()}
        tasks = (store.count(DeliveryRow, {"due": FILLED})[()] for store in self.services.projector_stores.values())
        return states <= {"in_sync", "ended"} and not any(tasks)

    def _approve_and_retry(self) -> None:
        self.services.ask(lambda jane, known: jane.retry(known, target=None, driver="", reason=""))
        for target in Target:
            rows = self.services.decider_store.select(LinkRow, {"target": str(target), "state": "held"})
            holds: list[list[str | int]] = [[row.driver, row.hold] for row in rows]
            self.services.ask(_approving(target, holds))

    def _with_strangers(self, target: Target) -> ObservedDriver:
        """A driver that the Portal will state, and one that it will not; the latter."""
        known = {**person(1, first_name="Somebody", last_name="Old"), PAYROLL: "77"}
        drivers, is_motive = self._twin(target).drivers, target is Target.MOTIVE
        if isinstance(drivers, MotiveInMemory):
            drivers.once = frozenset({"email"})
        drivers.put(ObservedDriver(key=Key("1" if is_motive else "D1"), active=True, profile=known))
        unmanaged = ObservedDriver(key=Key("2" if is_motive else "S1"), active=True, profile=person(9))
        drivers.put(unmanaged)
        return unmanaged

    def _twin(self, target: Target) -> TargetTwin:
        return self.services.twins[ACME, target]

    def _new_id(self) -> str:
        self._ids += 1
        return f"N{self._ids}"


def _newcomer(number: int) -> dict[str, str]:
    return person(number) if number == 1 else person(number, email="")


def _misnamed(desired: DesiredDriver, shown: ObservedDriver) -> list[str]:
    return [f"{shown.key} in place of {desired.key}"] if desired.key and shown.key != desired.key else []


def _approving(target: Target, holds: list[list[str | int]]) -> Callable[..., tuple[DeletesApproved, ...]]:
    return lambda jane, known: jane.judge(known, DeletesApproved, target=target, digest="seen", holds=holds)
