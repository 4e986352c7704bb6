"""Sweeps that have to go by a plan: each is rehearsed first, and refused if it would be another one by now."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

import structlog

from domain.account import Account, Mode
from domain.identity import Target
from domain.storing import Store, StoreConflict, StoreFailed, Unit
from services.accounts.read_models import accounts_of
from services.decider import sweeps
from services.decider.read_models import CatchUp
from services.planning.rehearsal import Rehearsal, Scratch
from services.runtime.clock import Clock

_log = structlog.get_logger()

_UNKNOWN = ""
"""What a sweep would be of which no rehearsal can be made."""


class PlanChecks:
    """Rehearses one sweep at a time, piece by piece, so that nobody else waits for it.

    How far it has come is in memory only: whoever takes over begins anew, for nothing was decided yet. `in_hand` tells
    the accounts of our share for which a sweep with a plan is in hand.
    """

    def __init__(self, store: Store, clock: Clock, *, in_hand: Callable[[], Sequence[str]], scratch: Scratch) -> None:
        self._store = store
        self._clock = clock
        self._in_hand = in_hand
        self._scratch = scratch
        self._pieces: Iterator[int] = iter(())

    def check_plans(self) -> int:
        """Do the next piece of what there is to check; how much it was."""
        for done in self._pieces:
            return done
        work = self._next()
        self._pieces = self._check(work) if work else iter(())
        return int(work is not None)

    def _next(self) -> CatchUp | None:
        """The next sweep with a plan; one that knows more of its account than we do has to wait."""
        accounts = self._in_hand()
        in_hand = self._store.select(CatchUp, {"account": accounts}, order_by="account") if accounts else []
        known = accounts_of(self._store, (work.account for work in in_hand if work.plan))
        planned = (work for work in in_hand if work.plan)
        return next((work for work in planned if not sweeps.is_ahead(work, known.get(work.account))), None)

    def _check(self, work: CatchUp) -> Iterator[int]:
        account = accounts_of(self._store, [work.account])[work.account]
        if _has_other_terms(work, account):
            self._store.commit(sweeps.dropped(self._store, work, account, self._clock()))
            return
        try:
            would_be = yield from self._rehearse(work, account)
        except StoreFailed as failure:
            # Where it is our own store that fails, so does storing the refusal; else only this sweep comes to nothing.
            _log.warning("plan cannot be compared", account=work.account, target=work.target, reason=str(failure))
            would_be = _UNKNOWN
        except StoreConflict:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            trouble = type(failure).__name__
            _log.error("plan cannot be compared", account=work.account, target=work.target, trouble=trouble)
            would_be = _UNKNOWN
        self._judge(work, would_be)

    def _rehearse(self, work: CatchUp, account: Account) -> Generator[int, None, str]:
        """What the sweep would be by now."""
        with self._scratch() as scratch:
            rehearsal = Rehearsal(scratch, account, Target(work.target), self._clock())
            yield from rehearsal.copy(self._store)
            yield from rehearsal.decide()
            yield from map(len, rehearsal.steps())
            return rehearsal.part().digest

    def _judge(self, work: CatchUp, would_be: str) -> None:
        """Let the sweep begin if it would be what a person saw; one that began anew meanwhile is checked anew.

        That of an account that has gone to another process meanwhile is checked there.
        """
        place = {"account": work.account, "target": work.target}
        if work.account not in self._in_hand() or work not in self._store.select(CatchUp, place):
            return
        unit = Unit()
        if would_be == work.plan:
            unit.keep([replace(work, plan="")])
        else:
            unit = sweeps.refused(self._store, work, plan=work.plan, would_be=would_be, now=self._clock())
        self._store.commit(unit)


def _has_other_terms(work: CatchUp, account: Account) -> bool:
    target = Target(work.target)
    return account.mode(target) is Mode.OFF or work.terms != account.terms.get(target, 0)
