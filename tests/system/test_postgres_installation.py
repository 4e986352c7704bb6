"""The id of an installation, and where its epochs begin, in a real database."""

from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.store.postgres import InstallationTables
from adapters.store.postgres_connection import connect
from domain.store import Misconfigured, Unit
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.settings import DistributedSettings
from tests.contract.lasting import at_once
from tests.golden.samples import SAMPLES

CREATED: Any = SAMPLES["PortalDriver.DriverCreated"]


@pytest.fixture
def tables(database: str) -> InstallationTables:
    return InstallationTables(database, "", "installation")


def test_an_installation_keeps_the_id_that_was_made_first(tables: InstallationTables) -> None:
    tables.make()
    made = tables.check()
    tables.make()
    assert tables.check() == made != ""


def test_two_databases_have_different_ids(tables: InstallationTables, database: str) -> None:
    other = InstallationTables(database, "", "west_installation")
    tables.make()
    other.make()
    assert tables.check() != other.check()


def test_who_makes_it_at_once_makes_one_id(tables: InstallationTables) -> None:
    at_once(tables.make, tables.make)
    assert tables.check() != ""


def test_the_name_that_was_chosen_is_the_id_and_another_is_refused(tables: InstallationTables) -> None:
    tables.make("east")
    assert tables.check() == tables.check("east") == "east"
    for refused in (tables.check, tables.make):
        with pytest.raises(Misconfigured, match=r"is of the installation east, .* DRIVERLINK_DATABASE_PREFIX"):
            refused("west")


def test_without_the_tables_it_is_said_what_makes_them(tables: InstallationTables) -> None:
    with pytest.raises(Misconfigured, match=r"run `driverlink database migrate`"):
        tables.check()


def test_an_epoch_begins_once(tables: InstallationTables) -> None:
    tables.make()
    tables.begin("1", "accounts.v1", {0: 0, 1: 57})
    tables.begin("1", "accounts.v1", {0: 3, 1: 60})
    tables.begin("2", "accounts.v1", {0: 3, 1: 60})
    tables.begin("1", "west.accounts.v1", {0: 9})
    assert tables.beginnings("accounts.v1") == {"1": {0: 0, 1: 57}, "2": {0: 3, 1: 60}}
    assert tables.beginnings("never.v1") == {}


def settings_of(database: str, secret_key: str) -> DistributedSettings:
    password = urlsplit(database).password or ""
    url = database.replace(f":{password}@", "@")
    return DistributedSettings.model_validate(
        {"database_url": url, "database_password": password, "secret_key": secret_key * 10}
    )


@pytest.mark.parametrize("lose", ["DELETE FROM profile_keys.profile_keys", ""])
def test_no_service_starts_without_the_keys_of_what_is_stored(database: str, lose: str) -> None:
    """Where they are gone, and where their master key is another one."""
    settings = settings_of(database, "first")
    migrate_database(settings)
    with Distributed(settings).stores() as stores:
        stores["intake"].commit(Unit(events=[CREATED]))
    Distributed(settings).installation().close()
    if lose:
        with closing(connect(database, "")) as connection:
            connection.execute(lose)
            connection.commit()
    else:
        settings = settings_of(database, "second")
    with pytest.raises(Misconfigured, match="put back"):
        Distributed(settings).installation()
