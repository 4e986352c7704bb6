"""Contexts: the installation that a command asks, with which key, and what the file of them lets others read."""

import io
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.commanding import Ended, command
from tests.support.served_folder import ServedFolder
from tests.unit.services.cli.test_reaching import at_a_port


class Shell:
    """Runs commands with a configuration folder of their own, and nothing else in their environment."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.file = config / "driverlink" / "config.yaml"

    def __call__(self, *arguments: str, **variables: str) -> Ended:
        return command({"XDG_CONFIG_HOME": str(self.config), **variables}, *arguments)

    def login(self, key: str) -> Ended:
        """Log in with a key from standard input."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(f"{key}\n"))
            return self("login")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_context_says_where_to_ask_and_options_and_variables_go_before_it(
    shell: Shell, looking: ServedFolder, tmp_path: Path
) -> None:
    looking.start()
    assert shell("context", "set", "home", "--data", str(looking.path), "--account", "acme").status == 0
    assert shell("context", "set", "away", "--data", str(tmp_path / "away")).status == 0
    assert shell("accounts", "list").out == looking("accounts", "list").out
    assert f"{tmp_path}/option" in shell("accounts", "list", "--data", str(tmp_path / "option")).err
    assert f"{tmp_path}/variable" in shell("accounts", "list", DRIVERLINK_DATA=str(tmp_path / "variable")).err
    assert shell("context", "use", "away").status == 0
    assert f"{tmp_path}/away" in shell("accounts", "list").err
    assert shell("context", "remove", "away").status == 0
    assert "driverlink-data" in shell("accounts", "list").err
    assert [each["name"] for each in shell("context", "list", "-o", "json").document] == ["home"]


def test_an_option_and_a_variable_name_a_context_for_one_command(
    shell: Shell, looking: ServedFolder, tmp_path: Path
) -> None:
    looking.start()
    shell("context", "set", "away", "--data", str(tmp_path / "away"), "--account", "zeta")
    shell("context", "set", "home", "--data", str(looking.path), "--account", "acme")
    listed = looking("accounts", "list").out
    elsewhere = {"DRIVERLINK_API_URL": "http://127.0.0.1:1"}
    assert shell("accounts", "list", "--context", "home", **elsewhere).out == listed
    assert shell("accounts", "list", DRIVERLINK_CONTEXT="home", **elsewhere).out == listed
    assert f"{tmp_path}/away" in shell("accounts", "list", "--context", "away", DRIVERLINK_CONTEXT="home").err
    assert f"{tmp_path}/away" in shell("accounts", "list").err
    ended = shell("accounts", "show", "--context", "home")
    assert (ended.out, ended.err) == (looking("accounts", "show", "acme").out, "account acme, of the context home\n")
    assert "there is no context work (those are away, home)" in shell("accounts", "list", "--context", "work").err
    refused = shell("accounts", "list", "--context", "home", "--data", str(looking.path))
    assert "give either --context or --data" in " ".join(refused.err.replace("│", "").split())


def test_the_account_of_the_context_is_meant_where_none_is_named(shell: Shell, looking: ServedFolder) -> None:
    looking.start()
    shell("context", "set", "home", "--data", str(looking.path))
    assert "name it, or one for the context" in " ".join(shell("accounts", "show").err.split())
    shell("context", "set", "home", "--account", "acme")
    assert shell("accounts", "show").out == looking("accounts", "show", "acme").out
    assert shell("accounts", "show", "beta").status == 1


def test_commands_that_write_say_which_account_they_take_from_the_context(
    shell: Shell, looking: ServedFolder, tmp_path: Path
) -> None:
    looking.start()
    shell("context", "set", "home", "--data", str(looking.path), "--account", "acme")
    ended = shell("accounts", "reconciliation-at", "05:00")
    assert (ended.status, ended.err) == (0, "account acme, of the context home\n"), ended.err
    assert "acme" in ended.out
    named = shell("accounts", "reconciliation-at", "acme", "05:00")
    assert (named.status, named.out, named.err) == (0, ended.out, "")
    export = tmp_path / "drivers.csv"
    export.write_text("Driver ID,First Name,Last Name\n1,Jane,Doe\n", "utf-8")
    assert "account acme, of the context home" in shell("drivers", "import", str(export), "--dry-run").err


def test_an_account_that_is_added_or_removed_is_named(shell: Shell, tmp_path: Path) -> None:
    shell("context", "set", "home", "--data", str(tmp_path), "--account", "acme")
    for words in (("remove", "--yes"), ("add", "--master-user", "jane")):
        ended = shell("accounts", *words)
        assert (ended.status, "Missing argument 'ACCOUNT'" in " ".join(ended.err.split())) == (2, True), ended.err


def test_login_stores_a_key_that_the_api_knows_and_logout_forgets_it(shell: Shell, folder: Path) -> None:
    with at_a_port(folder) as known:
        shell("context", "set", "work", "--api-url", known["DRIVERLINK_API_URL"])
        assert shell.login("dl_wrong").status == 1
        assert "key" not in yaml.safe_load(shell.file.read_text("utf-8"))["contexts"]["work"]
        key = known["DRIVERLINK_API_KEY"]
        ended = shell.login(key)
        assert (ended.status, ended.out, ended.err) == (
            0,
            "context work asks as key:tests (admin on all accounts)\n",
            "",
        )
        assert shell.file.stat().st_mode & 0o777 == 0o600
        assert "acme" in shell("accounts", "list").out
        assert shell("accounts", "list", DRIVERLINK_API_KEY="dl_wrong").status == 1
        assert key not in shell("context", "list", "-o", "json").out
        assert shell("logout").status == 0
        refused = shell("accounts", "list")
        assert (refused.status, "by `driverlink login`" in refused.err) == (1, True)
        assert key not in shell.file.read_text("utf-8")


def _with_a_key(shell: Shell) -> None:
    shell("context", "set", "work", "--api-url", "http://127.0.0.1:1")
    stated = yaml.safe_load(shell.file.read_text("utf-8"))
    stated["contexts"]["work"]["key"] = "dl_secret"
    shell.file.write_text(yaml.safe_dump(stated), "utf-8")


def test_a_file_with_a_key_that_others_can_read_is_refused(shell: Shell) -> None:
    _with_a_key(shell)
    shell.file.chmod(0o640)
    ended = shell("accounts", "list")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        f"driverlink: {shell.file} holds an API key, and others than you may use it: run `chmod 600 {shell.file}`\n"
    )


def test_a_key_is_forgotten_where_the_address_changes(shell: Shell) -> None:
    _with_a_key(shell)
    shell("context", "set", "work", "--account", "acme")
    assert [each["has_key"] for each in shell("context", "list", "--json").document] == [True]
    shell("context", "set", "work", "--api-url", "http://127.0.0.1:2")
    assert [each["has_key"] for each in shell("context", "list", "--json").document] == [False]


@pytest.mark.parametrize("text", ["dl_secret: [", "- dl_secret", "contexts: {work: {kee: dl_secret}}", "contexts: 3"])
def test_a_file_that_is_none_of_ours_is_named_without_what_it_holds(shell: Shell, text: str) -> None:
    shell.file.parent.mkdir()
    shell.file.write_text(text, "utf-8")
    ended = shell("accounts", "list")
    assert (ended.status, ended.err) == (
        1,
        f"driverlink: {shell.file} is not a file of contexts: mend it, or remove it\n",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("context", "use", "x"), "there is no context x"),
        (("context", "remove", "x"), "there is no context x"),
        (("login",), "no context is in use"),
        (("context", "set", "x"), "give --api-url or --data"),
        (("context", "set", "x", "--api-url", "http://me:secret@host"), "without a password"),
        (("context", "set", "x", "--api-url", "http://host", "--data", "d"), "give either --api-url or --data"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_stored(shell: Shell, words: tuple[str, ...], said: str) -> None:
    ended = shell(*words)
    assert (ended.status > 0, said in " ".join(ended.err.replace("│", "").split())) == (True, True), ended.err
    assert not shell.file.exists()
