"""`driverlink accounts apply`, `set` and `check`, as people and scripts see them."""

import json
from pathlib import Path

import pytest

from domain.account import AccountAdded, MasterUserSet
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Target
from tests.support.commanding import Ended
from tests.support.reached_twins import reached_twins
from tests.support.served_folder import ServedFolder

FILE = """# the fleets of May
accounts:
  - account: beta
    master_user: jane
    modes: {driveri: full, motive: off}
    reconcile_at: 02:30
  - account: gamma
    tier: standard
    master_user: eve
    account_manager: bob
  - account: acme
    master_user: maria
"""


def apply(driverlink: ServedFolder, folder: Path, text: str, *options: str) -> Ended:
    file = folder.parent / "accounts.yaml"
    file.write_text(text, "utf-8")
    return driverlink("accounts", "apply", "-f", str(file), *options)


def test_a_file_adds_and_changes_accounts_once(driverlink: ServedFolder, folder: Path) -> None:
    """The second time there is nothing to do."""
    shown = apply(driverlink, folder, FILE, "--dry-run")
    assert shown.out.splitlines() == [
        "+ beta: tier pro, master user jane, driveri full, motive off, reconcile at 02:30",
        "+ gamma: tier standard, master user eve, account manager bob, driveri observe, motive observe",
        "~ acme: master user jane -> maria",
        "2 to add, 1 to change, 0 as they are (dry run: nothing was stored)",
    ]
    assert [each["account"] for each in driverlink("accounts", "list", "--json").document] == ["acme"]
    assert apply(driverlink, folder, FILE).out.splitlines()[-1] == "2 added, 1 changed, 0 as they are"
    again = apply(driverlink, folder, FILE, "--json").document
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 3)
    beta, gamma = (driverlink("accounts", "show", each, "--json").document for each in ("beta", "gamma"))
    assert (beta["modes"], beta["reconcile_at"]) == ({"driveri": "full", "motive": "off"}, "02:30")
    assert gamma["modes"] == {"driveri": "observe", "motive": "observe"}
    log = driverlink("events", "--log", "accounts", "--account", "gamma", "--json").out
    assert log.count(AccountAdded.__name__) == 1
    assert MasterUserSet.__name__ in driverlink("events", "--log", "accounts", "--account", "acme", "--json").out


def test_every_error_of_a_file_has_its_line_and_nothing_is_stored(driverlink: ServedFolder, folder: Path) -> None:
    wrong = FILE.replace("full", "ful").replace("    account_manager: bob\n", "") + "  - account: BETA\n  - {}\n"
    ended = apply(driverlink, folder, wrong)
    name = folder.parent / "accounts.yaml"
    assert (ended.status, ended.out) == (1, "")
    lines = ended.err.splitlines()
    assert [line.split(": ")[0] for line in lines[:4]] == [f"{name}:{line}" for line in (5, 7, 12, 13)]
    assert "modes.driveri: must be 'off', 'observe', 'upsert' or 'full'" in lines[0]
    assert "gamma is on the Standard tier" in lines[1]
    assert "BETA is there twice" in lines[2]
    assert lines[3].endswith("account: is missing")
    assert lines[4] == "4 of 5 accounts are wrong: nothing was stored"
    assert [each["account"] for each in driverlink("accounts", "list", "--json").document] == ["acme"]


def test_every_fault_of_an_account_has_its_own_line_in_plain_words(driverlink: ServedFolder, folder: Path) -> None:
    """What only shows once the rest can be read is found at the same time."""
    modes = "  modes:\n    drivery: full\n    motive: on\n"
    entry = f"accounts:\n- account: beta\n{modes}  reconcile_at: noon\n  master_usr: j\n"
    ended = apply(driverlink, folder, entry)
    name = folder.parent / "accounts.yaml"
    assert ended.err.splitlines() == [
        f"{name}:2: beta is new: say who its Master User is",
        f"{name}:4: modes.drivery: must be 'driveri' or 'motive'",
        f"{name}:5: modes.motive: must be 'off', 'observe', 'upsert' or 'full'",
        f"{name}:6: reconcile_at: must be a time of day as HH:MM, such as 02:30, or empty",
        f"{name}:7: master_usr: is not a known field; did you mean master_user?",
        "1 of 1 accounts are wrong: nothing was stored",
    ]
    (account,) = json.loads(apply(driverlink, folder, entry, "--json").out)["accounts"]
    assert [each["line"] for each in account["errors"]] == [4, 5, 6, 7, 2]


def test_a_person_who_is_stated_wrongly_is_not_called_missing(driverlink: ServedFolder, folder: Path) -> None:
    ended = apply(driverlink, folder, "accounts:\n- account: beta\n  tier: standard\n  master_user: ''\n")
    assert "master_user: must not be blank" in ended.err
    assert "is new" not in ended.err
    assert "beta is on the Standard tier" in ended.err


def test_an_account_is_named_once_in_whatever_letter_case(driverlink: ServedFolder, folder: Path) -> None:
    ended = apply(driverlink, folder, FILE + "  - account: Beta\n    master_user: jane\n")
    assert (ended.status, "accounts.yaml:13: Beta is there twice" in ended.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accounts:\n  - account: [", "accounts.yaml:2: it is not YAML"),
        ("fleets: []\n", "has no list `accounts`"),
        ("accounts:\n  - account: beta\n    master_user: j\n  - gamma\n", "accounts.yaml:4: an account is a mapping"),
        ("accounts: [{a: &a [*a]}]\n", "accounts.yaml"),
    ],
)
def test_a_file_that_is_not_a_list_of_accounts_is_refused_with_its_line(
    driverlink: ServedFolder, folder: Path, text: str, message: str
) -> None:
    ended = apply(driverlink, folder, text)
    assert (ended.status, message in ended.err, "Traceback" in ended.err) == (1, True, False)


def test_the_people_of_an_account_change_by_who_may_change_them(driverlink: ServedFolder) -> None:
    assert driverlink("accounts", "set", "acme", "--master-user", "eve", "--json").document["master_user"] == "eve"
    ended = driverlink("accounts", "set", "acme", "--tier", "standard", "--as", "eve")
    assert (ended.status, "cannot remove it, or change its tier or its people" in ended.err) == (1, True)
    assert driverlink("sync", "off", "acme", "--as", "jane").status == 1
    assert driverlink("sync", "off", "acme", "--as", "eve").status == 0
    assert driverlink("accounts", "set", "acme").status == 2


def test_credentials_are_checked_by_a_call_that_only_reads(
    driverlink: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = reached_twins(monkeypatch)
    assert [each["ok"] for each in driverlink("accounts", "check", "acme", "--json").document] == [True, True]
    no = Rejected(reason=Reason.CREDENTIALS, detail="the key is not known")

    async def probe() -> None:
        raise TargetFailed(no)

    twins[Target.MOTIVE].probe = probe  # type: ignore[method-assign]
    ended = driverlink("accounts", "check", "acme", "motive")
    assert (ended.status, "fails: credentials  the key is not known" in ended.out) == (1, True)
    driverlink("accounts", "mode", "acme", "motive", "off")
    ended = driverlink("accounts", "check", "acme", "--json")
    assert (ended.status, [each["target"] for each in ended.document]) == (0, ["driveri"])


def test_a_check_without_credentials_says_how_to_connect(driverlink: ServedFolder) -> None:
    ended = driverlink("accounts", "check", "acme", "driveri", "portal")
    assert ended.status == 1
    assert "driverlink accounts connect acme driveri" in ended.out
    assert "no credentials for the Portal" in ended.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "accounts: [{account: x}, {account: y}]\naccounts: [{account: z}]\n",
            "2: it is not YAML: accounts is there twice",
        ),
        (
            "accounts:\n- account: x\n  master_user: a\n  master_user: b\n",
            "4: it is not YAML: master_user is there twice",
        ),
    ],
)
def test_a_key_that_is_there_twice_is_refused(driverlink: ServedFolder, folder: Path, text: str, words: str) -> None:
    ended = apply(driverlink, folder, text, "--dry-run")
    assert (ended.status, words in ended.err.replace("\n", " ")) == (1, True), ended.err
