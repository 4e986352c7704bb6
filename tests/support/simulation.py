"""A small fleet in the Portal, one target, and our services between them, step by step and without I/O."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from domain.account import Mode, UndoScope
from domain.driver_link import LinkEvent
from domain.identity import PortalDriverId, Target
from domain.portal import Change, PortalDriver, PortalDriverEvent, Statement, replay
from domain.profile import Profile, tidy
from tests.support.decider_in_memory import ACCOUNT, DeciderInMemory
from tests.support.projector_in_memory import ProjectorInMemory
from tests.support.stated import whole
from tests.support.target_in_memory import IN_MEMORY, TargetInMemory

BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
MOST_SCANS = 8
"""The first shows what crossing calls and people did, the next what followed from that; the last decides nothing."""

MOST_CALLS = 2000
"""A fleet this small is at rest after far fewer steps, or never."""


class Simulation:
    """Everything that happens to one account on one target, in the order in which it happens."""

    def __init__(self, target: Target, *, mode: Mode = Mode.FULL) -> None:
        self.target: TargetInMemory = IN_MEMORY[target]()
        self.decider = DeciderInMemory(target)
        self.projector = ProjectorInMemory(self.target)
        self.portal: dict[PortalDriverId, PortalDriver] = {}
        self.now = BEGIN
        self._followed = 0
        self.set_mode(mode)

    def set_mode(self, mode: Mode) -> None:
        """The account agrees to other terms; nothing is decided until the roster is scanned under them."""
        self.decider.take_policy_generation(mode)
        self.projector.mode, self.projector.policy_generation = self.decider.mode, self.decider.policy_generation

    def state(self, driver: PortalDriverId, profile: Profile) -> None:
        """The Portal shows this driver with this profile."""
        known = self._known(driver)
        self._take(known, self._statement().present(known, whole(profile)))

    def restate(self, driver: PortalDriverId, changed: Mapping[str, str]) -> None:
        """The Portal changes some fields of a driver that it has; a blank clears one."""
        known = self._known(driver)
        if known.profile is not None:
            self.state(driver, tidy({**known.profile, **changed}))

    def delete(self, driver: PortalDriverId) -> None:
        """The Portal deletes this driver."""
        known = self._known(driver)
        self._take(known, self._statement().deleted(known))

    def scan(self) -> None:
        """The target's whole roster is read, and everything is decided again."""
        self.decider.take_scan(self.target.scan(), self.now)
        self._follow()

    def start(self, rank: int = 0) -> None:
        """The projector starts one of the calls that are due."""
        if due := self.projector.due:
            self.projector.start(due[rank % len(due)])

    def finish(self, rank: int = 0, *, loses_answer: bool = False) -> None:
        """One of the calls under way takes effect."""
        if under_way := self.projector.under_way:
            self.projector.finish(under_way[rank % len(under_way)], self.now, loses_answer=loses_answer)

    def deliver(self) -> None:
        """The decider learns of the oldest report."""
        if self.projector.reports:
            self.decider.take_answer(self.projector.reports.pop(0), self.now)
            self._follow()

    def judge(self, *, is_approved: bool) -> None:
        """A person approves or rejects exactly the deletes that are held now."""
        self.decider.judge(self.decider.holds, self.now, is_approved=is_approved)
        self._follow()

    def retry(self) -> None:
        """A person wants everybody who is parked looked at again."""
        self.decider.retry(self.now)
        self._follow()

    def undo(self, scope: UndoScope | None = None) -> None:
        """A person wants what is in scope undone; where nothing is said, the last decision about each driver."""
        self.decider.undo(self.now, scope)
        self._follow()

    def wait(self, hours: float) -> None:
        """Time passes."""
        self.now += timedelta(hours=hours)

    def run(self) -> None:
        """Let every call be made and every outcome be recorded, until nothing is left to do."""
        for _ in range(MOST_CALLS):
            if self.projector.reports:
                self.deliver()
            elif self.projector.under_way:
                self.finish()
            elif self.projector.due:
                self.start()
            else:
                return
        raise AssertionError(f"not at rest after {MOST_CALLS} steps")

    def settle(self) -> None:
        """Let everything end that is under way, and read the roster until that decides nothing more."""
        if self.decider.mode is not Mode.FULL:
            self.set_mode(Mode.FULL)
        for _ in range(MOST_SCANS):
            self.run()
            said = len(self.decider.log)
            self.scan()
            if len(self.decider.log) == said:
                return
        raise AssertionError(f"still decides something after {MOST_SCANS} scans")

    def _known(self, driver: PortalDriverId) -> PortalDriver:
        return self.portal.get(driver) or PortalDriver(account=ACCOUNT, driver=driver)

    def _statement(self) -> Statement:
        return Statement(at=self.now, source="api")

    def _take(self, known: PortalDriver, facts: tuple[PortalDriverEvent, ...]) -> None:
        self.portal[known.driver] = replay(known, facts)
        self.decider.take_changes((fact for fact in facts if isinstance(fact, Change)), self.now)
        self._follow()

    def _follow(self) -> None:
        news: list[LinkEvent] = self.decider.log[self._followed :]
        self._followed += len(news)
        for event in news:
            self.projector.follow(event)
