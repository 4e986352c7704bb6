from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from adapters.credentials import (
    AccountCredentials,
    CredentialsFile,
    DriveriCredentials,
    MotiveCredentials,
    MotiveGrantCredentials,
    PortalCredentials,
    with_stated,
)
from domain.identity import Connectable
from domain.ports import CredentialsUnreadable
from domain.profile import CREDENTIALS, CredentialsForm
from services.cli.accounts import secret_of
from services.cli.app import LazyGroup, app
from services.cli.client import CommandRefused
from tests.support.served_folder import ServedFolder

GRANT = MotiveGrantCredentials(client_id="app", client_secret="hush-app", refresh_token="hush-0")
KEY = MotiveCredentials(api_key="hush-key")
PORTAL = PortalCredentials(username="maria", app_token="hush-app")
TENANT = DriveriCredentials(tenant="acme", client_id="id-1", client_secret="hush-driveri")


@pytest.fixture
def data(driverlink: ServedFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the account acme, whose API is served."""
    driverlink.start()
    monkeypatch.setenv("DRIVERLINK_DATA", str(driverlink.path))
    return driverlink.path


def run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=typed)


def connect(*arguments: str, typed: str = "") -> Result:
    result = run("--verbose", "accounts", "connect", "acme", *arguments, typed=typed)
    assert "hush" not in result.output
    return result


def connected(data: Path) -> AccountCredentials:
    return CredentialsFile(data / "credentials").of("acme")


def secret(folder: Path, name: str, value: str) -> str:
    path = folder / name
    path.write_text(f"{value}\n", "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("target", "form"), [(target, form) for target, forms in CREDENTIALS.items() for form in forms]
)
def test_credentials_are_stored_when_their_form_is_whole_and_never_before(
    target: Connectable, form: CredentialsForm
) -> None:
    whole = dict.fromkeys((*form.plain, *form.secrets), "hush")
    assert getattr(with_stated(AccountCredentials(), target, whole), target) is not None
    for name in whole:
        with pytest.raises(CredentialsUnreadable):
            with_stated(AccountCredentials(), target, {**whole, name: ""})


def test_an_api_key_of_motive_is_read_from_standard_input(data: Path) -> None:
    result = connect("motive", typed="hush-key\n")
    assert (result.exit_code, connected(data).motive) == (0, KEY)
    assert result.stdout.splitlines() == [
        "stored the credentials of acme for motive; nothing was called with them yet",
        "try them: driverlink accounts check acme motive",
    ]


def test_a_client_id_asks_for_the_secrets_of_a_grant_in_their_order(data: Path) -> None:
    assert connect("motive", "--client-id", "app", typed="hush-app\nhush-0\n").exit_code == 0
    assert connected(data).motive == GRANT


def test_a_tenant_of_driveri_is_connected_by_an_api_key(data: Path) -> None:
    result = connect("driveri", "--tenant", "acme", "--client-id", "id-1", typed="hush-driveri\n")
    assert (result.exit_code, connected(data).driveri) == (0, TENANT)


def test_the_portal_is_connected_by_a_user_and_the_token_of_an_app(data: Path, tmp_path: Path) -> None:
    assert connect("portal", "--username", "maria", typed="hush-app\n").exit_code == 0
    assert connected(data).portal == PORTAL
    assert connect("driveri", "--tenant", "acme", "--client-id", "id-1", typed="hush-driveri\n").exit_code == 0
    file = secret(tmp_path, "token", "hush-other")
    assert connect("portal", "--username", "maria", "--app-token-file", file).exit_code == 0
    assert connected(data) == AccountCredentials(
        portal=PortalCredentials(username="maria", app_token="hush-other"), driveri=TENANT
    )


def test_secrets_may_come_from_files_with_the_rest_from_standard_input(data: Path, tmp_path: Path) -> None:
    client_secret, refresh_token = secret(tmp_path, "one", "hush-app"), secret(tmp_path, "two", "hush-0")
    files = ["--client-secret-file", client_secret, "--refresh-token-file", refresh_token]
    assert connect("motive", "--client-id", "app", *files).exit_code == 0
    assert connected(data).motive == GRANT
    assert connect("motive", "--api-key-file", secret(tmp_path, "three", "hush-key")).exit_code == 0
    assert connected(data).motive == KEY
    assert connect("motive", "--client-id", "app", *files[:2], typed="hush-0\n").exit_code == 0
    assert connected(data).motive == GRANT


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["driveri", "--client-id", "id-1"], "driveri needs --tenant"),
        (["driveri"], "driveri needs --tenant and --client-id"),
        (["motive", "--tenant", "acme"], "--tenant cannot be used here"),
        (["portal"], "portal needs --username"),
        (["portal", "--username", "maria", "--client-id", "id-1"], "--client-id cannot be used here"),
        (["motive", "--app-token-file", "{file}"], "--app-token-file cannot be used here"),
        (["motive", "--refresh-token-file", "{file}"], "--refresh-token-file cannot be used here"),
        (["motive", "--client-id", "app", "--api-key-file", "{file}"], "--api-key-file cannot be used here"),
    ],
)
def test_options_that_do_not_fit_together_are_refused_before_anything_is_read(
    data: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    file = secret(tmp_path, "secret", "hush")
    result = connect(*(each.format(file=file) for each in arguments), typed="hush-unread\n")
    assert (result.exit_code, says in result.output) == (2, True)
    assert connected(data) == AccountCredentials()


def test_a_file_that_is_not_text_is_refused_without_being_shown(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"hush\xff\xfe")
    result = connect("motive", "--api-key-file", str(path))
    assert str(result.exception) == f"{path} cannot be read as text"
    assert connected(data) == AccountCredentials()


def test_a_secret_that_is_not_given_is_named_with_its_option(data: Path) -> None:
    result = connect("driveri", "--tenant", "acme", "--client-id", "id-1")
    said = "no client secret was given: name its file by --client-secret-file, or type it"
    assert str(result.exception) == said
    assert connected(data) == AccountCredentials()


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_standard_input_that_is_not_text_is_refused_without_being_shown(
    data: Path, monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"hush\xff\xfe\n"), "utf-8", errors))
    with pytest.raises(CommandRefused, match="standard input is not UTF-8 text"):
        secret_of("api_key", None)
    assert connected(data) == AccountCredentials()


@pytest.mark.parametrize(
    ("typed", "missing"),
    [
        ("", "client secret"),
        ("\n", "client secret"),
        ("hush-app\n", "refresh token"),
        ("hush-app\n \n", "refresh token"),
    ],
)
def test_secrets_that_are_missing_connect_nothing(data: Path, typed: str, missing: str) -> None:
    result = connect("motive", "--client-id", "app", typed=typed)
    assert str(result.exception).startswith(f"no {missing} was given: name its file by --")
    assert connected(data) == AccountCredentials()


def parameters(command: Any) -> Iterator[Any]:  # noqa: ANN401 - what typer makes of us
    """Everything that a command and those below it take."""
    yield from command.params
    for name, each in getattr(command, "commands", {}).items():
        yield from parameters(command.load(name) if isinstance(command, LazyGroup) else each)


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """Anyone who lists the processes of a machine sees their arguments."""
    words = ("secret", "key", "token", "password")
    named = {each.name for each in parameters(typer.main.get_command(app)) if any(map(each.name.count, words))}
    assert named == {"app_token_file", "client_secret_file", "api_key_file", "refresh_token_file", "secret_file"}


def test_credentials_are_removed_by_name_and_others_stay(data: Path) -> None:
    connect("portal", "--username", "maria", typed="hush-app\n")
    connect("motive", typed="hush-key\n")
    result = run("accounts", "disconnect", "acme", "portal")
    assert (result.exit_code, result.output) == (0, "disconnected acme from portal\n")
    assert connected(data) == AccountCredentials(motive=KEY)
    again = run("accounts", "disconnect", "acme", "portal")
    assert (again.exit_code, str(again.exception)) == (1, "acme is not connected to portal")
