"""Push secrets: shown once, kept with the credentials, replaced and revoked by command."""

from pathlib import Path

import pytest

from adapters.credentials import CredentialsFile
from tests.support.served_folder import ServedFolder
from tests.unit.services.cli.test_connecting import run


@pytest.fixture
def keeper(driverlink: ServedFolder, monkeypatch: pytest.MonkeyPatch) -> CredentialsFile:
    """The credentials of a data folder with the account acme, whose API is served."""
    driverlink.start()
    monkeypatch.setenv("DRIVERLINK_DATA", str(driverlink.path))
    return CredentialsFile(driverlink.path / "credentials")


def test_a_secret_is_made_replaced_and_revoked(keeper: CredentialsFile) -> None:
    created = run("accounts", "push-secret", "create", "acme")
    first = created.stdout.splitlines()[0]
    assert first.startswith("whsec_")
    assert "/accounts/acme/changes" in created.output
    again = run("accounts", "push-secret", "create", "acme")
    assert (again.exit_code, "push-secret rotate acme portal" in str(again.exception)) == (1, True)
    second = run("accounts", "push-secret", "rotate", "acme").stdout.splitlines()[0]
    stored = keeper.signing_secrets("acme", "portal")
    assert stored is not None
    assert (stored.secret, stored.former) == (second, first)
    shown = run("accounts", "push-secret", "show", "acme").output
    assert "portal" in shown
    assert first not in shown
    assert second not in shown
    assert run("accounts", "push-secret", "revoke", "acme").exit_code == 0
    assert keeper.signing_secrets("acme", "portal") is None
    assert str(run("accounts", "push-secret", "revoke", "acme").exception) == "portal has no secret for acme"


def test_the_secret_that_motive_shows_is_read_from_a_file(keeper: CredentialsFile, tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("8cbd43f98ba1e33c28c9\n", "utf-8")
    assert run("accounts", "push-secret", "create", "acme", "motive", "--secret-file", str(path)).exit_code == 0
    stored = keeper.signing_secrets("acme", "motive")
    assert stored is not None
    assert stored.secret == "8cbd43f98ba1e33c28c9"
    path.write_bytes(b"\xff")
    result = run("accounts", "push-secret", "rotate", "acme", "motive", "--secret-file", str(path))
    assert str(result.exception) == f"{path} cannot be read as text"
