"""Whatever is asked for and cannot be found is said: by an error, or by a note."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.commanding import command
from tests.support.served_folder import ServedFolder

UNKNOWN = {
    "account": (("events", "--account", "acne"), "there is no account acne; did you mean acme?"),
    "account of status": (("status", "acne"), "there is no account acne; did you mean acme?"),
    "account of issues": (("issues", "list", "acne"), "there is no account acne; did you mean acme?"),
    "account of approvals": (("approvals", "list", "acne"), "there is no account acne; did you mean acme?"),
    "account of reconciliations": (("reconciliations", "acne"), "there is no account acne; did you mean acme?"),
    "driver": (("events", "--driver", "4711"), "the Portal never stated a driver 4711 in any account"),
    "driver of an account": (("events", "--account", "acme", "--driver", "11"), "did you mean 1?"),
    "RefID as a driver": (
        ("events", "--account", "acme", "--driver", "r3"),
        "did you mean 3, who has",
    ),
    "driver to explain": (("explain", "acme", "22"), "did you mean 2?"),
    "Driveri DriverID": (
        ("events", "--driver-id", "D9"),
        "no matching event mentions the",
    ),
    "type": (("events", "--type", "Parkt"), "there is no event of the type 'Parkt'; did you mean Parked?"),
    "stored type": (("events", "--type", "DriverLink.Parkt"), "did you mean DriverLink.Parked"),
    "other prefix": (("events", "--type", "Account.Parked"), "there is no event of the type 'Account.Parked'"),
    "log": (("events", "--log", "decision"), "there is no log decision; there are: accounts, changes, decisions"),
    "reason": (
        ("issues", "list", "--reason", "conflicts"),
        "there is no reason 'conflicts'; there are: unkeyed,",
    ),
    "no time": (("events", "--since", ""), "'' is not a date or time; write 15m, 1h or 2d"),
    "backwards": (("events", "--since", "2026-02-01", "--until", "2026-01-01"), "the one is after the other"),
}
NOTED = {
    "events": (("events", "--until", "2001-01-01"), "no event matches"),
    "type without events": (("events", "--type", "Confirmed"), "no event matches"),
    "state": (("status", "acme", "--state", "held"), "no driver of acme is held"),
    "state on a target": (
        ("status", "acme", "--state", "unmanaged", "--target", "motive"),
        "is unmanaged on motive",
    ),
    "approvals": (("approvals", "list", "acme"), "no deletes of acme are held"),
    "issues": (("issues", "list", "--reason", "mode"), "no open issues"),
    "dead letters": (("dead-letters", "list"), "no dead letters"),
}


@pytest.mark.parametrize(("arguments", "says"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_unknown_is_an_error_that_says_what_may_be_meant(
    looking: ServedFolder, arguments: tuple[str, ...], says: str
) -> None:
    ended = looking(*arguments)
    assert (ended.status, ended.out) == (1, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "says"), NOTED.values(), ids=NOTED.keys())
def test_where_there_is_nothing_that_is_said(looking: ServedFolder, arguments: tuple[str, ...], says: str) -> None:
    ended = looking(*arguments)
    assert (ended.status, ended.out) == (0, "")
    assert says in ended.err


def test_a_folder_without_accounts_says_so() -> None:
    with TemporaryDirectory(prefix="dl-") as parent:
        served = ServedFolder(Path(parent) / "data")
        assert "no accounts yet" in served("accounts", "list").err
        served.stop()


@pytest.mark.parametrize("name", ["Parked", "parked", "DriverLink.Parked", "DRIVERLINK.PARKED", " driverlink.parked "])
def test_a_type_is_found_by_its_stored_name_and_by_its_last_part(looking: ServedFolder, name: str) -> None:
    found = looking("events", "--type", name, "--json")
    assert found.status == 0
    assert found.out.count('"type": "Parked"') == found.out.count("\n") > 0


@pytest.mark.parametrize("until", ["2001-01-01", "2026-01-05T08:00:01+00:00"])
def test_following_ends_where_the_time_that_is_asked_for_is_over(looking: ServedFolder, until: str) -> None:
    assert looking("events", "-f", "--until", until).status == 0


@pytest.mark.parametrize("account", ["a/b", "..", "", "acme/plan", "acme?x", "Ł"])
@pytest.mark.parametrize(
    "words", [("accounts", "show"), ("status",), ("reconciliations",), ("issues", "list")], ids=" ".join
)
def test_what_cannot_be_an_account_is_refused(words: tuple[str, ...], account: str) -> None:
    ended = command({}, *words, account)
    assert (ended.status, ended.out) == (2, "")
    assert "an account's id is" in " ".join(ended.err.replace("│", "").split())


@pytest.mark.parametrize(
    "words",
    [
        ("accounts", "show", "Acme"),
        ("status", "ACME"),
        ("status", "aCme", "--state", "parked"),
        ("events", "--account", "ACME"),
        ("explain", "Acme", "1"),
        ("issues", "list", "ACME"),
        ("sync", "off", "ACME", "--as", "jane"),
        ("accounts", "mode", "ACME", "motive", "observe", "--as", "jane"),
        ("issues", "retry", "ACME", "--driver", "1", "--as", "jane"),
    ],
    ids=" ".join,
)
def test_an_account_is_found_in_any_letter_case(driverlink: ServedFolder, words: tuple[str, ...]) -> None:
    ended = driverlink(*words)
    assert ended.status == 0, ended.err
    assert ended.out
    assert "ACME" not in ended.out


def test_an_account_whose_id_differs_by_letter_case_is_refused(driverlink: ServedFolder) -> None:
    ended = driverlink("accounts", "add", "ACME", "--master-user", "jane")
    assert (ended.status, ended.err.startswith("driverlink: account acme exists already")) == (1, True)
    assert driverlink("accounts", "list").out.count("acme") == 1


def test_a_standard_account_without_an_account_manager_is_refused(driverlink: ServedFolder) -> None:
    for manager in ((), ("--account-manager", ""), ("--account-manager", "  ")):
        ended = driverlink("accounts", "add", "small", "--master-user", "jane", "--tier", "standard", *manager)
        assert ended.status == 1
        assert "only its account manager can allow Sync Drivers: say who that is (`--account-manager`)" in ended.err
    assert "no account small" in driverlink("accounts", "show", "small").err
