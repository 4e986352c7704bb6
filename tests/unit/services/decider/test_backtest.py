"""A backtest decides as the real decider did, except where the rules are other ones."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from domain.account import DeletesApproved, Mode
from domain.driver_link import LinkEvent
from domain.failures import Reason, Rejected
from domain.guard import DeleteLimit, digest_of_holds
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from domain.profile import SPECS
from domain.rules import RULES, Rules
from domain.store import Store, Unit
from services.decider.backtest import Backtest, History, Modes, Otherwise
from services.decider.order import BatchRow
from services.decider.read_models import LinkRow
from services.intake.handlers import UnknownDriver
from services.runtime.context import log_of
from services.wiring.registry import open_dry_run
from tests.support.stepped_services import ACME, SteppedServices, both_targets, logged, person

OTHER = AccountId("other")
DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE


@contextmanager
def backtested(
    fleet: SteppedServices, account: AccountId = ACME, rules: Rules = RULES, modes: Modes | None = None
) -> Iterator[tuple[Store, list[Otherwise], Backtest]]:
    stores = [fleet.accounts_store, fleet.intake_store, *fleet.projector_stores.values()]
    history = History(decider=fleet.decider_store, logs={log_of(store.log.name): store.log for store in stores})
    with open_dry_run() as scratch:
        backtest = Backtest(scratch, history, account, rules=rules, modes=modes)
        yield scratch, [each for page in backtest.run() for each in page], backtest


def otherwise(
    fleet: SteppedServices, rules: Rules = RULES, modes: Modes | None = None
) -> list[tuple[str, str, str, str]]:
    """Where a backtest decides otherwise: target, driver, what was decided, and what would have been."""
    with backtested(fleet, rules=rules, modes=modes) as (_, found, _):
        return [
            (
                each.target,
                each.driver,
                each.decided.action if each.decided else "",
                each.would_be.action if each.would_be else "",
            )
            for each in found
        ]


def link_events(store: Store, account: AccountId) -> list[LinkEvent]:
    return [each for each in logged(store) if isinstance(each, LinkEvent) and each.account == account]


class Story:
    """What happens at random to two accounts: everything that people, the Portal and the targets do, in any order."""

    def __init__(self, fleet: SteppedServices, seed: int) -> None:
        self._fleet = fleet
        self._random = random.Random(seed)  # noqa: S311 - the same each time

    def tell(self, happenings: int) -> None:
        """Let so much happen, then a drift that a reconciliation finds."""
        for account in (ACME, OTHER):
            self._fleet.add(account)
        actions = [self._state] * 6 + [self._delete] * 3 + [self._work] * 8
        actions += [self._drift, self._refuse, self._switch, self._approve, self._retry, self._reconcile]
        for _ in range(happenings):
            self._random.choice(actions)(self._random.choice((ACME, ACME, OTHER)))
        for target in Target:
            self._fleet.set_mode(target, Mode.FULL)
            self._fleet.twins[ACME, target].mend()
        self._fleet.state("p8", person(8))
        self._fleet.run()
        self._fleet.twins[ACME, DRIVERI].drivers._update(Key("D8"), {"last_name": "Drifted"}, ["last_name"])
        self._fleet.ask(lambda jane, known: jane.go_by(known, {DRIVERI: ""}))
        self._fleet.run()

    def _state(self, account: AccountId) -> None:
        number, draw = self._random.randint(1, 7), self._random.choice
        changed = {
            "driveri_driver_id": draw(["D1", "D2", "d2", "D3", "D9", "", f"D{number}"]),
            "email": draw(["p1@fleet.test", "p2@fleet.test", f"p{number}@fleet.test"]),
            "last_name": draw(["Roe", "Doe"]),
        }
        self._fleet.state(f"p{number}", person(number, **changed), account)

    def _delete(self, account: AccountId) -> None:
        for number in self._random.sample(range(1, 8), 4):
            with suppress(UnknownDriver):
                self._fleet.delete(f"p{number}", account=account)

    def _work(self, _: AccountId) -> None:
        target = self._random.choice([*Target])
        work = (self._fleet.follow, self._fleet.scan, self._fleet.call, self._fleet.project)
        self._random.choice([lambda _: self._fleet.decide(), *work])(target)

    def _drift(self, account: AccountId) -> None:
        twin = self._fleet.twins[account, DRIVERI].drivers
        shown = [each for each in twin.scan() if each.active]
        if shown:
            twin._update(self._random.choice(shown).key, {"last_name": "Drifted"}, ["last_name"])

    def _refuse(self, account: AccountId) -> None:
        failure = Rejected(reason=Reason.INVALID, detail="no")
        self._fleet.twins[account, self._random.choice([*Target])].fail_next(failure)

    def _switch(self, account: AccountId) -> None:
        mode = self._random.choice([Mode.FULL, Mode.FULL, Mode.UPSERT, Mode.OBSERVE])
        self._fleet.set_mode(self._random.choice([*Target]), mode, account)

    def _approve(self, account: AccountId) -> None:
        rows = self._fleet.decider_store.select(LinkRow, {"account": account, "target": "driveri", "state": "held"})
        holds = [(PortalDriverId(row.driver), row.hold) for row in rows[:2]]
        digest = digest_of_holds(DRIVERI, holds)
        named: list[list[str | int]] = [[driver, hold] for driver, hold in holds]
        if holds:
            self._fleet.ask(
                lambda jane, known: jane.judge(known, DeletesApproved, target=DRIVERI, digest=digest, holds=named),
                account,
            )

    def _retry(self, account: AccountId) -> None:
        self._fleet.ask(lambda jane, known: jane.retry(known, target=None, driver="", reason=""), account)

    def _reconcile(self, account: AccountId) -> None:
        self._fleet.wait(hours=1)
        plans = {self._random.choice([*Target]): self._random.choice(["", "f00d"])}
        self._fleet.ask(lambda jane, known: jane.go_by(known, plans), account)


KINDS = {
    "CreateDecided",
    "UpdateDecided",
    "DeleteDecided",
    "DeleteHeld",
    "DriftFound",
    "Parked",
    "Released",
    "Refused",
    "Confirmed",
    "RenameDecided",
    "ReinstateDecided",
}
"""What the story has to be about."""


def test_by_the_rules_in_force_everything_is_decided_as_it_was(tmp_path: Path) -> None:
    with closing(SteppedServices(tmp_path, both_targets(ACME, OTHER))) as fleet:
        Story(fleet, 7).tell(110)
        told: set[str] = set()
        for account in (ACME, OTHER):
            with backtested(fleet, account) as (scratch, found, backtest):
                real = link_events(fleet.decider_store, account)
                assert found == []
                assert link_events(scratch, account) == real
                assert backtest.unordered == 0
                told |= {type(each).__name__ for each in real}
        assert told >= KINDS


def test_a_history_from_before_the_order_was_stored_is_taken_in_the_order_of_time(fleet: SteppedServices) -> None:
    of_six(fleet)
    unit = Unit()
    unit.remove(BatchRow, {"account": ACME})
    fleet.decider_store.commit(unit)
    fleet.state("p6", person(6, last_name="Roe"))
    fleet.run()
    with backtested(fleet) as (_, found, backtest):
        assert found == []
        assert backtest.unordered > 0


def of_six(fleet: SteppedServices) -> None:
    """Six drivers in both targets; then the Portal deletes four: three deletes go out, and one is held."""
    fleet.add()
    for number in range(1, 7):
        fleet.state(f"p{number}", person(number))
    fleet.run()
    fleet.delete("p1", "p2", "p3", "p4")
    fleet.run()


def test_a_lower_limit_would_have_held_deletes_that_went_out(fleet: SteppedServices) -> None:
    of_six(fleet)
    rules = Rules(delete_limit=DeleteLimit(fewest=2, percent=5))
    assert otherwise(fleet, rules) == [("driveri", "p3", "delete", "hold"), ("motive", "p3", "delete", "hold")]


def test_a_higher_limit_would_have_let_out_what_was_held(fleet: SteppedServices) -> None:
    of_six(fleet)
    rules = Rules(delete_limit=DeleteLimit(fewest=4, percent=5))
    assert otherwise(fleet, rules) == [("driveri", "p4", "hold", "delete"), ("motive", "p4", "hold", "delete")]


def test_another_mode_would_have_parked_the_deletes(fleet: SteppedServices) -> None:
    of_six(fleet)
    found = otherwise(fleet, modes={DRIVERI: Mode.UPSERT})
    assert found == [
        *(("driveri", f"p{number}", "delete", "park") for number in range(1, 4)),
        ("driveri", "p4", "hold", "park"),
    ]


def test_a_field_that_is_not_owned_would_not_have_been_written(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.run()
    fleet.state("p1", person(1, email="new@fleet.test"))
    fleet.run()
    spec = SPECS[DRIVERI]
    rules = Rules(specs={**SPECS, DRIVERI: replace(spec, owned=tuple(each for each in spec.owned if each != "email"))})
    with backtested(fleet, rules=rules) as (scratch, found, _):
        (other,) = found
        assert other.decided
        assert other.would_be
        assert ("email" in other.decided.fields, "email" in other.would_be.fields) == (True, False)
        facts = [type(each).__name__ for each in link_events(scratch, ACME) if each.target == DRIVERI]
        assert facts == ["CreateDecided", "Confirmed"], "its target answers, and the change is none there"


def test_another_order_of_matching_would_have_found_another_driver(fleet: SteppedServices) -> None:
    roster = fleet.twins[ACME, MOTIVE].drivers
    for key, profile in (("1", {"ref_id": "R1"}), ("2", {"email": "p1@fleet.test"})):
        roster.put(ObservedDriver(key=Key(key), active=True, profile={"first_name": "A", "last_name": "B", **profile}))
    fleet.add()
    fleet.state("p1", person(1))
    fleet.run()
    spec = SPECS[MOTIVE]
    by_email = replace(spec, matched_by=tuple(each for each in spec.matched_by if each.kind in ("portal", "email")))
    with backtested(fleet, rules=Rules(specs={**SPECS, MOTIVE: by_email})) as (_, found, _):
        (other,) = found
        assert other.decided
        assert other.would_be
        assert (other.decided.desired_key, other.would_be.desired_key) == ("1", "2")
        assert other.would_be.reason == "is on the target already, and not linked"
