"""`driverlink issues`: open problems, and retries of parked drivers."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated

import typer

from services.cli.accounts import ConnectedTo
from services.cli.client import (
    AccountArgument,
    DataOption,
    Json,
    JsonOption,
    NoteOption,
    OneDriverOption,
    PersonOption,
    Services,
    TargetOption,
    account_id,
    ask,
)
from services.cli.printing import moment, out, print_json, print_note, print_table

issues = typer.Typer(no_args_is_help=True)


ReasonOption = Annotated[str | None, typer.Option(help="Only for this reason, as `list` prints it.")]


@issues.command("list")
def list_all(
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="ACCOUNT", help="Only this account; by default all.", show_default=False, callback=account_id
        ),
    ] = None,
    *,
    target: Annotated[ConnectedTo | None, typer.Option(help="Only at this target, or at the Portal.")] = None,
    reason: ReasonOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List parked drivers, unreachable targets, unreadable records, and fields that two systems write.

    One line for each, by account, target and driver. A line without a driver concerns the whole account.

    Examples:
        driverlink issues list
        driverlink issues list acme --target motive --reason refused
    """
    found = ask(data, lambda services: _every_issue(services, account=account, target=target, reason=reason))
    counts = dict(sorted(Counter(issue["reason"] for issue in found).items()))
    if as_json:
        print_json({"issues": found, "counts": counts})
        return
    if not found:
        print_note("no open issues")
        return
    columns = ("account", "target", "driver", "problem", "reason", "since", "detail")
    print_table(columns, [[{**each, "since": moment(each["since"])}[column] for column in columns] for each in found])
    out.print(f"{len(found)} open: {_listed(counts)}", markup=False)


@issues.command()
def retry(
    account: AccountArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    *,
    target: TargetOption = None,
    driver: OneDriverOption = None,
    reason: ReasonOption = None,
    every: Annotated[bool, typer.Option("--all", help="For any reason.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Retry parked drivers, and print how many.

    What a target refused is sent again; a driver that waits for something else, such as another driver's id, is checked
    again. A driver whose problem is solved goes on; the others stay parked. Refused when no parked driver matches.

    Examples:
        driverlink issues retry acme --as maria --driver 200006
        driverlink issues retry acme --as maria --all --target driveri
    """
    if every and reason is not None:
        raise typer.BadParameter("give either --reason or --all")
    if not every and reason is None and driver is None:
        raise typer.BadParameter("choose drivers by --reason, --driver or --all")
    body = {"by": person, "note": note, "target": target, "driver": driver, "reason": reason}
    answer = ask(data, lambda services: services.post(f"/accounts/{account}/retry", body))
    if as_json:
        print_json(answer)
        return
    links = f"{answer['links']} parked {'link' if answer['links'] == 1 else 'links'}"
    out.print(f"retrying {links} of {answer['account']}: {_listed(answer['targets'])}", markup=False)
    for name, sentence in answer["left_out"].items():
        print_note(f"not on {name}: {sentence}")


def _every_issue(services: Services, **wanted: str | None) -> list[Json]:
    """The issues of all pages."""
    found: list[Json] = []
    behind: Mapping[str, list[str]] | None = {}
    while behind is not None:
        page = services.get("/issues", **wanted, **behind)
        found += page["issues"]
        behind = page["next"]
    return found


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
