"""Personal data lives only inside `profile`, whatever happens."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import PortalDriverId, Target
from domain.portal import PortalDriver, Statement, replay
from domain.profile import PERSONAL_FIELDS
from domain.store import Event
from tests.support.decider_in_memory import ACCOUNT
from tests.support.happenings import BY_HAND, IN_THE_PORTAL, NEW_TERMS, ON_THE_WAY, PERSONAL, happenings
from tests.support.simulation import BEGIN, Simulation
from tests.support.stated import whole

VALUES = [text.casefold() for texts in PERSONAL.values() for text in texts if text]


def _outside_profile(event: Event) -> str:
    """Everything that the fact says, apart from profiles."""
    said = {name: value for name, value in asdict(event).items() if name not in PERSONAL_FIELDS}
    return json.dumps(said, default=str).casefold()


@pytest.mark.parametrize("target", Target)
@given(data=st.data())
def test_no_fact_holds_personal_data_outside_its_profile(target: Target, data: st.DataObject) -> None:
    simulation = Simulation(target)
    simulation.scan()
    for happening in data.draw(happenings(*IN_THE_PORTAL, *ON_THE_WAY, *NEW_TERMS, *BY_HAND[target])):
        happening(simulation)
    simulation.settle()
    facts = [_outside_profile(event) for event in simulation.decider.log]
    assert [text for text in VALUES if any(text in fact for fact in facts)] == []


def test_the_portals_changes_hold_personal_data_only_in_their_profile() -> None:
    profile = {name: texts[0] for name, texts in PERSONAL.items()}
    nobody = PortalDriver(account=ACCOUNT, driver=PortalDriverId("p1"))
    (created,) = Statement(at=BEGIN, source="api").present(nobody, whole(profile))
    (deleted,) = Statement(at=BEGIN, source="api").deleted(replay(nobody, [created]))
    assert not any(text in _outside_profile(fact) for fact in (created, deleted) for text in VALUES)
