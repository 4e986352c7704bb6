"""How settings are read from the environment: each is a variable `DRIVERLINK_<NAME>`, and a wrong one is named."""

import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PostgresDsn,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from domain.failures import ClearFailure
from services.api import ADDRESS, PREFIX
from services.wiring.data_folder import DEFAULT_FOLDER

S = TypeVar("S", bound="EnvironmentSettings")


def _check_base(url: HttpUrl) -> HttpUrl:
    if url.username or url.password or url.query is not None or url.fragment is not None:
        raise ValueError("must be an address without a user name, a password and anything behind the path")
    return url


BaseUrl = Annotated[HttpUrl, AfterValidator(_check_base)]
"""The address below which an API is."""


Term = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""What something is called elsewhere."""


class WrongSettings(ClearFailure):
    """A setting is wrong; the message names each one and says what is wrong with it."""


def read_settings(kind: type[S], **given: object) -> S:
    """The settings of this kind: those given, and where None is given as the environment states them.

    Raises `WrongSettings`.
    """
    kinds = (ApiSettings, EmbeddedSettings, DistributedSettings)
    known = {_variable(name): field.description or "" for each in kinds for name, field in each.model_fields.items()}
    for name in sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name not in known):
        # A name that is nearly one of ours is a slip, and what it was to set would be missed in silence.
        if near := get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.9):
            raise WrongSettings(f"{name} is not a setting; did you mean {near[0]}?")
    stated = {name: text for name in kind.model_fields if (text := os.environ.get(_variable(name))) is not None}
    try:
        return kind.model_validate({**stated, **{name: value for name, value in given.items() if value is not None}})
    except ValidationError as wrong:
        raise WrongSettings("; ".join(_problem(error, known) for error in wrong.errors())) from None


_Described = Mapping[str, Any]

_PROBLEMS: Mapping[str, Callable[[_Described], str]] = {
    "missing": lambda _: "is not set",
    "int_parsing": lambda _: "must be a whole number",
    "float_parsing": lambda _: "must be a number",
    "bool_parsing": lambda _: "must be true or false",
    "finite_number": lambda _: "must be a number",
    "greater_than_equal": lambda said: f"must be {said['ge']:g} or more",
    "less_than_equal": lambda said: f"must be {said['le']:g} or less",
    "literal_error": lambda said: f"must be {said['expected']}",
    "string_too_short": lambda _: "must not be empty",
    "string_pattern_mismatch": lambda said: f"must match {said['pattern']}",
    "url_scheme": lambda said: f"must begin with {_schemes(str(said['expected_schemes']))}",
    "url_parsing": lambda said: f"is not a URL: {said['error']}",
}
"""By pydantic's types of errors: what is wrong, in words that go on from the variable's name."""


_UNKNOWN = ("missing", "url_parsing", "string_pattern_mismatch")
"""Errors of people who may not know what a setting is for: its meaning is added."""


def _problem(error: Any, known: Mapping[str, str]) -> str:  # noqa: ANN401 - pydantic's own shape
    words = _PROBLEMS.get(error["type"])
    problem = words(error.get("ctx", {})) if words else str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return problem
    variable = _variable(str(error["loc"][0]))
    meaning = known[variable].removesuffix(".") if error["type"] in _UNKNOWN else ""
    return f"{variable} {problem}{f' ({meaning})' if meaning else ''}"


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _schemes(expected: str) -> str:
    """The plain ones of these quoted schemes, as a URL begins with them."""
    schemes = sorted(re.findall(r"'([a-z]+)'", expected))
    return " or ".join(f"{scheme}://" for scheme in schemes)


class EnvironmentSettings(BaseModel):
    """Settings that `read_settings` reads; the checks of a kind are built when it is first read, as commands start."""

    model_config = ConfigDict(extra="ignore", defer_build=True)


class FolderSettings(EnvironmentSettings):
    """One process, one data folder."""

    data: Path = Field(
        default=Path(DEFAULT_FOLDER),
        description="The data folder: one SQLite file for each service, the credentials, the local socket.",
    )

    @field_validator("data", mode="before")
    @classmethod
    def _check_named(cls, data: object) -> object:
        """An empty name would be the folder in which the command happens to run."""
        if data == "":
            raise ValueError("must name a folder, or not be set")
        return data


class ApiSettings(FolderSettings):
    """How commands reach the API: at its address, else at the local socket of a data folder."""

    api_url: str = Field(
        default="",
        pattern=ADDRESS,
        description="Where commands reach the API: `http://host:port`, or the path of a local socket.",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""), description="The API key by which commands prove who asks, at an address of HTTP."
    )
    api_key_file: Path | None = Field(default=None, description="A file that holds that key.")
    context: str = Field(default="", description="The context that commands ask, as `--context` names one.")


class PortalSettings(EnvironmentSettings):
    """How drivers are read by the Portal's API; accounts without credentials there are not read."""

    portal_url: BaseUrl = Field(
        default=HttpUrl("https://api.gpsinsight.com"), description="The base address of the Portal's API."
    )
    portal_read_every: float = Field(
        default=300.0,
        ge=0.1,
        le=86_400.0,
        description="Seconds between two readings of an account's list, and up to a tenth more.",
    )
    portal_driver_id_attribute: str = Field(
        default="Driveri DriverID",
        max_length=200,
        description="The custom attribute of the Portal that holds the Driveri DriverID; empty: none does.",
    )
    portal_ref_id_attribute: str = Field(
        default="",
        max_length=200,
        description="The one that holds the RefID, which the API's list does not tell; empty: none does.",
    )
    portal_calls_per_second: float = Field(
        default=10.0,
        ge=0.01,
        allow_inf_nan=False,
        description="The most calls a second that the Portal gets for one account; attributes cost one a driver.",
    )
    portal_calls_at_once: int = Field(
        default=4, gt=0, le=100, description="The most calls under way at the Portal for one account."
    )


class TargetSettings(EnvironmentSettings):
    """Where the targets are, and how they name things."""

    driveri_url: BaseUrl = Field(
        default=HttpUrl("https://api.netradyne.com/driveri"), description="The base address of Driveri's API."
    )
    driveri_active_status: Term = Field(
        default="Active", description="What Driveri's configurations call a driver in service."
    )
    driveri_deleted_status: Term = Field(
        default="Deleted", description="What Driveri's configurations call a deleted driver."
    )
    driveri_calls_per_second: float = Field(
        default=10.0,
        ge=0.01,
        allow_inf_nan=False,
        description="The most calls a second that Driveri gets for one account; it publishes no limit, but has one.",
    )
    driveri_calls_at_once: int = Field(
        default=8, gt=0, le=100, description="The most calls under way at Driveri for one account."
    )
    motive_url: BaseUrl = Field(
        default=HttpUrl("https://api.gomotive.com"), description="The base address of Motive's API."
    )
    motive_token_url: HttpUrl | None = Field(
        default=None,
        description="Where Motive renews access tokens; unless set, `/oauth/token` below `DRIVERLINK_MOTIVE_URL`.",
    )
    motive_calls_per_second: float = Field(
        default=5.0,
        ge=0.01,
        allow_inf_nan=False,
        description="The same for Motive, of which clients are known that stay at one call a second.",
    )
    motive_calls_at_once: int = Field(
        default=4,
        gt=0,
        le=100,
        description="The same for Motive, of which clients are known that stay at two calls under way.",
    )
    motive_portal_integration: Term = Field(
        default="gps_portal", description="The integration name under which Motive keeps the Portal's id."
    )
    motive_driveri_integration: Term = Field(
        default="driveri", description="The integration name under which Motive keeps the DriverID."
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.driveri_active_status.casefold() == self.driveri_deleted_status.casefold():
            raise ValueError("DRIVERLINK_DRIVERI_ACTIVE_STATUS and ..._DELETED_STATUS must differ")
        if self.motive_portal_integration == self.motive_driveri_integration:
            raise ValueError("DRIVERLINK_MOTIVE_PORTAL_INTEGRATION and ..._DRIVERI_INTEGRATION must differ")
        return self


class WebhookSettings(EnvironmentSettings):
    """Where webhooks may go."""

    webhooks_private: bool = Field(
        default=False,
        description="Whether webhooks may go to private addresses, and by plain HTTP to this machine.",
    )


class LimitSettings(EnvironmentSettings):
    """What one caller of the API, and one request to it, may take; pushes have bounds of their own."""

    api_requests_a_minute: int = Field(
        default=6000,
        ge=60,
        le=1_000_000,
        description="Requests in a minute of one person or API key, in each process; one more is refused with 429.",
    )
    api_largest_body: int = Field(
        default=64 * 2**20,
        ge=2**20,
        le=2**30,
        description="Bytes of the largest body; a larger one is refused with 413 and not read.",
    )
    api_slowest_body: float = Field(
        default=60.0, ge=1, le=3600, description="Seconds in which a body has to come; else it is refused with 408."
    )
    api_slowest_head: float = Field(
        default=10.0,
        ge=1,
        le=600,
        description="Seconds in which the head of a request has to come; else its connection is closed.",
    )


class LogSettings(EnvironmentSettings):
    """How a process logs to standard error."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning",
        description="What is logged: `warning`; from `info` on each decision and each outcome of a call, from `debug` "
        "on every stored event; `error` only what should not happen. SIGUSR1 raises it in a running process, and "
        "SIGUSR2 sets it back.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How a line looks: `text` for people, `json` for programs, one object each."
    )


class ArchiveSettings(EnvironmentSettings):
    """Where old history is copied to."""

    archive_folder: Path | None = Field(
        default=None,
        description="The folder of archive files, for `driverlink archives create` and for erasing accounts.",
    )
    archive_after_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Days after which `driverlink archives create` archives events; unless set, `--before` says which.",
    )


class ServiceSettings(TargetSettings, PortalSettings, WebhookSettings, LimitSettings, LogSettings, ArchiveSettings):
    """What every deployment has to know of the targets and the Portal."""


_SERVER = re.compile(r"[^,]+:\d{1,5}")

SHORTEST_KEY = 32
"""Characters of the shortest secret key."""


class KafkaSettings(EnvironmentSettings):
    """Where Kafka is, and how to connect to it: all that `driverlink topics create` needs."""

    model_config = ConfigDict(hide_input_in_errors=True)

    SECRETS: ClassVar[tuple[str, ...]] = ("kafka_password",)
    """The settings that may be given as the name of a file."""

    kafka_servers: str = Field(default="", description="Kafka's bootstrap servers: `host:port`, with commas between.")
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="The protocol to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How our user authenticates to Kafka."
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


class SignInSettings(EnvironmentSettings):
    """The OpenID Connect provider with which people sign in, where there is one."""

    oidc_issuer: str = Field(
        default="",
        pattern=r"^(https?://[^/].*)?$",
        description="The provider's issuer, exactly as it calls itself; empty: people cannot sign in.",
    )
    oidc_client_id: str = Field(default="", description="The id of our client at the provider.")
    oidc_client_secret: SecretStr = Field(default=SecretStr(""), description="The secret of that client.")
    oidc_client_secret_file: Path | None = Field(default=None, description="A file that holds that secret.")
    oidc_user_claim: str = Field(
        default="preferred_username", description="The claim with a person's name, the same as in the Portal."
    )
    oidc_roles_claim: str = Field(
        default="driverlink_roles",
        description="The claim with a person's roles: a list of `ROLE`, or `ROLE:ACCOUNT` for one account.",
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^/].*)?$",
        description="Where browsers reach the API; the provider sends them back to `/oidc/callback` below it.",
    )

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.public_url):
            raise ValueError(
                f"{PREFIX}OIDC_ISSUER is set, which needs {PREFIX}OIDC_CLIENT_ID and {PREFIX}PUBLIC_URL too"
            )
        return self


class DistributedSettings(ServiceSettings, KafkaSettings, SignInSettings):
    """One process for each service, over Kafka and PostgreSQL; commands reach the API that `serve api` serves."""

    SECRETS: ClassVar[tuple[str, ...]] = (
        *KafkaSettings.SECRETS,
        "database_password",
        "secret_key",
        "profile_master_key",
        "former_profile_master_keys",
        "admin_key",
        "oidc_client_secret",
    )

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
    profile_master_key: SecretStr = Field(
        default=SecretStr(""),
        description="Encrypts the keys of profiles: 32 characters or more; empty: the secret key does.",
    )
    profile_master_key_file: Path | None = Field(default=None, description="A file that holds that key.")
    former_profile_master_keys: SecretStr = Field(
        default=SecretStr(""),
        description="What encrypted keys of profiles before, until `driverlink encryption rotate`: one a line.",
    )
    former_profile_master_keys_file: Path | None = Field(default=None, description="A file that holds those keys.")
    admin_key: SecretStr = Field(
        default=SecretStr(""),
        description="An API key of an admin for `serve api`, by which to make others: 32 characters or more.",
    )
    admin_key_file: Path | None = Field(default=None, description="A file that holds that key.")
    kafka_session_timeout: float = Field(
        default=45.0, ge=1.0, le=600.0, description="Seconds until a process that fell silent loses its partitions."
    )
    epoch: str = Field(
        default="1", pattern=r"^[A-Za-z0-9_-]{1,20}$", description="Another one whenever the topics are made again."
    )
    member: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
        description="This process's lasting name, such as its pod's: back soon, it goes on with its own partitions.",
    )
    http_host: str = Field(
        default="127.0.0.1", description="Where `serve` listens for `/live` and `/ready`, and `serve api` for requests."
    )
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
        for name, key, path in (
            ("SECRET_KEY", self.secret_key, self.secret_key_file),
            ("PROFILE_MASTER_KEY", self.profile_master_key, self.profile_master_key_file),
            ("ADMIN_KEY", self.admin_key, self.admin_key_file),
        ):
            length = len(key.get_secret_value())
            if 0 < length < SHORTEST_KEY:
                where = f"{PREFIX}{name}{'_FILE' if path else ''}"
                raise ValueError(
                    f"{where} holds {length} characters: make one of {SHORTEST_KEY} or more, "
                    "by `openssl rand -base64 48`"
                )
        return self


def _secret(path: Path, name: str) -> str:
    variable = f"{PREFIX}{name.upper()}_FILE"
    try:
        secret = path.read_text("utf-8").strip()
    except OSError as failure:
        raise ValueError(f"{variable}: {path} cannot be read: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: {path} is not UTF-8 text") from None
    if not secret:
        raise ValueError(f"{variable}: {path} is empty: write the secret into it, or unset it")
    return secret


_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|\[::1\]")


class EmbeddedSettings(ServiceSettings, FolderSettings):
    """Everything that `driverlink up` has to know."""

    VENDORS: ClassVar[tuple[str, ...]] = ("driveri_url", "motive_url", "portal_url")
    """The settings whose defaults are the vendors' own addresses."""

    console_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="The port of the loopback address for browsers, and for requests with an API key; 0: any free one.",
    )

    @model_validator(mode="after")
    def _check_vendors(self) -> Self:
        """Beside sandboxes nothing is called at a vendor's own address, unless that is stated too."""
        stated = {name: getattr(self, name) for name in self.VENDORS if name in self.model_fields_set}
        local = next((name for name, url in stated.items() if _LOOPBACK.fullmatch(url.host or "")), "")
        if local and (left := [_variable(name) for name in self.VENDORS if name not in stated]):
            raise ValueError(
                f"{_variable(local)} is an address of this machine, and unless set {' and '.join(left)} would be the "
                "vendor's own: set it too"
            )
        return self
