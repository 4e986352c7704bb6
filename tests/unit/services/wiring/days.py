"""Days of a small fleet, with whatever can happen to it, in any order."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from domain.account import DeletesApproved, Mode
from domain.failures import Reason, Unavailable
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from services.decider.read_models import LinkRow
from services.intake.handlers import UnknownDriver
from services.projector.calls import Attempt, Result
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person

LOST = Unavailable(reason=Reason.NO_ANSWER, detail="no answer")
DOWN = Unavailable(reason=Reason.DOWN, detail="503")

numbers = st.integers(1, 4)
targets = st.sampled_from(list(Target))
ids = st.sampled_from(["D1", "D2", "d2", "D3", "D9", ""])
emails = st.sampled_from(["p1@fleet.test", "p2@fleet.test", "new@fleet.test"])


class Day:
    """What can happen to a fleet, in any order."""

    def __init__(self, folder: Path) -> None:
        self.services = SteppedServices(folder, both_targets())
        self._late: list[tuple[Target, list[tuple[Attempt, Result]]]] = []

    def state(self, number: int, desired: str, email: str) -> None:
        self.services.state(f"p{number}", person(number, driveri_driver_id=desired, email=email))

    def delete(self, number: int) -> None:
        with suppress(UnknownDriver):
            self.services.delete(f"p{number}")

    def decide(self) -> None:
        self.services.decide()

    def project(self, target: Target) -> None:
        self.services.project(target)

    def call(self, target: Target) -> None:
        """Calls are made, and their answers are slow."""
        if not self._late:
            self.services.follow(target)
            self._late.append((target, self.services.made(target, self.services.start(target))))

    def answer(self) -> None:
        while self._late:
            self.services.answer(*self._late.pop())

    def fail(self, target: Target, failure: Unavailable) -> None:
        self.services.twins[ACME, target].fail_next(failure, "after")

    def interrupt(self, target: Target, *, is_broken: bool) -> None:
        self.services.twins[ACME, target].breaks_off = (0, DOWN) if is_broken else None

    def set_mode(self, target: Target, mode: Mode) -> None:
        self.services.set_mode(target, mode)

    def turn(self, *, is_on: bool) -> None:
        (self.services.turn_on if is_on else self.services.turn_off)()

    def put(self, key: str, last_name: str, *, active: bool) -> None:
        """Somebody works in Driveri by hand."""
        driver = ObservedDriver(key=Key(key), active=active, profile={"first_name": "By", "last_name": last_name})
        self.services.twins[ACME, Target.DRIVERI].drivers.put(driver)

    def drop(self, key: str) -> None:
        self.services.twins[ACME, Target.DRIVERI].drivers.drop(Key(key))

    def approve(self, target: Target) -> None:
        rows = self.services.decider_store.select(LinkRow, {"target": str(target), "state": "held"})
        holds: list[list[str | int]] = [[row.driver, row.hold] for row in rows]
        self.services.ask(
            lambda jane, known: jane.judge(known, DeletesApproved, target=target, digest="seen", holds=holds)
        )

    def wait(self, hours: int) -> None:
        self.services.wait(hours=hours)


Happening = Callable[[Day], None]


def happening(name: str, *parts: Any, **named: Any) -> st.SearchStrategy[Happening]:  # noqa: ANN401 - strategies
    """Something of a `Day`, with any of these parts."""
    said = st.tuples(st.tuples(*parts), st.fixed_dictionaries(named))
    return said.map(lambda said: lambda day: getattr(day, name)(*said[0], **said[1]))


happenings: st.SearchStrategy[Sequence[Happening]] = st.lists(
    st.one_of(
        happening("state", numbers, ids, emails),
        happening("state", numbers, ids, emails),
        happening("delete", numbers),
        happening("decide"),
        happening("decide"),
        happening("project", targets),
        happening("project", targets),
        happening("call", targets),
        happening("answer"),
        happening("fail", targets, st.sampled_from([LOST, DOWN])),
        happening("interrupt", targets, is_broken=st.booleans()),
        happening("set_mode", targets, st.sampled_from(list(Mode))),
        happening("turn", is_on=st.booleans()),
        happening("put", ids.filter(bool), st.sampled_from(["Doe", "Roe"]), active=st.booleans()),
        happening("drop", ids.filter(bool)),
        happening("approve", targets),
        happening("wait", st.integers(1, 30)),
    ),
    min_size=5,
    max_size=40,
)
