"""`driverlink plan` and `driverlink apply`: what a sweep or an opt-in would do, and to have exactly that done."""

import re
from typing import Annotated, Any

import typer

from domain.identity import Target
from services.cli.applying import apply_plan
from services.cli.planning import PlanPrinter, gathered, told_plan
from services.cli.printing import print_json
from services.cli.running import AccountArgument, DataOption, JsonOption, PersonOption, ask

TargetOption = Annotated[Target | None, typer.Option(help="Only this target; all that are synchronised unless named.")]


def _hash(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{16}", text):
        raise typer.BadParameter(f"the hash of a plan is 16 digits and letters, as `plan` prints it; not {text!r}")
    return text


HashOption = Annotated[
    str, typer.Option("--plan", metavar="HASH", parser=_hash, help="The hash of the plan, as `plan` prints it.")
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the sweep has ended.")]


def plan(
    account: AccountArgument,
    *,
    target: TargetOption = None,
    driver: Annotated[
        str | None, typer.Option(help="Only this driver: the Portal's id, a RefID or a Driveri DriverID.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a sweep would do now or, where sync is off, what turning it on would; nothing is written.

    The drivers of each target are read, and everything is rehearsed. The hash at the end names exactly this plan, for
    `driverlink apply`; a plan of one driver is for looking only, so it has none.
    """
    query = {"target": target, "driver": driver}
    if as_json:
        print_json(ask(data, lambda services: gathered(services, account, query)))
        return
    ask(data, lambda services: told_plan(services, account, query, PlanPrinter()))


def apply(
    account: AccountArgument,
    digest: HashOption,
    person: PersonOption,
    *,
    target: TargetOption = None,
    wait: WaitOption = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do exactly what a plan says, or nothing: refused where it would be another one by now.

    The hash is that of a whole plan, of all targets or of the one that is named. Everything is rehearsed again, and
    once more after the walk that the sweep begins with. Where sync is off this turns it on: its Master User can.
    """
    body: dict[str, Any] = {"by": person, "plan": digest, "target": target}
    outcome = ask(data, lambda services: apply_plan(services, account, body, waits=wait))
    if as_json:
        print_json(outcome.to_json())
    else:
        outcome.print()
