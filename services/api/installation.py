"""Everything that the API needs of an installation, in either deployment, and how a route gets hold of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from domain.account import Account
from domain.identity import Target
from domain.ports import CredentialsKeeper
from domain.store import Stream
from services.accounts.handlers import Accounts, account_of
from services.intake.handlers import Intake
from services.intake.polling import Polling
from services.projector.service import ProjectorApp
from services.runtime.readers import Readers
from services.runtime.service import Service


class OpenConnections(Protocol):
    """The targets, as far as this process has reached them."""

    async def close(self) -> None:
        """Let go of every connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Every service on its store, and the accounts' credentials.

    `readers` are the stores as queries read them. `polling` reads the Portal's API, where this process does.
    `may_repeat`: the services consume each other's streams through Kafka, so a record may come twice, or late.
    """

    accounts: Accounts
    accounts_service: Service
    intake: Intake
    intake_service: Service
    decider_service: Service
    projectors: Mapping[Target, ProjectorApp]
    credentials: CredentialsKeeper
    connections: OpenConnections
    readers: Readers
    polling: Polling | None = None
    may_repeat: bool = False

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service, in the order of the way of a change."""
        projectors = (app.service for app in self.projectors.values())
        return (self.accounts_service, self.intake_service, self.decider_service, *projectors)

    @property
    def logs(self) -> dict[str, Stream]:
        """Every log, as its service has it, by the name that people know it by."""
        reports = {f"outcomes-{target}": app.service.store.log for target, app in self.projectors.items()}
        return {
            "accounts": self.accounts_service.store.log,
            "changes": self.intake_service.store.log,
            "decisions": self.decider_service.store.log,
            **reports,
        }

    def close(self) -> None:
        """Let the work in hand end, and let go of the stores."""
        self.readers.close()
        for service in reversed(self.services):
            service.close()


def logs_of(readers: Readers) -> dict[str, Stream]:
    """Every log as people ask for it, by the name that they know it by."""
    reports = {f"outcomes-{target}": store.log for target, store in readers.projectors.items()}
    return {
        "accounts": readers.accounts.log,
        "changes": readers.intake.log,
        "decisions": readers.decider.log,
        **reports,
    }


async def _installation_of(request: Request) -> Installation:
    return cast("Installation", request.app.state.installation)


Installed = Annotated[Installation, Depends(_installation_of)]
"""The installation that the application serves."""


async def _known_account(account: str, installation: Installed) -> Account:
    return await installation.readers.call(account_of, installation.readers.accounts, account)


KnownAccount = Annotated[Account, Depends(_known_account)]
"""The account that the path names, in any letter case. An unknown one is answered with 404."""
