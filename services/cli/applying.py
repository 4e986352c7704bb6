"""Having a plan done, and waiting for what comes of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer

from services.cli.planning import Bar, PlanPrinter, bar, followed, told_plan
from services.cli.printing import out, print_note, print_table
from services.cli.reaching import CommandRefused, Services
from services.cli.running import is_confirmed

Json = dict[str, Any]

_MOST_SHOWN = 20
"""Drivers of each target and action whom a person is shown before they are asked."""

_LOOK = 0.5
"""Seconds between two looks at a sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was requested, by target the version of the request, and what the sweeps found, if they were waited for."""

    account: str
    requested: Mapping[str, int]
    found: Mapping[str, Mapping[str, int]]
    are_running: bool

    def to_json(self) -> Json:
        """The same for scripts."""
        return {"account": self.account, "requested": dict(self.requested), "found": dict(self.found)}

    def print(self) -> None:
        """The same for people."""
        out.print(f"requested by this plan: {self.account} on {', '.join(self.requested)}", markup=False)
        rows = [
            (target, what.replace("_", " "), many)
            for target, found in self.found.items()
            for what, many in found.items()
        ]
        if self.found:
            print_table(("target", "found", "drivers"), rows)
        elif not self.are_running:
            print_note("nobody runs the services on this data folder now: it is done once `driverlink up` does")


async def apply_plan(services: Services, account: str, body: Mapping[str, Any], *, waits: bool) -> Applied:
    """Request what a plan says, and wait for its end if that is wanted. Raises `CommandRefused`."""
    requested: dict[str, int] = {}
    async for line in followed(services, "POST", account, body=body):
        requested = line.get("requested", requested)
    is_waiting = waits and services.may_run
    with bar() as shown:
        found = {
            target: await _ended(services, account, target, request, shown)
            for target, request in (requested.items() if is_waiting else ())
        }
    return Applied(account=account, requested=requested, found=found, are_running=services.may_run)


async def opt_in(services: Services, account: str, person: str) -> Applied:
    """Show what turning sync on would do, ask, and have it done. Raises `CommandRefused`; `typer.Exit` after a no."""
    summary = await told_plan(services, account, {"by": person}, PlanPrinter(_MOST_SHOWN))
    if not is_confirmed("Turn Sync Drivers on, and do exactly this?"):
        print_note("Sync Drivers stays off")
        raise typer.Exit(1)
    return await apply_plan(services, account, {"by": person, "plan": summary["digest"]}, waits=True)


async def _ended(services: Services, account: str, target: str, request: int, shown: Bar) -> Mapping[str, int]:
    """What a sweep has found, once it has ended."""
    while True:
        outcome = await services.get(f"/accounts/{account}/plan/outcome", target=target, request=request)
        match outcome["state"]:
            case "done":
                return dict(outcome["found"])
            case "refused":
                raise CommandRefused(_refusal(account, target, outcome))
            case "void":
                raise CommandRefused(
                    f"{account} on {target}: something else was asked for meanwhile, so the plan is void"
                )
            case "stopped":
                raise CommandRefused(
                    f"{account} on {target}: {outcome['doing']} "
                    f"The sweep is still requested by this plan, see `driverlink issues list {account}`"
                )
        shown.show(f"{outcome['doing']} {target}", outcome["done"], outcome["total"])
        await asyncio.sleep(_LOOK)


def _refusal(account: str, target: str, outcome: Json) -> str:
    planned, would_be = outcome["plan"], outcome["would_be"] or "unknown"
    if not planned:
        return f"{account} on {target}: sync or its mode was turned off meanwhile, so the plan is void"
    return (
        f"{account} on {target} would be swept by another plan by now ({would_be} in place of {planned}), "
        f"so nothing was done there; look at it again: `driverlink plan {account}`"
    )
