"""The settings of the distributed shape, from the environment."""

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PostgresDsn, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.projector.settings import TargetSettings
from services.runtime.settings import PREFIX

_SERVER = re.compile(r"[^,]+:\d{1,5}")

_SECRETS = ("database_password", "kafka_password", "secret_key")


class DistributedSettings(TargetSettings):
    """One process for each service, over Kafka and PostgreSQL.

    Commands work on this shape, not on a data folder, where `DRIVERLINK_DATABASE_URL` is set.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", hide_input_in_errors=True)

    database_url: PostgresDsn = Field(
        description="The database, without a password: `postgresql://user@host:5432/driverlink?sslmode=verify-full`."
    )
    database_password: SecretStr = Field(default=SecretStr(""), description="The password of the database's user.")
    database_password_file: Path | None = Field(default=None, description="A file that holds that password.")
    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="Encrypts the accounts' credentials in the database: any secret text of 32 characters or more.",
    )
    secret_key_file: Path | None = Field(default=None, description="A file that holds that key.")
    kafka_servers: str = Field(
        default="", description="Kafka's bootstrap servers: `host:port`, with commas between; commands do without."
    )
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="How Kafka is spoken to."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How a user shows to Kafka who it is."
    )
    kafka_username: str = Field(default="", description="The user at Kafka.")
    kafka_password: SecretStr = Field(default=SecretStr(""), description="The password of Kafka's user.")
    kafka_password_file: Path | None = Field(default=None, description="A file that holds that password.")
    kafka_ca_file: Path | None = Field(default=None, description="The certificates that Kafka's is checked against.")
    kafka_certificate_file: Path | None = Field(default=None, description="Our own certificate for Kafka.")
    kafka_key_file: Path | None = Field(default=None, description="The key of our own certificate.")
    kafka_partitions: int = Field(
        default=12, ge=1, le=1000, description="Partitions of every topic; never changed once there are records."
    )
    kafka_replication: int = Field(default=1, ge=1, le=9, description="Copies of every topic, for `topics create`.")
    kafka_session_timeout: float = Field(
        default=45.0, ge=1.0, le=600.0, description="Seconds until a process that fell silent loses its partitions."
    )
    epoch: str = Field(
        default="1", pattern=r"^[A-Za-z0-9_-]{1,20}$", description="Another one whenever the topics are made anew."
    )
    member: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
        description="This process's lasting name, such as its pod's: back soon, it goes on with its own partitions.",
    )
    http_host: str = Field(default="127.0.0.1", description="Where `serve` listens for `/live` and `/ready`.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="The port for them; 0: any free one.")
    patience: float = Field(
        default=300.0, ge=1.0, description="Seconds without any progress after which `serve` ends with status 1."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, given: Any) -> Any:  # noqa: ANN401 - what the environment says
        for name in _SECRETS:
            path = given.get(f"{name}_file")
            if path and given.get(name):
                raise ValueError(f"{PREFIX}{name.upper()} and ..._FILE are both set; keep one")
            if path:
                given = {**given, name: _secret(Path(path), name)}
        return given

    @field_validator("kafka_servers")
    @classmethod
    def _check_servers(cls, servers: str) -> str:
        if servers and not all(map(_SERVER.fullmatch, servers.replace(" ", "").split(","))):
            raise ValueError("write host:port, with commas between")
        return servers

    @model_validator(mode="after")
    def _check_database(self) -> Self:
        if any(host.get("password") for host in self.database_url.hosts()):
            raise ValueError(f"{PREFIX}DATABASE_URL holds a password; give it by {PREFIX}DATABASE_PASSWORD_FILE")
        return self


def _secret(path: Path, name: str) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as failure:
        raise ValueError(f"{PREFIX}{name.upper()}_FILE cannot be read: {failure}") from None
