"""The API, the pages and the commands answer the same question alike: a fleet with something of everything is asked.

The services stand still meanwhile, so that every answer is of the same moment.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import pytest

from domain.account import DeletesRejected, Mode, Request
from domain.failures import Reason, Rejected
from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from domain.store import FILLED, Where
from services.api import V1
from services.api.approvals import held
from services.cli.status import State
from services.decider.read_models import LinkRow
from services.wiring.data_folder import DataFolder
from tests.support.served_folder import ServedFolder
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person

Json = Any
REFUSED = Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
BETA = AccountId("beta")
DRIVERS: Final = tuple(f"p{number}" for number in range(1, 17))
STATES: Final = (*map(str, State), "undecided")


def live_through_everything(folder: Path) -> None:
    """Acme has a driver in every state, issues of every kind, held deletes and drift; beta is not turned on."""
    with closing(SteppedServices(folder, both_targets())) as services:
        for number in (1, 21, 22):
            by_hand = ObservedDriver(key=Key(f"D{number}"), active=True, profile=person(number, last_name="By Hand"))
            services.twins[ACME, Target.DRIVERI].drivers.put(by_hand)
            services.twins[ACME, Target.MOTIVE].drivers.add_by_hand(Key(f"90{number}"), person(number))
        services.add()
        services.add(BETA, is_on=False)
        for number in range(1, 14):
            services.state(f"p{number}", person(number))
        services.state("p14", person(14, driveri_driver_id="", ref_id=""))
        services.state("p15", person(15, driveri_driver_id="D3", ref_id="R3", email=person(3)["email"]))
        services.run()
        reject_what_is_held(services, "p6", "p7", "p8", "p9", "p10", "p11")
        drift(services)
        services.delete("p12", "p13")
        services.run()
        services.twins[ACME, Target.DRIVERI].down = ("before", REFUSED)
        services.state("p16", person(16))
        services.state("p2", person(2, last_name="Late"))
        services.run()
        services.set_mode(Target.MOTIVE, Mode.OBSERVE)
        services.state("p17", person(17))
        services.decide()
        services.state("p18", person(18))


def reject_what_is_held(services: SteppedServices, *drivers: str) -> None:
    """More leave than the guard lets go; Jane keeps the others, and one of them comes back as it was."""
    services.delete(*drivers)
    services.run()
    for target in Target:
        where: Where = {"account": str(ACME), "target": str(target), "hold": FILLED}
        rows = services.decider_store.select(LinkRow, where, order_by="driver")
        holds: list[list[str | int]] = [[row.driver, row.hold] for row in rows]
        assert holds
        digest = next(each.digest for each in held(services.decider_store, ACME) if each.target == target)
        services.ask(partial(Request.judge, verdict=DeletesRejected, target=target, digest=digest, holds=holds))
    services.run()
    back = max(str(row[0]) for row in holds)
    services.state(back, person(int(back[1:])))
    services.run()


def drift(services: SteppedServices) -> None:
    """People change drivers at both targets, and a reconciliation finds it."""
    for target in Target:
        drivers = services.twins[ACME, target].drivers
        for shown in [*drivers.scan()][:3]:
            drivers.put(replace(shown, profile={**shown.profile, "first_name": "Drifted"}))
        services.ask(partial(Request.reconciliation, target=target))
    services.wait(minutes=1)
    services.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The three ways in to one installation."""

    browser: httpx.Client
    driverlink: ServedFolder

    def api(self, path: str, **query: str) -> Json:
        """What the API answers."""
        return self.browser.get(V1 + path, params=query).raise_for_status().json()

    def page(self, path: str = "", **query: str) -> str:
        """What a page shows."""
        answer = self.browser.get(f"/console/{path}", params=query, headers={"accept": "text/html"})
        return answer.raise_for_status().text

    def command(self, *arguments: str) -> Json:
        """What a command prints, as JSON."""
        return self.driverlink(*arguments, "--json").document

    def listed(self, account: str, target: str, state: str) -> list[str]:
        """The drivers that the API lists in a state, page by page."""
        query, found = {"target": target, "state": state}, []
        while True:
            page = self.api(f"/accounts/{account}/drivers", **query)
            found += [each["driver"] for each in page["drivers"]]
            if page["next"] is None:
                return found
            query["after"] = page["next"]


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with TemporaryDirectory(prefix="dl-") as parent:
        folder = Path(parent) / "data"
        folder.mkdir()
        live_through_everything(folder)
        driverlink = ServedFolder(folder)
        driverlink.start()
        transport = httpx.HTTPTransport(uds=str(DataFolder(folder).socket))
        with httpx.Client(transport=transport, base_url="http://driverlink", timeout=60.0) as browser:
            yield Asked(browser=browser, driverlink=driverlink)
        driverlink.stop()


def text(html: str) -> str:
    """What a person reads of this part of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def rows(html: str) -> list[list[str]]:
    """The cells of each line of the tables on a page, as a person reads them."""
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    return [[text(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)] for line in lines]


def figures(status: Sequence[Json]) -> dict[tuple[str, str], dict[str, int]]:
    """What is counted of each account on each target."""
    return {
        (each["account"], target["target"]): {
            "drivers": each["drivers"],
            "parked": sum(target["parked"].values()),
            **{name: target[name] for name in ("in_sync", "pending", "held", "undecided", "unmanaged")},
        }
        for each in status
        for target in each["targets"]
    }


def overview(page: str) -> dict[tuple[str, str], dict[str, int]]:
    """The same, as the first page shows it."""
    found, account, drivers = dict[tuple[str, str], dict[str, int]](), "", 0
    names = ("in_sync", "pending", "parked", "held", "undecided", "unmanaged")
    for cells in rows(page)[1:]:
        if len(cells) == 10:
            account, drivers = cells[0].split()[0], int(cells[0].split()[1])
        if len(cells) >= 9:
            target, _, *counts, _ = cells[-9:]
            found[account, target.lower()] = {"drivers": drivers, **dict(zip(names, map(int, counts), strict=True))}
    return found


def rows_of_table(printed: str) -> set[tuple[str, str, str, str]]:
    """The account, target and first figures of each line that `driverlink status` prints."""
    lines = re.findall(r"^(\w+) +(?:on|off) +(\w+) +\w+ +(\d+/\d+) +(\d+)", printed, re.MULTILINE)
    return {(str(account), str(target), str(in_sync), str(pending)) for account, target, in_sync, pending in lines}


def test_the_fleet_has_something_of_everything(asked: Asked) -> None:
    """Else the others compare nothing with nothing."""
    targets = {each["target"]: each for each in asked.api("/status", account="acme")[0]["targets"]}
    for name in ("in_sync", "parked", "held", "kept", "ended", "unmanaged"):
        assert all(each[name] for each in targets.values()), name
    assert targets["driveri"]["pending"]
    assert any(each["undecided"] for account in asked.api("/status") for each in account["targets"])
    assert {each["problem"] for each in asked.api("/issues", account="acme")["issues"]} == {"breaker", "parked"}
    assert all(each["drifted"] for each in asked.api("/accounts/acme/reconciliations", last="1"))


def test_the_overview_counts_alike(asked: Asked) -> None:
    status = asked.api("/status")
    assert asked.command("status") == status
    first = asked.api("/overview")
    assert sorted(first["accounts"], key=lambda each: str(each["account"])) == status
    assert [first[name] for name in ("total", "need_person", "coming", "next")] == [len(status), 1, [], None]
    assert overview(asked.page()) == figures(status)
    lines = rows_of_table(asked.driverlink("status").out)
    assert lines == {
        (*place, f"{each['in_sync']}/{each['drivers']}", str(each["pending"] + each["undecided"]))
        for place, each in figures(status).items()
    }


def test_every_state_is_listed_as_it_is_counted(asked: Asked) -> None:
    for account in ("acme", "beta"):
        (status,) = asked.api("/status", account=account)
        for target in status["targets"]:
            for state in STATES:
                count = sum(target["parked"].values()) if state == "parked" else target[state]
                assert_lists(asked, account, target["target"], state, count)


def assert_lists(asked: Asked, account: str, target: str, state: str, count: int) -> None:
    """Each way in lists as many drivers, and the same ones."""
    about = (account, target, state)
    page = asked.page(f"accounts/{account}/drivers", target=target, state=state)
    assert (about, page.count('<th scope="row">' if state != "unmanaged" else '<td class="id">')) == (about, count)
    if state != "unmanaged":
        listed = asked.listed(account, target, state)
        assert (about, len(listed)) == (about, count)
        assert (about, [unescape(each) for each in re.findall(r'<td class="id">(p\d+)</td>', page)]) == (about, listed)
    if state != "undecided":
        printed = asked.command("status", account, "--state", state, "--target", target)
        assert (about, len(printed)) == (about, count)


def test_issues_are_the_same(asked: Asked) -> None:
    issues = asked.api("/issues", account="acme")["issues"]
    assert asked.command("issues", "list", "acme")["issues"] == issues
    page = asked.page("accounts/acme/issues")
    of_drivers = Counter((each["reason"], each["target"]) for each in issues if each["driver"])
    groups = [cells for cells in rows(page)[1:] if len(cells) == 4]
    assert {(why.replace(" ", "_"), where.lower()): int(number) for why, where, number, _ in groups} == of_drivers
    shown = re.findall(r"<li><p>(.*?)</p>", page, re.DOTALL)
    assert len(shown) == len(issues)
    (status,) = asked.api("/status", account="acme")
    parked = {(why, each["target"]): number for each in status["targets"] for why, number in each["parked"].items()}
    assert parked == of_drivers


def test_approvals_that_wait_are_the_same(asked: Asked) -> None:
    sets = asked.api("/accounts/acme/approvals")
    assert asked.command("approvals", "list", "acme") == sets
    page = asked.page("accounts/acme/approvals")
    assert re.findall(r'name="digest" value="(\w+)"', page) == [each["digest"] for each in sets]
    assert [int(many) for many in re.findall(r">(\d+) deletes? on ", page)] == [len(each["drivers"]) for each in sets]
    (status,) = asked.api("/status", account="acme")
    assert {each["target"]: each["held"] for each in status["targets"]} == {
        each["target"]: len(each["drivers"]) for each in sets
    }


def test_drift_is_the_same(asked: Asked) -> None:
    reports = asked.api("/accounts/acme/reconciliations", last="1")
    printed = asked.command("reconciliations", "acme", "--last", "1")
    assert printed["reconciliations"] == reports
    for report in reports:
        page = asked.page("accounts/acme/drift", target=report["target"])
        figures_of_page = [int(text(each)) for each in re.findall(r"<dd>(.*?)</dd>", page, re.DOTALL)]
        assert figures_of_page == [*report["drifted"].values()]
        drifted = [each for each in printed["drivers"] if each["target"] == report["target"] and each["drifted"]]
        assert page.count('<th scope="row">') == len(drifted)
        assert Counter(field for each in drifted for field in each["drifted"]) == report["drifted"]


def chips(page: str) -> dict[str, str]:
    """The state on each target that a driver's page shows."""
    found = re.findall(r'<h2 id="(\w+)-title">[^<]*<span class="chip (\w+)">', page)
    return {str(target): str(state) for target, state in found}


def states(targets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The state on each target."""
    return {each["target"]: each["state"] for each in targets}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_stands_alike(asked: Asked, driver: str) -> None:
    explained = asked.command("explain", "acme", driver)
    whole = asked.api(f"/accounts/acme/drivers/{driver}")
    assert states(whole["targets"]) == states(explained["states"])
    assert chips(asked.page(f"accounts/acme/drivers/{driver}")) == states(whole["targets"])
    (listed,) = (
        each for each in asked.api("/accounts/acme/drivers", find=driver)["drivers"] if each["driver"] == driver
    )
    assert states(listed["targets"]) == {
        target: state for target, state in states(whole["targets"]).items() if state != "undecided"
    }
    assert [each["sentence"] for each in whole["targets"]] == [each["sentence"] for each in explained["states"]]
