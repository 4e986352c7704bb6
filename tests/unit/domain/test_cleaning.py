"""Every text, number and time from outside is cleaned and bounded the same way at every door."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cleaning import (
    DAY,
    LONGEST,
    LONGEST_TOKEN,
    MOST_MARKS,
    bounded,
    clean,
    flaw,
    folded,
    is_sendable,
    is_shortened,
    is_storable,
    normal_form,
    seconds,
    storable,
    text_of,
)

NOW = 1_795_000_000.0
UNSEEN = "\u200b\u200d\u2060\ufeff\u202e\u00ad\u034f\u3164\ufe0f"
ODD = UNSEEN + "\0\x07\x1b\x85\u00a0\u3000\u2028\u2029\u0301 e\ud800\udc00='\""
ANY_TEXT = st.text(alphabet=st.one_of(st.characters(codec=None), st.sampled_from(ODD)))
FIELDS = st.sampled_from(sorted(LONGEST))


@pytest.mark.parametrize(
    ("written", "cleaned"),
    [
        ("00417", "00417"),
        ("  Mary \t Ann ", "Mary Ann"),
        ("00\u200b417", "00417"),
        ("\ufeff00417\u2060", "00417"),
        ("\u202e00417\u202c", "00417"),
        ("Jo\u00adanna", "Joanna"),
        ("Ann\u00a0\u3000Lee\u2028Roe\u2029", "Ann Lee Roe"),
        ("A\0n\x1bn\x7f", "Ann"),
        ("line\r\nbreak\x85here", "line break here"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("\u3164A\u115fnn\ufe0f", "Ann"),
        ("\ud83d\ude00", "\U0001f600"),
        ("A\ud800nn", "A\ufffdnn"),
        ("\u200b \u00a0", ""),
        ("", ""),
    ],
)
def test_a_text_from_outside_has_one_normal_form(written: str, cleaned: str) -> None:
    assert clean(written) == cleaned


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("00417", "00417"),
        (417, "417"),
        (417.0, "417"),
        (None, ""),
        (4.5, None),
        (1e300, None),
        (float("nan"), None),
        (10**4_000, None),
        (True, None),
        ({"a": 1}, None),
        ([], None),
    ],
)
def test_a_text_may_come_as_a_whole_number_and_as_nothing_else(value: object, text: str | None) -> None:
    assert text_of(value) == text


def test_a_flood_of_combining_marks_is_cut() -> None:
    assert clean("Z" + "\u0336" * 50 + "o") == "Z" + "\u0336" * MOST_MARKS + "o"


def test_a_huge_text_is_cut_and_costs_nothing() -> None:
    assert clean("\u00e4" * 11_000_000, 200) == "\u00e4" * 200
    assert clean("x" * 199 + " " + "y" * 9, 200) == "x" * 199


@given(ANY_TEXT)
def test_a_clean_text_is_storable_normal_and_the_same_when_cleaned_again(text: str) -> None:
    cleaned = clean(text, 50)
    assert is_storable(cleaned)
    assert len(cleaned) <= 50
    assert clean(cleaned, 50) == cleaned == unicodedata.normalize("NFC", cleaned).strip()
    assert not {unicodedata.category(character) for character in cleaned} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(FIELDS, ANY_TEXT)
def test_what_is_stored_of_a_field_can_be_stated_again(field: str, text: str) -> None:
    stored = normal_form(field, text)
    assert normal_form(field, stored) == stored
    if flaw(field, text) is None:
        assert flaw(field, stored) is None


@pytest.mark.parametrize(
    ("one", "other"), [("JANE Doe", "jane doe"), ("ZO\u00cb", "zoe\u0308"), ("Stra\u00dfe", "STRASSE")]
)
def test_letter_case_does_not_matter_in_any_script(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@given(ANY_TEXT)
def test_letter_case_and_unseen_characters_do_not_matter_where_texts_are_compared(text: str) -> None:
    assert folded(folded(text)) == folded(text) == folded(clean(text, len(text) + 10))


@given(ANY_TEXT)
def test_a_storable_text_is_kept_but_for_what_no_store_takes(text: str) -> None:
    kept = storable(text)
    kept.encode()
    assert "\0" not in kept
    assert storable(kept) == kept


@pytest.mark.parametrize(("text", "answer"), [("a\n\tb", True), ("a\0", False), ("\ud800", False)])
def test_texts_that_no_store_takes_are_known(text: str, *, answer: bool) -> None:
    assert is_storable(text) is answer


@pytest.mark.parametrize(
    ("field", "written", "stated"),
    [
        ("ref_id", '="00417"', "00417"),
        ("driver", ' =""00417"" ', "00417"),
        ("ref_id", '\u200b="00417"', "00417"),
        ("driveri_driver_id", "'00417", "00417"),
        ("driver", "''00417", "00417"),
        ("licence_number", '"D 17"', "D 17"),
        ("ref_id", '=""', ""),
        ("phone", "'+1 555 0100", "+1 555 0100"),
        ("first_name", '="Ann"', "Ann"),
        ("first_name", "'t Hooft", "'t Hooft"),
        ("last_name", "O'Neil", "O'Neil"),
        ("ref_id", "79 123 456", "79 123 456"),
        ("ref_id", "DEC-12", "DEC-12"),
        ("ref_id", "12E45", "12E45"),
        ("licence_state", "X" * 101, "X" * 100),
        ("other", "X" * 301, "X" * 300),
    ],
)
def test_what_a_spreadsheet_put_around_a_text_is_taken_off_where_that_is_certain(
    field: str, written: str, stated: str
) -> None:
    assert normal_form(field, written) == stated


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("driver", "12\n13", "holds a line break"),
        ("first_name", "An\0n", "holds a control character"),
        ("ref_id", "\x1b[2J", "holds a control character"),
        ("email", "\ud800@b", "holds half of a character; type it again"),
        ("first_name", "A" * 201, "is longer than 200 characters"),
        ("first_name", "A" * 11_000_000, "is longer than 200 characters"),
        ("email", "a@" + "b" * 253, "is longer than 254 characters"),
        ("ref_id", "4.55E+06", "was shortened by Excel"),
        ("ref_id", '="4,55E+06"', "was shortened by Excel"),
        ("phone", "+1.5E+10", "was shortened by Excel"),
        ("ref_id", "1,234", "was made a number"),
        ("ref_id", "1.234.567", "was made a number"),
        ("driver", "1'234'567", "was made a number"),
        ("driver", "1\u202f234\u00a0567", "was made a number"),
        ("driveri_driver_id", "417.0", "was made a number"),
        ("ref_id", "12-Mar", "was made a date"),
        ("ref_id", "Mar-12", "was made a date"),
        ("ref_id", "12. Mrz", "was made a date"),
        ("ref_id", "3/12/2026", "was made a date"),
        ("ref_id", "2026-03-12 00:00:00", "was made a date"),
        ("ref_id", "#REF!", "holds the error of a spreadsheet"),
        ("last_name", "#N/A", "holds the error of a spreadsheet"),
        ("phone", "#####", "holds the error of a spreadsheet"),
        ("ref_id", "=A1&B1", "holds a formula"),
        ("ref_id", "\u200b=A1", "holds a formula"),
        ("email", "notanemail", "is not an e-mail address"),
        ("email", "ann@fleet@b", "is not an e-mail address"),
        ("email", "Ann <ann@fleet.test>", "is not an e-mail address"),
        ("time_zone", "Mars", "is not a time zone that we know"),
        ("first_name", "", "is blank"),
        ("last_name", "\u200b\u00a0", "is blank"),
    ],
)
def test_what_cannot_stand_in_a_field_is_refused_in_words_of_its_own(field: str, text: str, words: str) -> None:
    assert (flaw(field, text) or "").startswith(words)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("ref_id", "00\u200b417"),
        ("ref_id", '="00417"'),
        ("ref_id", "10.5.2"),
        ("ref_id", ""),
        ("first_name", "Zoe\u0308 \u00a0Ann"),
        ("last_name", "\u0141ukasz"),
        ("email", ""),
        ("email", "ann@fleet.test"),
        ("time_zone", ""),
        ("time_zone", "Mountain Time (US & Canada)"),
        ("phone", "+1 (555) 010-0100 ext. 7"),
        ("first_name", "A" * 200 + "  "),
        ("first_name", " " * 5_000 + "Ann"),
    ],
)
def test_what_is_only_quoted_or_blank_is_not_a_flaw(field: str, text: str) -> None:
    assert flaw(field, text) is None


def test_a_shortened_number_is_recognised() -> None:
    assert is_shortened(" 4.55E+06")
    assert not is_shortened("455")


def test_several_whole_profiles_fit_one_record_of_a_broker() -> None:
    longest_character = json.dumps("\U0001f600")
    assert 10 * sum(LONGEST.values()) * len(longest_character) < 1_000_000


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (5, 5.0),
        (0.5, 0.5),
        (-3, 0.0),
        (10**400, 9.0),
        (float("inf"), 9.0),
        (float("-inf"), 0.0),
        (float("nan"), None),
        (True, None),
        ("5", None),
        (None, None),
    ],
)
def test_a_number_from_outside_is_bounded(number: object, answer: float | None) -> None:
    assert bounded(number, least=0.0, most=9.0) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("-5", None),
        ("-inf", None),
        ("100000", DAY),
        ("9" * 400, DAY),
        ("1e400", DAY),
        (str(int(NOW) + 90), 90.0),
        (str((int(NOW) + 90) * 1000), 90.0),
        (str(int(NOW) - 90), 0.0),
        (str((int(NOW) + 900_000) * 1000), DAY),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_wait_from_outside_is_at_most_a_day_however_it_is_written(text: str, answer: float | None) -> None:
    assert seconds(text, NOW) == answer


@given(st.one_of(st.text(), st.floats().map(str), st.integers().map(str)), st.floats(0, 4e9))
def test_every_wait_is_bounded(text: str, now: float) -> None:
    wait = seconds(text, now)
    assert wait is None or 0.0 <= wait <= DAY


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "\u00e9", "a\0b", "x" * (LONGEST_TOKEN + 1)])
def test_a_token_that_no_header_can_carry_is_not_sendable(token: str) -> None:
    assert not is_sendable(token)


def test_a_token_of_visible_characters_is_sendable() -> None:
    assert is_sendable("eyJ0.e-_~+/=" + "x" * (LONGEST_TOKEN - 12))
