"""`/v1/keys`: API keys for machines, each with roles on accounts; and `/v1/principal`: who a request comes from."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from domain.account import Role
from services.accounts.handlers import account_of
from services.api.access import ApiKeyRow
from services.api.permissions import EVERYWHERE
from services.api.routing import Called, Installed, new_router
from services.api.schema import Named, RequestBody, ResponseBody
from services.runtime.context import utc_now

router = new_router("keys")


class UnknownKey(Exception):
    """There is no API key of this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no API key {key_id}; see `driverlink keys list`")


class CreateKey(RequestBody):
    """An API key with these roles on these accounts, or on every account and the installation."""

    name: Named
    roles: Annotated[frozenset[Role], Field(min_length=1)]
    accounts: tuple[str, ...] = ()
    days: int | None = Field(default=None, ge=1, le=3650)


class ApiKey(ResponseBody):
    """An API key, without its secret. `accounts` is empty where it holds on all; times are empty where there are none.

    `used` is when it was used last, to the minute.
    """

    key_id: str
    name: str
    roles: list[str]
    accounts: list[str]
    by: str
    at: str
    expires: str
    used: str
    revoked: str


class CreatedKey(ApiKey):
    """A new API key. `key` is its text, which is shown only now."""

    key: str


class PrincipalView(ResponseBody):
    """Who a request comes from; `kind` is person, key or local, and `grants` are roles by account, `*` being all."""

    who: str
    kind: str
    grants: dict[str, list[str]]


@router.post("/keys", status_code=201)
async def create_key(body: CreateKey, caller: Called, installation: Installed) -> CreatedKey:
    """Make an API key."""
    readers = installation.readers
    accounts = [str((await readers.call(account_of, readers.accounts, each)).account) for each in body.accounts]
    expires = utc_now() + timedelta(days=body.days) if body.days else None
    grants = dict.fromkeys(accounts or [EVERYWHERE], body.roles)
    access, who = installation.access, caller.principal.who
    row, key = await access.call(access.create_key, body.name, grants, by=who, expires=expires)
    return CreatedKey(**dict(_to_view(row, "")), key=key)


@router.get("/keys")
async def list_keys(installation: Installed) -> list[ApiKey]:
    """List API keys, the newest first."""
    return [_to_view(row, used) for row, used in await installation.access.call(installation.access.keys)]


@router.post("/keys/{key_id}/revoked")
async def revoke_key(key_id: str, installation: Installed) -> ApiKey:
    """Refuse an API key from now on."""
    row = await installation.access.call(installation.access.revoke_key, key_id)
    if row is None:
        raise UnknownKey(key_id)
    return _to_view(row, "")


@router.get("/principal")
async def show_principal(caller: Called) -> PrincipalView:
    """Show who the request comes from."""
    principal = caller.principal
    grants = {account: sorted(map(str, roles)) for account, roles in principal.grants.items()}
    return PrincipalView(who=principal.who, kind=principal.kind, grants=grants)


def _to_view(row: ApiKeyRow, used: str) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        roles=sorted({role for roles in row.grants.values() for role in roles}),
        accounts=sorted(account for account in row.grants if account != EVERYWHERE),
        by=row.by,
        at=row.at,
        expires=row.expires,
        used=used,
        revoked=row.revoked,
    )
