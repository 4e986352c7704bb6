"""What was granted on an account, and what it was connected with, goes from the database as it is erased."""

from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

from domain.account import Role
from domain.identity import Target
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.settings import DistributedSettings


def test_nothing_beside_the_services_stores_outlives_an_account(database: str) -> None:
    url = urlsplit(database)
    settings = DistributedSettings.model_validate(
        {
            "database_url": urlunsplit(url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}")),
            "database_password": url.password or "",
            "secret_key": "a secret key that is only good for tests",
        }
    )
    migrate_database(settings)
    shape = Distributed(settings)
    installation = shape.installation()
    for account in ("acme", "other"):
        installation.credentials.keep(account, Target.MOTIVE, {"api_key": "hush"})
        installation.access.create_key(account, {account: frozenset({Role.ADMIN})}, by="ada", expires=None)
    with shape.beside_stores() as beside:
        for forget in beside:
            forget("acme")
    with closing(installation):
        left = installation.access.keys()
        assert [row.name for row, _ in left] == ["other"]
    with closing(shape.installation()) as again:
        assert [again.credentials.remove(account, Target.MOTIVE) for account in ("acme", "other")] == [False, True]
