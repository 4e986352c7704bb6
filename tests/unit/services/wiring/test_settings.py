"""A wrong setting ends in one line, which names the variable and says what would be right."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from services.wiring.settings import (
    ApiSettings,
    DistributedSettings,
    EmbeddedSettings,
    KafkaSettings,
    WrongSettings,
    read_settings,
)

GOOD = {"DATABASE_URL": "postgresql://driverlink@db.example:5432/driverlink"}
KEY = "a secret key that is only good for tests"


def given(monkeypatch: pytest.MonkeyPatch, named: Mapping[str, str]) -> None:
    """Let these be all settings that there are."""
    for name, value in named.items():
        monkeypatch.setenv(f"DRIVERLINK_{name}", value)


def problem(monkeypatch: pytest.MonkeyPatch, named: Mapping[str, str]) -> str:
    """What is said of these settings."""
    given(monkeypatch, named)
    with pytest.raises(WrongSettings) as wrong:
        read_settings(DistributedSettings)
    return str(wrong.value)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({}, "DRIVERLINK_DATABASE_URL is not set (The database, without a password: `postgresql://user@host:5432/"),
        ({"DATABASE_URL": "db.example"}, "DRIVERLINK_DATABASE_URL is not a URL: relative URL without a base (The data"),
        ({"DATABASE_URL": "mysql://u@h/d"}, "DRIVERLINK_DATABASE_URL must begin with postgres:// or postgresql://"),
        ({"DATABASE_URL": "postgresql+asyncpg://u@h/d"}, "DRIVERLINK_DATABASE_URL must begin with postgres:// or"),
        ({"DATABASE_URL": "postgresql://u:sesame@h/d"}, "DRIVERLINK_DATABASE_URL holds a password: take it out, and"),
        ({"DATABASE_URL": "postgresql://u@h/d?password=sesame"}, "DRIVERLINK_DATABASE_URL holds a password: take it"),
        ({**GOOD, "PATIENCE": "soon"}, "DRIVERLINK_PATIENCE must be a number"),
        ({**GOOD, "PATIENCE": "0"}, "DRIVERLINK_PATIENCE must be 1 or more"),
        ({**GOOD, "DRIVERI_CALLS_PER_SECOND": "0"}, "DRIVERLINK_DRIVERI_CALLS_PER_SECOND must be 0.01 or more"),
        ({**GOOD, "MOTIVE_CALLS_PER_SECOND": "1e-300"}, "DRIVERLINK_MOTIVE_CALLS_PER_SECOND must be 0.01 or more"),
        ({**GOOD, "PORTAL_CALLS_PER_SECOND": "-1"}, "DRIVERLINK_PORTAL_CALLS_PER_SECOND must be 0.01 or more"),
        ({**GOOD, "HTTP_PORT": "http"}, "DRIVERLINK_HTTP_PORT must be a whole number"),
        ({**GOOD, "HTTP_PORT": "65536"}, "DRIVERLINK_HTTP_PORT must be 65535 or less"),
        ({**GOOD, "EPOCH": "a b"}, "DRIVERLINK_EPOCH must match ^[A-Za-z0-9_-]{1,20}$ (Another one when"),
        (
            {**GOOD, "DRIVERI_URL": "https://u:sesame@driveri"},
            "DRIVERLINK_DRIVERI_URL must be an address without a user",
        ),
        ({**GOOD, "MOTIVE_URL": "https://motive/?"}, "DRIVERLINK_MOTIVE_URL must be an address without a user name"),
        ({**GOOD, "MOTIVE_URL": "ftp://motive"}, "DRIVERLINK_MOTIVE_URL must begin with http:// or https://"),
        ({**GOOD, "DRIVERI_ACTIVE_STATUS": ""}, "DRIVERLINK_DRIVERI_ACTIVE_STATUS must not be empty"),
        ({**GOOD, "MOTIVE_PORTAL_INTEGRATION": " "}, "DRIVERLINK_MOTIVE_PORTAL_INTEGRATION must not be empty"),
        ({**GOOD, "KAFKA_SERVERS": "kafka"}, "DRIVERLINK_KAFKA_SERVERS must be host:port, with commas between sev"),
        ({**GOOD, "KAFKA_SECURITY": "tls"}, "DRIVERLINK_KAFKA_SECURITY must be 'plaintext', 'ssl', 'sasl_plaintext'"),
        ({**GOOD, "KAFKA_SECURITY": "sasl_ssl", "KAFKA_USERNAME": "u"}, "which needs DRIVERLINK_KAFKA_USERNAME, and"),
        ({**GOOD, "SECRET_KEY": "sesame"}, "DRIVERLINK_SECRET_KEY holds 6 characters: make one of 32 or more, by"),
        ({**GOOD, "SECRET_KEY": KEY, "SECRET_KEY_FILE": "x"}, "_KEY and DRIVERLINK_SECRET_KEY_FILE are both set: keep"),
        (
            {**GOOD, "KAFKA_PARTITION": "4"},
            "DRIVERLINK_KAFKA_PARTITION is not a setting; did you mean DRIVERLINK_KAFKA",
        ),
    ],
    ids=range(25),
)
def test_what_is_wrong_is_named_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, named: Mapping[str, str], says: str
) -> None:
    told = problem(monkeypatch, named)
    assert says in told
    assert "\n" not in told
    assert "sesame" not in told


def test_a_variable_in_small_letters_is_named_as_a_slip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("driverlink_patience", "5")
    assert problem(monkeypatch, GOOD) == "driverlink_patience is not a setting; did you mean DRIVERLINK_PATIENCE?"


def test_several_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = problem(monkeypatch, {**GOOD, "PATIENCE": "0", "HTTP_PORT": "-1"})
    assert sorted(told.split("; ")) == [
        "DRIVERLINK_HTTP_PORT must be 0 or more",
        "DRIVERLINK_PATIENCE must be 1 or more",
    ]


@pytest.mark.parametrize("name", ["DATABASE_PASSWORD", "KAFKA_PASSWORD", "SECRET_KEY"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "is not UTF-8 text"),
        (b" \n", "is empty: write the secret into it, or unset it"),
    ],
    ids=["missing", "no text", "empty"],
)
def test_a_file_without_a_secret_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    told = problem(monkeypatch, {**GOOD, f"{name}_FILE": str(file)})
    assert told == f"DRIVERLINK_{name}_FILE: {file} {says}"


def test_a_short_key_in_a_file_is_named_by_the_variable_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sesame\n")
    told = problem(monkeypatch, {**GOOD, "SECRET_KEY_FILE": str(tmp_path / "key")})
    assert told.startswith("DRIVERLINK_SECRET_KEY_FILE holds 6 characters")


def test_secrets_come_from_files_and_are_never_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    given(monkeypatch, {**GOOD, "SECRET_KEY_FILE": str(tmp_path / "key")})
    settings = read_settings(DistributedSettings)
    assert settings.secret_key.get_secret_value() == KEY
    assert KEY not in f"{settings!r} {settings}"


def test_what_is_about_kafka_needs_no_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("sesame\n")
    named = {"KAFKA_SERVERS": "kafka:9092", "KAFKA_PASSWORD_FILE": str(tmp_path / "password")}
    given(monkeypatch, named)
    settings = read_settings(KafkaSettings)
    assert (settings.kafka_servers, settings.kafka_password.get_secret_value()) == ("kafka:9092", "sesame")


@pytest.mark.parametrize("kind", [ApiSettings, EmbeddedSettings, DistributedSettings])
def test_the_reference_has_every_setting(kind: type[ApiSettings | EmbeddedSettings | DistributedSettings]) -> None:
    page = (Path(__file__).parents[4] / "docs" / "reference" / "settings.md").read_text("utf-8")
    assert [name for name in kind.model_fields if f"`DRIVERLINK_{name.upper()}`" not in page] == []


@pytest.mark.parametrize("local", ["http://127.0.0.1:8101", "http://localhost:8101", "http://[::1]:8101"])
def test_beside_a_sandbox_no_vendor_is_called_by_default(monkeypatch: pytest.MonkeyPatch, local: str) -> None:
    """The vendor's own address is fine where it is stated."""
    given(monkeypatch, {"DRIVERI_URL": local, "MOTIVE_URL": local})
    with pytest.raises(WrongSettings, match=r"_DRIVERI_URL is an address of this machine, .* DRIVERLINK_PORTAL_URL "):
        read_settings(EmbeddedSettings)
    given(monkeypatch, {"PORTAL_URL": "https://api.gpsinsight.com"})
    assert read_settings(EmbeddedSettings).portal_url.host == "api.gpsinsight.com"


def test_the_vendors_addresses_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {"DRIVERI_URL": "https://127.example.com"})
    assert read_settings(EmbeddedSettings).motive_url.host == "api.gomotive.com"
