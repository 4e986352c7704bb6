"""What the Motive sandbox starts from: companies with their key and users, and names taken elsewhere.

The whole state of the Motive sandbox: companies, names taken, ids to give, journal.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from services.sandbox.journal import NO_EFFECT, Effect, Journal
from services.sandbox.motive.company import (
    FURTHER_FIELDS,
    Assumptions,
    Company,
    ExternalId,
    Grant,
    Grants,
    Role,
    Status,
    TakenNames,
    User,
    as_stored,
    effect_between,
)
from services.sandbox.state import Ids, Now, SeedRefused, check_unique, first_problem, iso_time
from services.sandbox.webhooks import Pusher, WebhookSeed, motive_signature

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


class MotiveWebhookSeed(WebhookSeed):
    """Where `user_upserted` is sent to, in the form of this version."""

    version: Literal[1, 2] = 2


class CompanySeed(BaseModel):
    """One company; without a name it goes by its key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    company: str | None = Field(default=None, min_length=1)
    api_key: str = Field(min_length=1)
    test_mode: bool = False
    assumptions: Assumptions = Assumptions()
    grants: tuple[GrantSeed, ...] = ()
    users: tuple[UserSeed, ...] = ()
    webhook: MotiveWebhookSeed | None = None

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


class MotiveState:
    """Several companies in one place, seeded from a JSON document; raises `SeedRefused` if that is not valid."""

    def __init__(self, document: object, now: Now, first_id: int = 0) -> None:
        self.now = now
        self.user_ids = Ids(first_id)
        self.record_ids = Ids(first_id)
        self.journal = Journal("company")
        self.seed(document)

    def seed(self, document: object) -> None:
        """Replace everything. Raises `SeedRefused`."""
        self._seed, self._seeded_at = parsed_seed(document), iso_time(self.now())
        self.reset()

    def reset(self) -> None:
        """Go back to what was seeded last, and forget the journal; ids that were given meanwhile never come again."""
        self.order = random.Random(0)  # noqa: S311 - tests repeat what it draws
        self.names = TakenNames(self._seed.elsewhere)
        user_ids, record_ids = count(self._seed.first_free_user_id()), count(self._seed.first_free_record_id())
        self.companies = {
            company.api_key: self._built(company, user_ids, record_ids) for company in self._seed.companies
        }
        self.user_ids.leave_out(next(user_ids) - 1)
        self.record_ids.leave_out(next(record_ids) - 1)
        self._webhooks = {
            company.api_key: (company.webhook, Pusher(company.webhook, ends_at_403=True))
            for company in self._seed.companies
            if company.webhook
        }
        self.grants = Grants(grant for company in self._seed.companies for grant in company.built_grants())
        self.journal.forget()

    def store(self, company: Company, before: User | None, after: User) -> Effect:
        """Make a checked change true, and say what it did; nothing, for a test-mode key."""
        if company.test_mode or (before is None and company.assumptions.created_users == "not_there"):
            return effect_between(before, before) if before else NO_EFFECT
        effect = effect_between(before, after)
        if effect.changed:
            self.names.put(before, after)
            company.put(before, after, self.now())
            self._push(company, before, after)
        return effect

    def _push(self, company: Company, before: User | None, after: User) -> None:
        """Send `user_upserted` where the company has a webhook."""
        if found := self._webhooks.get(company.api_key):
            webhook, pusher = found
            shown = {"id": after.id, "role": after.role, "status": after.status, "updated_at": after.updated_at}
            trigger = {"action": "user_upserted", "trigger": "updated" if before else "created"}
            document = {"action": "user_upserted", "user": shown} if webhook.version == 1 else {**trigger, **shown}
            pusher.push(document, motive_signature(webhook.secret))

    def holders(self, company: Company, pair: tuple[str, str]) -> Sequence[User]:
        """The users that must not have the same value: those of the company, of all companies, or none."""
        scope: Iterable[Company] = self.companies.values()
        if company.assumptions.unique_external_ids != "everywhere":
            scope = (company,) if company.assumptions.unique_external_ids == "in_company" else ()
        return [user for each in scope if (user := each.holder(*pair)) is not None]

    def shown(self) -> dict[str, object]:
        """Everything; it can be seeded again as it is."""
        companies = [
            _shown(company, self.grants.of_company(company.name), self._webhooks.get(company.api_key))
            for company in self.companies.values()
        ]
        return {"companies": companies, "elsewhere": list(self._seed.elsewhere)}

    def _built(self, seed: CompanySeed, user_ids: Iterator[int], record_ids: Iterator[int]) -> Company:
        company = Company(name=seed.name, api_key=seed.api_key, test_mode=seed.test_mode, assumptions=seed.assumptions)
        for user_seed in seed.users:
            user = user_seed.user(user_ids, record_ids, self._seeded_at)
            self.names.put(None, user)
            company.put(None, user)
        return company


def _shown(
    company: Company, grants: Sequence[Grant], webhook: tuple[MotiveWebhookSeed, Pusher] | None
) -> dict[str, object]:
    return {
        "company": company.name,
        "api_key": company.api_key,
        "test_mode": company.test_mode,
        "assumptions": company.assumptions.model_dump(),
        "grants": [_shown_grant(grant) for grant in grants],
        "users": [as_stored(user) for user in company.all()],
        "webhook": webhook[0].model_dump() if webhook else None,
    }


def _shown_grant(grant: Grant) -> dict[str, object]:
    return {
        "client_id": grant.client_id,
        "client_secret": grant.client_secret,
        "refresh_token": grant.refresh_token,
        "token_lifetime": grant.token_lifetime,
    }
