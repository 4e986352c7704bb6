"""What companies granted to OAuth applications: refresh tokens that are good for one use, and access tokens.

Source: developer-docs.gomotive.com, OAuth 2.0; what is assumed beyond it is in docs/reference/sandbox.md.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one company granted, with the tokens that are good now. `token_lifetime` is in milliseconds.

    `expires_at` is in milliseconds since the epoch; there is no access token until the first renewal.
    """

    company: str
    client_id: str
    client_secret: str
    refresh_token: str
    token_lifetime: int
    access_token: str = ""
    expires_at: int = 0


class Grants:
    """All grants of one sandbox."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self._grants = list(grants)

    def of_company(self, company: str) -> Sequence[Grant]:
        """The grants of one company."""
        return [grant for grant in self._grants if grant.company == company]

    def has_client(self, client_id: str, client_secret: str) -> bool:
        """Whether there is an application of this id and secret."""
        return any((grant.client_id, grant.client_secret) == (client_id, client_secret) for grant in self._grants)

    def renew(self, client_id: str, refresh_token: str, at: int) -> Grant | None:
        """The grant with new tokens, and none of the former good any more; None for an unknown or spent token."""
        for place, grant in enumerate(self._grants):
            if (grant.client_id, grant.refresh_token) == (client_id, refresh_token):
                self._grants[place] = _renewed(grant, at)
                return self._grants[place]
        return None

    def company(self, access_token: str, at: int) -> str | None:
        """The company that this access token opens, if it has not ended."""
        good = (each for each in self._grants if each.access_token and each.expires_at > at)
        return next((grant.company for grant in good if grant.access_token == access_token), None)

    def expire(self, access_token: str, at: int) -> None:
        """End an access token before its time; the refresh token stays good."""
        self._grants = [
            replace(grant, expires_at=at) if grant.access_token == access_token else grant for grant in self._grants
        ]


def _renewed(grant: Grant, at: int) -> Grant:
    return replace(
        grant,
        refresh_token=secrets.token_urlsafe(24),
        access_token=secrets.token_urlsafe(24),
        expires_at=at + grant.token_lifetime,
    )
