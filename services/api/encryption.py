"""`/v1/accounts/{account}/profile-keys` and `/v1/encryption`: the keys by which profiles are sealed."""

from base64 import b64encode
from typing import Annotated, Final

from fastapi import Query
from pydantic import Field

from services.api.journal import note_for_account, noted
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import Reasoned, ResponseBody

router = new_router("encryption")

MOST: Final = 500
"""Keys in one response, and keys that one request wraps."""


class ProfileKey(ResponseBody):
    """The key of one driver: 32 bytes in base64. It is None where the driver is erased."""

    id: str
    key: str | None = Field(repr=False)


class ProfileKeyList(ResponseBody):
    """The keys that were asked for; one that the account does not have is not among them."""

    keys: tuple[ProfileKey, ...]


class ShownMasterKey(ResponseBody):
    """How many keys a master key wraps. What keys seal that one wraps which is not known here cannot be read."""

    master: str
    keys: int
    is_current: bool
    is_known: bool


class EncryptionStatus(ResponseBody):
    """The master keys, the current one first."""

    masters: tuple[ShownMasterKey, ...]


class RotateMaster(Reasoned):
    """Wrap the next keys by the current master key; `begin`: by another one than until now."""

    begin: bool = False


class RotationStep(ResponseBody):
    """How many keys a former master key still wraps: ask again until there are none."""

    left: int


class NoOtherMaster(Exception):
    """There is no other master key to rotate to; the message says how to set one."""

    def __init__(self) -> None:
        super().__init__(
            "there is no other master key yet: set DRIVERLINK_PROFILE_MASTER_KEY to a new one, put the one until now "
            "(the secret key, where none was set) into DRIVERLINK_FORMER_PROFILE_MASTER_KEYS, restart every process, "
            "and rotate again"
        )


@router.get("/accounts/{account}/profile-keys")
async def list_profile_keys(
    known: KnownAccount,
    installation: Installed,
    caller: Called,
    id: Annotated[list[str], Query(max_length=MOST, description="The ids, as `key` of a sealed profile has them.")],  # noqa: A002 - the parameter's name
) -> ProfileKeyList:
    """List keys of an account's drivers, by which what is sealed in its records can be read."""
    found = await installation.readers.call(installation.profile_keys.opening, id, known.account)
    subject = f"{len(found)} drivers" if len(found) != 1 else "1 driver"
    row = noted(caller, installation.clock, "list_profile_keys", subject, "", account=known.account)
    await note_for_account(installation, row)
    return ProfileKeyList(
        keys=tuple(
            ProfileKey(id=each, key=b64encode(cipher.secret).decode() if cipher else None)
            for each, cipher in found.items()
        )
    )


@router.get("/encryption")
async def show_encryption(installation: Installed) -> EncryptionStatus:
    """Show how many keys of profiles each master key wraps."""
    found = await installation.readers.call(installation.profile_keys.masters)
    return EncryptionStatus(
        masters=tuple(
            ShownMasterKey(master=each.master, keys=each.keys, is_current=each.is_current, is_known=each.is_known)
            for each in found
        )
    )


@router.post("/encryption/rotation")
async def rotate_master(body: RotateMaster, installation: Installed, caller: Called) -> RotationStep:
    """Wrap the next keys of profiles by the current master key."""
    keys = installation.profile_keys
    if body.begin:
        if not await installation.readers.call(keys.renew_master):
            raise NoOtherMaster
        row = noted(caller, installation.clock, "rotate_master", "the keys of profiles", body.note)
        await note_for_account(installation, row)
    return RotationStep(left=await installation.readers.call(keys.rotate, MOST))
