"""Parked links that are to be looked at again: because a person asks for it, or because an outage is over."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from domain.account import RetryRequested
from domain.event import Event
from domain.failures import CLASSES, FailureClass
from domain.identity import AccountId, PortalDriverId, Target
from domain.report import BreakerClosed
from domain.storing import Store, Unit, Where
from services.decider.read_models import LinkRow, Retry

_PAGE = 500

_NOT_FINAL = [str(reason) for reason, kind in CLASSES.items() if kind is not FailureClass.FINAL]
"""Reasons that do not speak of the driver, and may be over when calls are answered again."""


def retries(events: Iterable[Event]) -> Iterator[Retry]:
    """What people ask for, as work in hand: one piece for each target."""
    for event in events:
        if isinstance(event, RetryRequested):
            for target in [event.target] if event.target else Target:
                yield _asked_for(event, target)


def retries_after_outages(reports: Iterable[Event]) -> Iterator[Retry]:
    """Where calls are made again, what was given up in the meantime, as work in hand."""
    for report in reports:
        if isinstance(report, BreakerClosed):
            yield Retry(
                account=report.account,
                target=report.target,
                cause="reached",
                ref="",
                driver="",
                reasons=_NOT_FINAL,
                after="",
            )


def _asked_for(event: RetryRequested, target: str) -> Retry:
    return Retry(
        account=event.account,
        target=str(target),
        cause="retry",
        ref=str(event.originator_version),
        driver=event.driver,
        reasons=[event.reason] if event.reason else [],
        after="",
    )


def next_page(store: Store, work: Retry, unit: Unit) -> list[tuple[AccountId, Target, PortalDriverId]]:
    """The next links of this work; the unit takes over what is left of it then. Raises `StoreFailed`."""
    page = store.select(LinkRow, _parked(work), order_by="driver", after=work.after, limit=_PAGE)
    if page:
        unit.keep([replace(work, after=page[-1].driver)])
    else:
        unit.remove(Retry, {column: getattr(work, column) for column in work.KEY})
    return [(AccountId(row.account), Target(row.target), PortalDriverId(row.driver)) for row in page]


def _parked(work: Retry) -> Where:
    where: dict[str, str | list[str]] = {"account": work.account, "target": work.target, "state": "parked"}
    if work.driver:
        where["driver"] = work.driver
    if work.reasons:
        where["reason"] = work.reasons
    return where
