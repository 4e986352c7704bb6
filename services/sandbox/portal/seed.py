"""What the Portal's sandbox starts from: accounts with their users and drivers."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.sandbox.portal.assumptions import ASSUMED, Assumptions
from services.sandbox.validation import SeedRefused, check_unique, first_problem

_WEEK = 7 * 24 * 3600 * 1000


class DriverSeed(BaseModel):
    """A driver. `attributes` are custom attributes by name; a `ref_id` is found by, and never shown in the list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(gt=0)
    firstname: str = ""
    lastname: str = Field(min_length=1)
    email: str | None = None
    phone: str | None = None
    ref_id: str | None = None
    attributes: Mapping[str, str] = Field(default_factory=dict)


class UserSeed(BaseModel):
    """Who may log in; `sees` are the ids of the drivers whom the user has a right to see, unless they are all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    username: str = Field(min_length=1)
    app_token: str = Field(min_length=1)
    session_lifetime: int = Field(default=_WEEK, ge=1)
    sees: frozenset[int] | None = None


class AccountSeed(BaseModel):
    """One customer of the Portal. `session_lifetime` of its users is in milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: str = Field(min_length=1)
    users: tuple[UserSeed, ...] = ()
    drivers: tuple[DriverSeed, ...] = ()
    assumptions: Assumptions = ASSUMED


class PortalSeed(BaseModel):
    """All accounts of one sandbox."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accounts: tuple[AccountSeed, ...] = ()

    @model_validator(mode="after")
    def _check_accounts(self) -> Self:
        check_unique("account", (each.account for each in self.accounts))
        check_unique("username", (user.username for each in self.accounts for user in each.users))
        check_unique("driver id", (driver.id for each in self.accounts for driver in each.drivers))
        return self


def parsed_seed(document: object) -> PortalSeed:
    """The seed in a JSON document; raises `SeedRefused`."""
    try:
        return PortalSeed.model_validate(document)
    except ValidationError as error:
        raise SeedRefused(first_problem(error)) from None
