"""The settings of the distributed shape, from the environment."""

import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PostgresDsn, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.intake.settings import PortalSettings
from services.projector.settings import TargetSettings
from services.runtime.settings import PREFIX

_SERVER = re.compile(r"[^,]+:\d{1,5}")

SHORTEST_KEY = 32
"""Characters of the shortest secret key."""


class KafkaSettings(BaseSettings):
    """Where Kafka is, and how it is spoken to: all that `driverlink topics create` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", hide_input_in_errors=True)

    SECRETS: ClassVar[tuple[str, ...]] = ("kafka_password",)
    """The settings that may be given as the name of a file."""

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
    kafka_prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="What the names of our topics and groups begin with; each installation on one Kafka has its own.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, given: Any) -> Any:  # noqa: ANN401 - what the environment says
        for name in cls.SECRETS:
            path = given.get(f"{name}_file")
            if path and given.get(name):
                raise ValueError(f"{PREFIX}{name.upper()} and {PREFIX}{name.upper()}_FILE are both set: keep one")
            if path:
                given = {**given, name: _secret(Path(path), name)}
        return given

    @field_validator("kafka_servers")
    @classmethod
    def _check_servers(cls, servers: str) -> str:
        if servers and not all(map(_SERVER.fullmatch, servers.replace(" ", "").split(","))):
            raise ValueError("must be host:port, with commas between several")
        return servers

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        is_complete = self.kafka_username and self.kafka_password.get_secret_value()
        if self.kafka_security.startswith("sasl") and not is_complete:
            raise ValueError(
                f"{PREFIX}KAFKA_SECURITY is {self.kafka_security}, which needs {PREFIX}KAFKA_USERNAME, and "
                f"{PREFIX}KAFKA_PASSWORD or {PREFIX}KAFKA_PASSWORD_FILE"
            )
        return self


class DistributedSettings(TargetSettings, PortalSettings, KafkaSettings):
    """One process for each service, over Kafka and PostgreSQL.

    Commands work on this shape, not on a data folder, where `DRIVERLINK_DATABASE_URL` is set.
    """

    SECRETS: ClassVar[tuple[str, ...]] = (*KafkaSettings.SECRETS, "database_password", "secret_key")

    database_url: PostgresDsn = Field(
        description="The database, without a password: `postgresql://user@host:5432/driverlink?sslmode=verify-full`."
    )
    database_password: SecretStr = Field(default=SecretStr(""), description="The password of the database's user.")
    database_password_file: Path | None = Field(default=None, description="A file that holds that password.")
    database_prefix: str = Field(
        default="",
        pattern=r"^([a-z][a-z0-9_]{0,29})?$",
        description="What the names of our schemas begin with; each installation in one database has its own.",
    )
    installation: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,60}$",
        description="Our installation's id, else `database migrate` makes one; a database of another is refused.",
    )
    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="Encrypts the accounts' credentials in the database: any secret text of 32 characters or more.",
    )
    secret_key_file: Path | None = Field(default=None, description="A file that holds that key.")
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

    @field_validator("database_url")
    @classmethod
    def _check_scheme(cls, url: PostgresDsn) -> PostgresDsn:
        if "+" in url.scheme:
            raise ValueError("must begin with postgres:// or postgresql://")
        return url

    @model_validator(mode="after")
    def _check_database(self) -> Self:
        is_in_query = any(name == "password" for name, _ in self.database_url.query_params())
        if is_in_query or any(host.get("password") for host in self.database_url.hosts()):
            raise ValueError(
                f"{PREFIX}DATABASE_URL holds a password: take it out, and give it by {PREFIX}DATABASE_PASSWORD_FILE "
                f"or {PREFIX}DATABASE_PASSWORD"
            )
        return self

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        length = len(self.secret_key.get_secret_value())
        if 0 < length < SHORTEST_KEY:
            where = f"{PREFIX}SECRET_KEY{'_FILE' if self.secret_key_file else ''}"
            raise ValueError(
                f"{where} holds {length} characters: make one of {SHORTEST_KEY} or more, by `openssl rand -base64 48`"
            )
        return self


def _secret(path: Path, name: str) -> str:
    variable = f"{PREFIX}{name.upper()}_FILE"
    try:
        secret = path.read_text("utf-8").strip()
    except OSError as failure:
        raise ValueError(f"{variable}: {path} cannot be read: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: {path} is no text in UTF-8") from None
    if not secret:
        raise ValueError(f"{variable}: {path} is empty: write the secret into it, or unset it")
    return secret
