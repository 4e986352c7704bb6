"""The guide's picture and table of a link's life are what the services make of its events."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from docs.lifecycle import EFFECTS, STEPS, Flags, Step, after, name_in_picture
from domain.driver_link import Confirmed, DriverLink, LinkEvent, apply, unlinked
from domain.identity import AccountId, PortalDriverId, Target
from domain.store import Event
from services.decider.read_models import to_link_row
from tests.golden.samples import SAMPLES
from tests.support.lifelike import histories


def name_of(event: LinkEvent) -> str:
    return event.TOPIC.removeprefix("DriverLink.")


def has_key(event: LinkEvent) -> bool:
    return isinstance(event, Confirmed) and event.key is not None


def lives() -> Iterator[tuple[LinkEvent, DriverLink, Flags, DriverLink, Flags]]:
    """Each event of a lifelike history, with the link and the flags before and after it."""
    for (account, target, driver), history in histories().items():
        link, flags = unlinked(AccountId(account), Target(target), PortalDriverId(driver)), Flags()
        for event in history:
            before = (link, flags)
            link, flags = apply(link, event), after(flags, name_of(event), has_key=has_key(event))
            yield event, *before, link, flags


def word_of(link: DriverLink) -> str:
    return to_link_row(link).state if link.version else "undecided"


def test_the_table_has_every_event_of_a_link() -> None:
    assert {f"DriverLink.{name}" for name in EFFECTS} == {
        topic for topic, kind in Event.BY_TOPIC.items() if issubclass(kind, LinkEvent)
    }


def test_the_table_comes_to_the_words_of_status_after_every_event_of_lifelike_histories() -> None:
    for event, _, _, link, flags in lives():
        assert flags.word == word_of(link), event.TOPIC


def test_each_flag_is_what_the_services_know() -> None:
    for event, _, _, link, flags in lives():
        known = (link.parked, link.held, link.pending, link.key, link.let_stay)
        assert (flags.parked, flags.held, flags.pending, flags.linked, flags.kept) == tuple(map(bool, known)), event


def test_the_table_holds_for_any_order_of_events() -> None:
    """Whatever the decider never does: only a rejection without a hold means something to the table alone."""
    samples = [event for event in SAMPLES.values() if isinstance(event, LinkEvent)]
    gone = [event for event in samples if isinstance(event, Confirmed)]
    samples += [Confirmed(**{**vars(event), "key": None}) for event in gone]
    chance = random.Random(7)  # noqa: S311 - the same each time
    for _ in range(200):
        link, flags = unlinked(AccountId("acme"), Target.DRIVERI, PortalDriverId("417")), Flags()
        for event in chance.choices(samples, k=15):
            if name_of(event) == "DeleteRejected" and not link.held:
                continue
            link, flags = apply(link, event), after(flags, name_of(event), has_key=has_key(event))
            # The samples of drift know of a reconciliation that their rationale does not.
            assert flags.word == word_of(replace(link, reconciled=None, version=1))


def test_every_step_that_happens_is_in_the_picture() -> None:
    happened = {
        Step(word_of(before), name_in_picture(name_of(event), has_key=has_key(event)), word_of(now))
        for event, before, _, now, _ in lives()
    }
    assert {step for step in happened if step.before != step.after} <= set(STEPS)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_every_step_of_the_picture_follows_from_the_table(step: Step) -> None:
    every = [Flags(parked=a, held=b, pending=c, linked=d, kept=e) for a, b, c, d, e in product((False, True), repeat=5)]
    before = [Flags()] if step.before == "undecided" else [flags for flags in every if flags.word == step.before]
    assert step.after in {
        after(flags, name, has_key=key).word
        for flags in before
        for name in EFFECTS
        for key in (False, True)
        if name_in_picture(name, has_key=key) == step.event
    }
