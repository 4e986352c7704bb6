import pytest

from services.wiring.settings import DistributedSettings, WrongSettings, read_settings

SECRET_KEY = "hush-" + "0123456789" * 4


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVERLINK_DATABASE_URL", "postgresql://me@127.0.0.1/driverlink")
    monkeypatch.setenv("DRIVERLINK_SECRET_KEY", SECRET_KEY)


def test_settings_never_show_the_secret_key() -> None:
    settings = read_settings(DistributedSettings)
    assert "hush" not in f"{settings!r} {settings!s} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DRIVERLINK_SECRET_KEY", "hush"),
        ("DRIVERLINK_SECRET_KEY_FILE", "/nowhere"),
        ("DRIVERLINK_KAFKA_PARTITIONS", "many"),
        ("DRIVERLINK_SECRET_KEYS", SECRET_KEY),
    ],
)
def test_a_wrong_setting_is_named_without_the_secret_key(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSettings) as wrong:
        read_settings(DistributedSettings)
    assert "hush" not in f"{wrong.value} {wrong.value!r} {wrong.value.__cause__!r}"
