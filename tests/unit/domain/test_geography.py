"""Time zones and the states of licences: each has many spellings, and no two have one in common."""

from itertools import combinations

import pytest

from domain import cleaning
from domain.cleaning import canonical_state, is_same_state, spellings, to_iana, to_rails
from domain.identity import Key, Target
from domain.matching import identifiers
from domain.profile import differing

COLORADO = ["CO", "co", " Co ", "US-CO", "us_co", "us co", "USA-CO", "U.S.-CO", "Colorado", "COLORADO", "US-Colorado"]
QUEBEC = ["QC", "CA-QC", "ca_qc", "Quebec", "Québec", "Canada, Quebec"]
NUEVO_LEON = ["NLE", "MX-NLE", "Nuevo León", "nuevo leon"]
BAVARIA = ["DE-BY", "de_by", "de-by"]
STATES = [COLORADO, QUEBEC, NUEVO_LEON, BAVARIA, ["Delaware", "US-DE"], ["N.Y.", "New York", "US-NY"], ["Freistaat X"]]


def matched(state: str) -> tuple[str, ...]:
    """The identifiers by which a driver with this licence is matched in Motive."""
    return identifiers(Target.MOTIVE, Key("501"), {"licence_number": "L-9971", "licence_state": state})


@pytest.mark.parametrize("spellings", STATES, ids=lambda each: each[0])
def test_every_spelling_of_a_state_is_that_state_in_comparing_and_in_matching(spellings: list[str]) -> None:
    for one, other in combinations(spellings, 2):
        assert is_same_state(one, other)
        assert differing({"licence_state": one}, {"licence_state": other}) == ()
        assert matched(one) == matched(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CO", "CA"),
        ("Colorado", "CA"),
        ("US-CO", "MX-CO"),
        ("Colorado", "MX-COA"),
        ("DE-BY", "FR-BY"),
        ("Virginia", "West Virginia"),
        ("Washington", "Washington DC"),
        ("", "CO"),
        ("", ""),
        ("-", "_"),
        ("CA-Colorado", "CO"),
    ],
)
def test_other_states_differ(one: str, other: str) -> None:
    assert not is_same_state(one, other)


def test_other_states_have_other_identifiers() -> None:
    found = [canonical_state(spellings[0]) for spellings in STATES]
    assert len(set(found)) == len(found)
    assert canonical_state("BY") != canonical_state("DE-BY") != canonical_state("FR-BY")


@pytest.mark.parametrize("state", COLORADO)
def test_a_state_can_be_written_in_every_spelling(state: str) -> None:
    assert spellings(state) == (state, "CO", "US-CO", "Colorado")


def test_a_state_that_is_not_known_is_written_as_it_is() -> None:
    assert [spellings(state) for state in ("DE-BY", "Freistaat X", "")] == [("DE-BY",), ("Freistaat X",), ("",)]


def test_a_licence_without_a_state_that_can_be_read_identifies_no_driver() -> None:
    assert not any(identifier.startswith("licence:") for identifier in matched("-"))


@pytest.mark.parametrize(
    ("written", "iana"),
    [
        ("America/Denver", "America/Denver"),
        ("america/DENVER", "America/Denver"),
        ("Europe/Madrid", "Europe/Madrid"),
        ("US/Mountain", "America/Denver"),
        ("Canada/Atlantic", "America/Halifax"),
        ("MST7MDT", "America/Denver"),
        ("Mountain Time (US & Canada)", "America/Denver"),
        ("mountain time  (us & canada)", "America/Denver"),
        ("Arizona", "America/Phoenix"),
        ("Newfoundland", "America/St_Johns"),
    ],
)
def test_iana_names_aliases_and_rails_names_become_iana_names(written: str, iana: str) -> None:
    assert to_iana(written) == iana


@pytest.mark.parametrize("written", ["Middle Earth", "MDT", "localtime", "-07:00", ""])
def test_what_names_no_zone_is_unknown(written: str) -> None:
    assert to_iana(written) is None


def test_every_rails_name_stands_for_one_zone_and_that_zone_has_one_of_its_names() -> None:
    for name, iana in cleaning._BY_RAILS_NAME.items():
        assert to_iana(name) == iana
        assert to_iana(to_rails(iana) or "") == iana


def test_a_zone_that_rails_does_not_have_has_no_rails_name() -> None:
    assert [to_rails(zone) for zone in ("Antarctica/Troll", "Middle Earth")] == [None, None]


@pytest.mark.parametrize(
    ("iana", "rails"),
    [
        ("America/New_York", "Eastern Time (US & Canada)"),
        ("America/Chicago", "Central Time (US & Canada)"),
        ("America/Los_Angeles", "Pacific Time (US & Canada)"),
        ("America/Phoenix", "Arizona"),
        ("America/Juneau", "Alaska"),
        ("Pacific/Honolulu", "Hawaii"),
        ("America/St_Johns", "Newfoundland"),
        ("Etc/UTC", "UTC"),
    ],
)
def test_a_time_zone_goes_there_and_back(iana: str, rails: str) -> None:
    assert to_rails(iana) == rails
    assert to_iana(rails) == iana


@pytest.mark.parametrize(
    ("iana", "shown"),
    [
        ("America/Toronto", "America/New_York"),
        ("America/Vancouver", "America/Los_Angeles"),
        ("America/Anchorage", "America/Juneau"),
        ("US/Alaska", "America/Juneau"),
    ],
)
def test_a_zone_without_a_name_goes_by_the_one_that_keeps_the_same_time(iana: str, shown: str) -> None:
    assert to_iana(to_rails(iana) or "") == shown


def test_every_answer_of_the_tables_is_a_zone() -> None:
    answers = {*cleaning._BY_RAILS_NAME.values(), *cleaning._BY_ALIAS.values(), *cleaning._SAME_TIME}
    assert {to_iana(answer) for answer in answers} == answers
