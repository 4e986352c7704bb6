"""`driverlink backtest`: what would have been decided otherwise, had the rules been other ones."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Annotated

import typer

from domain.guard import DELETE_LIMIT
from services.cli.client import DataOption, Json, JsonOption, Services, account_id, account_pages, ask
from services.cli.listing import FOUND, ExitCodeOption
from services.cli.plans import bar
from services.cli.printing import moment, out, print_json_pages, print_note, print_table

_COLUMNS = ("since", "target", "driver", "name", "because of", "decided", "would be", "fields", "reason")


def backtest(
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="ACCOUNT", help="Only this account; by default all.", show_default=False, callback=account_id
        ),
    ] = None,
    *,
    mode: Annotated[list[str], typer.Option("--mode", metavar="TARGET=MODE", help="A target's mode.")] = [],  # noqa: B006 - typer's way
    own: Annotated[list[str], typer.Option("--own", metavar="TARGET=FIELD", help="Own this field, too.")] = [],  # noqa: B006 - as above
    disown: Annotated[list[str], typer.Option("--disown", metavar="TARGET=FIELD", help="Do not own this field.")] = [],  # noqa: B006 - as above
    match: Annotated[
        list[str],
        typer.Option("--match", metavar="TARGET=KIND,KIND", help="Match drivers by these, the strongest first."),
    ] = [],  # noqa: B006 - as above
    guard_fewest: Annotated[int, typer.Option(min=0, help="Deletes a day that the guard always lets out.")] = (
        DELETE_LIMIT.fewest
    ),
    guard_percent: Annotated[int, typer.Option(min=0, max=100, help="Or this share of the live links.")] = (
        DELETE_LIMIT.percent
    ),
    exit_code: ExitCodeOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would have been decided otherwise by other rules.

    The history of the account, or of all accounts, is decided again by the real decider, and nothing is written. Each
    line is the first decision of a driver on a target that would have been another one; what follows from it is left
    out. From there on the target is taken to do what it would have been asked. Without an option nothing differs.

    Examples:
        driverlink backtest acme --guard-percent 2
        driverlink backtest acme --match motive=portal,licence,email,ref
        driverlink backtest --disown motive=time_zone --mode driveri=upsert --json
    """
    query = {
        "mode": mode,
        "own": own,
        "disown": disown,
        "match": match,
        "guard_fewest": str(guard_fewest),
        "guard_percent": str(guard_percent),
    }

    def show(services: Services) -> int:
        report = _Report()
        found = _otherwise(services, account, query, report)
        if as_json:
            print_json_pages(found)
        else:
            _print(found, report)
        return report.drivers

    if ask(data, show) and exit_code:
        raise typer.Exit(FOUND)


class _Report:
    """What all backtests came to."""

    def __init__(self) -> None:
        self.accounts = self.batches = self.drivers = self.unordered = self.erased = 0

    def add(self, summary: Json) -> None:
        self.accounts += 1
        self.batches += summary["batches"]
        self.unordered += summary["unordered"]
        self.erased += summary["erased"]
        self.drivers += sum(summary["counts"].values())


def _otherwise(services: Services, account: str | None, query: Json, report: _Report) -> Iterator[list[Json]]:
    """What would have been decided otherwise, in pages; each with its account. Raises `CommandRefused`."""
    accounts = (
        [account] if account else [each["account"] for page in account_pages(services, "/accounts") for each in page]
    )
    with bar() as shown:
        for name in accounts:
            path = f"/accounts/{name}/backtest"
            with closing(services.lines("GET", path, None, **query)) as lines:
                for line in lines:
                    if progress := line.get("progress"):
                        shown.show(f"deciding {name} again", progress["done"], progress["total"])
                    elif "otherwise" in line:
                        shown.end()
                        yield [{"account": name, **each} for each in line["otherwise"]]
                    else:
                        report.add(line["summary"])


def _print(pages: Iterable[list[Json]], report: _Report) -> None:
    """Print a table for each account."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for page in pages:
        for each in page:
            rows.setdefault(each["account"], []).append(_row(each))
    for account, lines in rows.items():
        print_table(_COLUMNS, lines, title=account)
        out.print()
    drivers = f"{report.drivers} links would have been decided otherwise" if report.drivers else "nothing differs"
    out.print(f"{drivers}: {report.batches} batches of {report.accounts} accounts were decided again", markup=False)
    if report.unordered:
        print_note(
            f"{report.unordered} events are older than the record of the order in which they were decided, and were "
            "taken in the order of time: differences may come of that"
        )
    if report.erased:
        print_note(f"{report.erased} links of erased drivers were not compared: what was decided for them is gone")


def _row(each: Json) -> tuple[str, ...]:
    decided, would_be = each.get("decided", {}), each.get("would_be", {})
    shown = would_be or decided
    keys = " -> ".join(filter(None, (shown["key"], shown["desired_key"])))
    return (
        moment(each["at"]),
        each["target"],
        each["driver"],
        each["name"],
        each["trigger"],
        decided["action"] if decided else "nothing",
        f"{would_be['action']} {keys}".strip() if would_be else "nothing",
        ", ".join(would_be["fields"] if would_be else []),
        shown["reason"],
    )
