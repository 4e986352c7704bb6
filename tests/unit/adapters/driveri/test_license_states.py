"""A state of a licence that Driveri refuses is stated by its code in the other form, however it was written."""

import pytest

from adapters.driveri.wire import in_both_forms


@pytest.mark.parametrize(
    ("state", "country", "other"),
    [
        ("CO", "US", "US-CO"),
        ("US-CO", "US", "CO"),
        ("us-co", "us", "CO"),
        ("us_co", "US", "US-CO"),
        ("Colorado", "US", "US-CO"),
        ("US-Colorado", "US", "CO"),
        ("BY", "DE", "DE-BY"),
        ("DE-BY", "DE", "BY"),
    ],
)
def test_a_state_is_stated_by_its_code_in_the_other_form(state: str, country: str, other: str) -> None:
    body = {"licenseState": state, "licenseCountry": country}
    assert in_both_forms(body) == [body, {**body, "licenseState": other}]
