"""History of a database is archived, verified and erased by the same commands as that of a data folder."""

import gzip
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from domain.account import Account, AccountEvent, Request, Tier
from domain.identity import AccountId
from domain.store import Unit
from services.accounts.handlers import Accounts
from services.api.archives import history_archived
from services.wiring.archiving import archived_logs, check_archives, forget_in_archives, proof_in
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.erasing import erase_removed
from services.wiring.rebuild import differences
from services.wiring.settings import DistributedSettings, read_settings
from tests.contract.stands import fact
from tests.support.commanding import command

ACME = AccountId("acme")
SECRET = "a secret key that is only good for tests"


@pytest.fixture
def variables(database: str, tmp_path: Path) -> Mapping[str, str]:
    url = urlsplit(database)
    return {
        "DRIVERLINK_DATABASE_URL": urlunsplit(url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}")),
        "DRIVERLINK_DATABASE_PASSWORD": url.password or "",
        "DRIVERLINK_SECRET_KEY": SECRET,
        "DRIVERLINK_ARCHIVE_FOLDER": str(tmp_path / "archive"),
    }


@pytest.fixture
def shape(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Distributed:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(DistributedSettings)
    migrate_database(settings)
    return Distributed(settings)


def test_a_databases_history_is_archived_and_erased(
    shape: Distributed, variables: Mapping[str, str], tmp_path: Path
) -> None:
    archive, last = tmp_path / "archive", fact("419")
    with shape.stores() as stores:
        accounts = Accounts(stores["accounts"], lambda: last.at)
        accounts.add(ACME, "operator", _with_bob)
        stores["intake"].commit(Unit(events=[fact(), fact("418"), fact(version=2), last]))
    words = ("archives", "create", "--before", (last.at + timedelta(days=1)).isoformat())
    assert {part["log"] for part in command(variables, *words, "--json").document["archives"]} == {
        "accounts",
        "changes",
    }
    made = command(variables, *words, "--apply", "--json").document["archives"]
    assert [(part["log"], part["events"]) for part in made if part["log"] == "changes"] == [("changes", 4)]
    assert command(variables, *words, "--apply", "--json").document["archives"] == []
    assert command(variables, "rebuild").status == 0
    ended = command(variables, "rebuild", "--check", "--archive", str(archive))
    assert (ended.status, ended.out) == (0, "every read model matches the log\n")
    problems(shape, archive)
    proof = proof_in(archive, "changes", 3)
    assert (proof.event.history, proof.event.version) == (fact().originator_id.hex, 2)
    with shape.stores() as stores:
        assert archived_logs(stores, archive)["intake"].read(1, 9) == stores["intake"].log.read(1, 9)
        Accounts(stores["accounts"], lambda: last.at).ask(ACME, "bob", lambda bob, known: bob.remove(known))
        forget = partial(forget_in_archives, stores, archive, now=last.at)
        assert erase_removed(stores, None, last.at, beside=(forget,)) == [ACME]
    for path in archive.iterdir():
        assert b'"profile"' not in gzip.decompress(path.read_bytes())
    problems(shape, archive)
    with shape.stores() as stores:
        found = differences(stores, partition_of=shape.partition_of, logs=archived_logs(stores, archive))
    assert {*found.values()} == {None}


def _with_bob(operator: Request, known: Account) -> tuple[AccountEvent, ...]:
    return operator.add(known, tier=Tier.PRO, master_user="jane", account_manager="bob", modes={})


def problems(shape: Distributed, archive: Path) -> None:
    """Nothing is wrong with any archive."""
    signer = shape.signer()
    assert signer
    with shape.stores() as stores:
        facts = [vars(each) for _, each in sorted(history_archived(stores["accounts"]).items())]
    assert facts
    assert [each.problem for each in check_archives(archive, facts, signer.key)] == [""] * len(facts)
