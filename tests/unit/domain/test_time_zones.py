"""People's words for time zones end as IANA names."""

import pytest

from domain import geography
from domain.geography import to_iana


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


def test_every_answer_of_the_tables_is_a_zone() -> None:
    answers = {*geography._BY_RAILS_NAME.values(), *geography._BY_ALIAS.values()}
    assert {to_iana(answer) for answer in answers} == answers
