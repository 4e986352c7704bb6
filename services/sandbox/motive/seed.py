"""What the Motive sandbox starts from: companies with their key and users, and names taken elsewhere."""

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from services.sandbox.motive.assumptions import Assumptions
from services.sandbox.motive.grants import Grant
from services.sandbox.motive.user import FURTHER_FIELDS, ExternalId, Role, Status, User
from services.sandbox.validation import SeedRefused, check_unique, first_problem

_FIRST_FREE_ID = 1001


class ExternalIdSeed(BaseModel):
    """An external id; its record id may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int | None = Field(default=None, gt=0)
    external_id: str = Field(min_length=1)
    integration_name: str = Field(min_length=1)


class UserSeed(BaseModel):
    """A user as the state shows it; all but the first name may be left out, and no field is made up."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: int | None = Field(default=None, gt=0)
    role: Role = "driver"
    status: Status = "active"
    first_name: str
    last_name: str | None = None
    email: str | None = None
    username: str | None = None
    phone: str | None = None
    phone_country_code: str | None = None
    driver_company_id: str | None = None
    drivers_license_number: str | None = None
    drivers_license_state: str | None = None
    time_zone: str | None = None
    group_ids: tuple[int, ...] = ()
    created_at: str | None = None
    updated_at: str | None = None
    external_ids: tuple[ExternalIdSeed, ...] | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> "UserSeed":
        unknown = sorted((self.model_extra or {}).keys() - FURTHER_FIELDS)
        if unknown:
            raise ValueError(f"a user of Motive has no field {unknown[0]!r}")
        return self

    def user(self, user_ids: Iterator[int], record_ids: Iterator[int], at: str) -> User:
        """The stored user; ids and times that are not stated are the next ids and the time of the seeding."""
        values = {"created_at": at, "updated_at": at} | self.model_dump(include=_PLAIN, exclude_none=True)
        return User(
            **values,
            id=self.id or next(user_ids),
            external_ids=tuple(_external_id(record, record_ids) for record in self.external_ids or ()),
            further=dict(self.model_extra or {}),
        )


_PLAIN = set(UserSeed.model_fields) - {"id", "external_ids"}


def _external_id(seed: ExternalIdSeed, record_ids: Iterator[int]) -> ExternalId:
    return ExternalId(
        id=seed.id or next(record_ids), external_id=seed.external_id, integration_name=seed.integration_name
    )


class GrantSeed(BaseModel):
    """What a company granted to an OAuth application. `token_lifetime` is in milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1)
    client_secret: str = Field(min_length=1)
    refresh_token: str = Field(min_length=1)
    token_lifetime: int = Field(default=7_200_000, ge=1000)


class CompanySeed(BaseModel):
    """One company; without a name it goes by its key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    company: str | None = Field(default=None, min_length=1)
    api_key: str = Field(min_length=1)
    test_mode: bool = False
    assumptions: Assumptions = Assumptions()
    grants: tuple[GrantSeed, ...] = ()
    users: tuple[UserSeed, ...] = ()

    @field_validator("users")
    @classmethod
    def _check_pairs(cls, users: tuple[UserSeed, ...]) -> tuple[UserSeed, ...]:
        records = (record for user in users for record in user.external_ids or ())
        check_unique("external id", ((record.external_id, record.integration_name) for record in records))
        return users

    @property
    def name(self) -> str:
        """What the journal calls the company."""
        return self.company or self.api_key

    def built_grants(self) -> list[Grant]:
        """What the company granted, before any renewal."""
        return [Grant(company=self.name, **grant.model_dump()) for grant in self.grants]


class MotiveSeed(BaseModel):
    """All companies of one sandbox."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    companies: tuple[CompanySeed, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @field_validator("companies")
    @classmethod
    def _check_companies(cls, companies: tuple[CompanySeed, ...]) -> tuple[CompanySeed, ...]:
        users = [user for company in companies for user in company.users]
        records = (record for user in users for record in user.external_ids or ())
        check_unique("api_key", (company.api_key for company in companies))
        check_unique("company", (company.name for company in companies))
        check_unique("refresh token", (grant.refresh_token for company in companies for grant in company.grants))
        check_unique("user id", (user.id for user in users))
        check_unique("email", (_folded(user.email) for user in users))
        check_unique("username", (_folded(user.username) for user in users))
        check_unique("external id record", (record.id for record in records))
        return companies

    def first_free_user_id(self) -> int:
        """The id of the first user who comes without one."""
        return _above(user.id for company in self.companies for user in company.users)

    def first_free_record_id(self) -> int:
        """The id of the first external id that comes without one."""
        users = (user for company in self.companies for user in company.users)
        return _above(record.id for user in users for record in user.external_ids or ())


def parsed_seed(document: object) -> MotiveSeed:
    """The seed in a JSON document; raises `SeedRefused`."""
    try:
        return MotiveSeed.model_validate(document)
    except ValidationError as error:
        raise SeedRefused(first_problem(error)) from None


def _above(ids: Iterable[int | None]) -> int:
    return max((number + 1 for number in ids if number), default=_FIRST_FREE_ID)


def _folded(name: str | None) -> str | None:
    return name.casefold() if name else None
