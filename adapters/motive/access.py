from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from domain.ports import TokensKeeper


@dataclass(frozen=True, slots=True, kw_only=True)
class MotiveGrant:
    """What a company granted to an OAuth application, as an account stated it.

    `refresh_token` is the one that was stated; the newest tokens that came of it are with the keeper.
    """

    account: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    keeper: TokensKeeper = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MotiveAccess:
    """How to reach one company in Motive: by an API key, or by a grant.

    `portal_integration` and `driveri_integration` are the integration names under which a user carries our two
    external ids.
    """

    base_url: str
    api_key: str = field(default="", repr=False)
    grant: MotiveGrant | None = None
    portal_integration: str = "gps_portal"
    driveri_integration: str = "driveri"

    def integrations(self) -> Mapping[str, str]:
        """The integration name of each of our external ids, by the profile's field."""
        return MappingProxyType(
            {"portal_driver_id": self.portal_integration, "driveri_driver_id": self.driveri_integration}
        )
