"""What is needed to read one account's drivers by the Portal's API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

ATTRIBUTE_FIELDS = ("driveri_driver_id", "ref_id")
"""The fields of a profile that a custom attribute of the Portal can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalAccess:
    """A user of the Portal, and the names of the custom attributes that hold fields of a profile, by field."""

    base_url: str
    username: str
    app_token: str = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def login(self) -> str:
        """Whose rights these are: a digest, because a user name is a person's."""
        return sha256(f"{self.base_url}\0{self.username}".encode()).hexdigest()[:16]
