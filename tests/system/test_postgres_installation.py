"""The id of an installation, and where its epochs begin, in a real database."""

import pytest

from adapters.store.postgres import InstallationTables
from domain.store import Misconfigured
from tests.contract.lasting import at_once


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
