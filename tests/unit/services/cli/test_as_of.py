"""Questions about the past on the command line."""

import pytest

from tests.support.served_folder import ServedFolder

LATER, EARLIER = "2026-01-05T08:00", "2026-01-05T07:59"


def test_the_past_is_printed_as_the_present_was(looking: ServedFolder) -> None:
    for words in (("status", "acme"), ("drivers", "show", "acme", "3")):
        now, then = looking(*words), looking(*words, "--as-of", LATER)
        assert (then.status, now.status) == (0, 0)
        assert then.out.splitlines()[:3] == now.out.splitlines()[:3]
    explained = looking("explain", "acme", "3", "--as-of", LATER)
    assert explained.out.startswith("As of 2026-01-05 08:00:00 UTC:\n")


def test_the_drivers_in_a_state_are_listed_as_they_were(looking: ServedFolder) -> None:
    words = ("status", "acme", "--state", "parked")
    now, then = looking(*words), looking(*words, "--as-of", LATER)
    assert (then.status, then.out) == (0, now.out)
    assert looking(*words, "--as-of", EARLIER).err == "no driver of acme was parked\n"
    assert looking("status", "acme", "--state", "unmanaged", "--as-of", LATER).status == 0


def test_what_was_not_there_yet_is_said(looking: ServedFolder) -> None:
    ended = looking("status", "acme", "--as-of", EARLIER)
    assert (ended.status, ended.err) == (0, "account acme was not there yet\n")
    ended = looking("drivers", "show", "acme", "3", "--as-of", EARLIER)
    assert (ended.status, ended.out) == (1, "")
    assert "had not stated driver 3" in ended.err


@pytest.mark.parametrize(
    "words",
    [("--as-of", "1h"), ("acme", "--as-of", "yesterday"), ("acme", "--state", "parked", "--as-of", "2099-01-01")],
)
def test_a_past_that_cannot_be_shown_is_refused(looking: ServedFolder, words: tuple[str, ...]) -> None:
    ended = looking("status", *words)
    assert (ended.status != 0, ended.out) == (True, "")


def test_a_driver_is_shown_whole(looking: ServedFolder) -> None:
    ended = looking("drivers", "show", "acme", "3", "--json")
    assert ended.status == 0
    printed = looking("drivers", "show", "acme", "3").out
    assert "Jane Doe: portal driver 3" in printed
    assert "never shown" in printed or "differs" not in printed


@pytest.mark.parametrize("words", [("lineage", "acme", "R3", "--at"), ("diff", "acme", "--from")])
def test_longer_ago_than_there_are_years_is_refused_in_words(looking: ServedFolder, words: tuple[str, ...]) -> None:
    ended = looking(*words, "999999d")
    assert (ended.status, ended.err) == (
        1,
        "driverlink: 999999d ago is before the year 1; name a later moment\n",
    )
