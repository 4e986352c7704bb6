"""The steps of a rehearsal as a table, so that a plan may be as long as the fleet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from domain.driver_link import LinkEvent
from domain.event import Event
from domain.identity import PortalDriverId, Target
from domain.plan import Action, Step, step_after
from domain.storing import Row, Store, Unit
from services.asking.paging import pages

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow(Row):
    """What would be done for one driver on one target, as in `Step`."""

    TABLE: ClassVar[str] = "steps"
    KEY: ClassVar[tuple[str, ...]] = ("target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("action", "driver"),)

    target: str
    driver: str
    action: str
    situation: str
    key: str
    wished_key: str
    fields: list[str]
    reason: str
    written: dict[str, str]
    overridden: dict[str, str]


def note_steps(scratch: Store, after: int) -> Iterator[int]:
    """Make the steps out of what was decided behind this position, page by page; how many facts each page had."""
    while page := scratch.log.read(after, _PAGE):
        _note(scratch, [record.event for record in page if record.event])
        after = page[-1].position
        yield len(page)


def _note(scratch: Store, events: Iterable[Event]) -> None:
    facts = [event for event in events if isinstance(event, LinkEvent)]
    known = scratch.select(StepRow, {"driver": sorted({fact.driver for fact in facts})}) if facts else []
    steps: dict[str, Step | None] = {row.driver: to_step(row) for row in known}
    for fact in facts:
        steps[fact.driver] = step_after(steps.get(fact.driver), fact)
    unit = Unit()
    unit.keep(_to_row(step) for step in steps.values() if step)
    scratch.commit(unit)


def steps_in(scratch: Store, driver: str = "") -> Iterator[list[Step]]:
    """The steps in pages, by action and driver; those of one driver only where one is named."""
    only = {"driver": driver} if driver else {}
    for action in Action:
        for page in pages(scratch, StepRow, {"action": str(action), **only}, "driver"):
            yield [to_step(row) for row in page]


def to_step(row: StepRow) -> Step:
    """The step that a row stands for."""
    return Step(
        target=Target(row.target),
        driver=PortalDriverId(row.driver),
        action=Action(row.action),
        situation=row.situation,
        key=row.key,
        wished_key=row.wished_key,
        fields=tuple(row.fields),
        reason=row.reason,
        written=row.written,
        overridden=row.overridden,
    )


def _to_row(step: Step) -> StepRow:
    return StepRow(
        target=str(step.target),
        driver=step.driver,
        action=str(step.action),
        situation=step.situation,
        key=step.key,
        wished_key=step.wished_key,
        fields=list(step.fields),
        reason=step.reason,
        written=dict(step.written),
        overridden=dict(step.overridden),
    )
