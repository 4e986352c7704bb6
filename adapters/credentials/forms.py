"""What accounts are connected with, as it is stored, and how that changes."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, ValidationError

from domain.identity import Connectable, Target
from domain.ports import CredentialsUnreadable, RenewableTokens

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class PortalCredentials(_Form):
    """A user of the Portal, and the token of the API app by which the user is logged in."""

    username: _Text
    app_token: _Text = Field(repr=False)


class DriveriCredentials(_Form):
    """An API key of one Driveri tenant."""

    tenant: _Text
    client_id: _Text
    client_secret: _Text = Field(repr=False)


class MotiveCredentials(_Form):
    """The API key of one Motive company."""

    api_key: _Text = Field(repr=False)


class StoredTokens(_Form):
    """See `RenewableTokens`."""

    refresh_token: _Text = Field(repr=False)
    access_token: str = Field(repr=False)
    expires_at: float


class MotiveGrantCredentials(_Form):
    """What a Motive company granted to an OAuth application, as somebody stated it, and the newest tokens of it."""

    client_id: _Text
    client_secret: _Text = Field(repr=False)
    refresh_token: _Text = Field(repr=False)
    renewed: StoredTokens | None = None

    def tokens(self) -> RenewableTokens:
        """The newest ones: until the first renewal, just the refresh token that was stated."""
        if self.renewed is None:
            return RenewableTokens(refresh_token=self.refresh_token)
        return RenewableTokens(**self.renewed.model_dump())


def _kind(stated: object) -> str:
    if isinstance(stated, BaseModel):
        return "grant" if isinstance(stated, MotiveGrantCredentials) else "key"
    is_grant = isinstance(stated, Mapping) and "api_key" not in stated and "refresh_token" in stated
    return "grant" if is_grant else "key"


_Motive = Annotated[
    Annotated[MotiveCredentials, Tag("key")] | Annotated[MotiveGrantCredentials, Tag("grant")], Discriminator(_kind)
]


class AccountCredentials(_Form):
    """What one account has, at the Portal and per target."""

    portal: PortalCredentials | None = None
    driveri: DriveriCredentials | None = None
    motive: _Motive | None = None


def with_stated(known: AccountCredentials, target: Connectable, values: Mapping[str, str]) -> AccountCredentials:
    """What an account has once somebody has stated these values; stating the same again changes nothing.

    Raises `CredentialsUnreadable` when they are not whole.
    """
    try:
        stated = AccountCredentials.model_validate({**known.model_dump(), str(target): dict(values)})
    except ValidationError as wrong:
        missing = ", ".join(str(each["loc"][-1]) for each in wrong.errors())
        raise CredentialsUnreadable(f"credentials for {target} need: {missing}") from None
    return known if _as_stated(known) == _as_stated(stated) else stated


def without(known: AccountCredentials, target: Connectable) -> AccountCredentials | None:
    """What an account has once it is not connected there any more; None if it is not anyway."""
    is_connected = getattr(known, str(target)) is not None
    return known.model_copy(update={str(target): None}) if is_connected else None


def _as_stated(known: AccountCredentials) -> AccountCredentials:
    if not isinstance(known.motive, MotiveGrantCredentials):
        return known
    return known.model_copy(update={"motive": known.motive.model_copy(update={"renewed": None})})


def tokens_of(known: AccountCredentials, target: Target) -> RenewableTokens | None:
    """The newest tokens that an account has at a target; None where it is connected by nothing that is renewed."""
    grant = known.motive if target is Target.MOTIVE else None
    return grant.tokens() if isinstance(grant, MotiveGrantCredentials) else None


def with_tokens(
    known: AccountCredentials, target: Target, spent: str, tokens: RenewableTokens
) -> AccountCredentials | None:
    """What an account has once a spent refresh token is replaced; None if that is not its newest one.

    What is stored already stays: whoever lost the answer of a store asks again.
    """
    newest = tokens_of(known, target)
    if newest == tokens:
        return known
    if newest is None or newest.refresh_token != spent:
        return None
    return AccountCredentials.model_validate(
        {**known.model_dump(), str(target): {**known.model_dump()[str(target)], "renewed": asdict(tokens)}}
    )
