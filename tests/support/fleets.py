"""The sample fleet, divided among several accounts, each with a Driveri tenant and a Motive company of its own."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import httpx

from adapters.portal.csv_export import ExportRow, read_export
from domain.profile import Profile
from services.sandbox.comparison import TargetsState, to_shown
from services.sandbox.demo import NO_TLS, RunningSandboxes
from services.sandbox.sample import SAMPLE
from services.sandbox.story import desired_id
from tests.support.hanging import HANGS

Json = dict[str, Any]

Homes = Mapping[str, str | None]
"""By what names a driver: the account that it is in, or None for one who is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfFleet:
    """One account's drivers in the Portal, and what its tenant and its company have before the first sync."""

    account: str
    rows: tuple[ExportRow, ...]
    tenant: Json
    company: Json

    @property
    def credentials(self) -> dict[str, Json]:
        """What the account is connected with, by target."""
        return {
            "driveri": {"tenant": self.tenant["tenant"], **self.tenant["clients"][0]},
            "motive": {"api_key": self.company["api_key"]},
        }

    @property
    def newcomers(self) -> frozenset[str]:
        """The portal drivers that no driver of either target could be."""
        known = {name for driver in self.tenant["drivers"] for name in _named_in_driveri(driver)}
        known |= {name for user in self.company["users"] for name in _named_in_motive(user)}
        return frozenset(str(row.driver) for row in self.rows if not known.intersection(_names(row.profile.onto({}))))

    async def shown(self, targets: RunningSandboxes) -> TargetsState:
        """Everything that both sandboxes hold of this account now."""
        async with httpx.AsyncClient(timeout=HANGS, verify=NO_TLS) as client:
            driveri = (await client.get(f"{targets.driveri}/sandbox/state")).json()
            motive = (await client.get(f"{targets.motive}/sandbox/state")).json()
        tenants = [each for each in driveri["tenants"] if each["tenant"] == self.tenant["tenant"]]
        companies = [each for each in motive["companies"] if each["company"] == self.company["company"]]
        return to_shown({"tenants": tenants}, {"companies": companies})


def divided(accounts: Sequence[str], size: int) -> list[PartOfFleet]:
    """As many of the sample's drivers for each account, with those that the targets have, and unmanaged drivers."""
    rows = _rows()
    homes = _homes(rows, accounts, size)
    tenant, company = _seed("driveri")["tenants"][0], _seed("motive")["companies"][0]
    drivers = _shared(tenant["drivers"], homes, accounts, _named_in_driveri)
    users = _shared(company["users"], homes, accounts, _named_in_motive)
    return [
        PartOfFleet(
            account=account,
            rows=tuple(rows[place :: len(accounts)][:size]),
            tenant={**tenant, "tenant": account, "clients": [_client(account)], "drivers": drivers[account]},
            company={"company": account, "api_key": f"{account}-motive-key", "users": users[account]},
        )
        for place, account in enumerate(accounts)
    ]


async def seed(parts: Sequence[PartOfFleet], targets: RunningSandboxes) -> None:
    """Let the sandboxes hold these accounts, and nothing else."""
    async with httpx.AsyncClient(timeout=HANGS, verify=NO_TLS) as client:
        driveri = {"tenants": [part.tenant for part in parts]}
        motive = {"companies": [part.company for part in parts]}
        for address, document in ((targets.driveri, driveri), (targets.motive, motive)):
            answer = await client.put(f"{address}/sandbox/state", json=document)
            assert answer.is_success, answer.text


def _rows() -> list[ExportRow]:
    """The sample's drivers; of those without a DriverID, which the demo's story cannot use, every fifth."""
    rows = [row for row in read_export(SAMPLE / "portal-drivers.csv") if isinstance(row, ExportRow)]
    return [row for place, row in enumerate(rows) if place % 5 == 0 or row.profile.text("driveri_driver_id")]


def _seed(target: str) -> Json:
    document: Json = json.loads((SAMPLE / f"{target}.json").read_text("utf-8"))
    return document


def _client(account: str) -> Json:
    return {"client_id": f"{account}-client", "client_secret": f"{account}-secret"}


def _homes(rows: Sequence[ExportRow], accounts: Sequence[str], size: int) -> Homes:
    homes: dict[str, str | None] = {}
    for place, row in enumerate(rows):
        account = accounts[place % len(accounts)] if place // len(accounts) < size else None
        for name in _names(row.profile.onto({})):
            homes.setdefault(name, account)
    return homes


def _names(profile: Profile) -> list[str]:
    licence = f"{profile.get('licence_number')} {profile.get('licence_state')}"
    named = {"id": desired_id(profile), "ref": profile.get("ref_id"), "mail": profile.get("email"), "licence": licence}
    return [_name(kind, text) for kind, text in named.items() if text]


def _named_in_driveri(driver: Json) -> list[str]:
    return [_name("id", driver["driverId"])]


def _named_in_motive(user: Json) -> list[str]:
    licence = f"{user['drivers_license_number']} {user['drivers_license_state']}"
    return [
        _name("ref", user["driver_company_id"] or ""),
        _name("mail", user["email"] or ""),
        _name("licence", licence),
    ]


def _name(kind: str, text: str) -> str:
    return f"{kind}:{text.casefold()}"


def _shared(
    entries: Sequence[Json], homes: Homes, accounts: Sequence[str], names_of: Callable[[Json], list[str]]
) -> dict[str, list[Json]]:
    """Each entry where its driver is; in turn, where no driver is meant."""
    turns: Iterator[str] = cycle(accounts)
    shares: dict[str, list[Json]] = {account: [] for account in accounts}
    for entry in entries:
        known = [homes[name] for name in names_of(entry) if name in homes]
        account = known[0] if known else next(turns)
        if account is not None:
            shares[account].append(entry)
    return shares
