"""`driverlink issues`: open problems, and retries of parked drivers."""

from collections import Counter
from collections.abc import Callable, Mapping
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
from services.cli.listing import (
    FOUND,
    ExitCodeOption,
    LimitOption,
    Output,
    OutputOption,
    SortOption,
    UtcOption,
    WatchOption,
    field,
    print_list,
    time_of,
    watched,
)
from services.cli.printing import out, print_json, print_note

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
    output: OutputOption = Output.TABLE,
    sort: SortOption = None,
    limit: LimitOption = None,
    watch: WatchOption = False,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """List parked drivers, unreachable targets, unreadable records, and fields that two systems write.

    One line for each, by account, target and driver. A line without a driver concerns the whole account.

    Examples:
        driverlink issues list
        driverlink issues list acme --target motive --reason refused
        driverlink issues list --sort since --limit 20
        driverlink issues list --exit-code -o csv > issues.csv
    """
    is_any = False

    def show() -> None:
        nonlocal is_any
        found = ask(data, lambda services: _every_issue(services, account=account, target=target, reason=reason))
        is_any, form = bool(found), Output.JSON if as_json else output
        counts = dict(sorted(Counter(issue["reason"] for issue in found).items()))
        if form is Output.TABLE and not found:
            print_note("no open issues")
            return
        print_list(
            found,
            _COLUMNS,
            output=form,
            sort=sort,
            limit=limit,
            wide=_WIDE,
            document=lambda shown: {"issues": shown, "counts": counts},
        )
        if form in (Output.TABLE, Output.WIDE):
            out.print(f"{len(found)} open: {_listed(counts)}", markup=False)

    watched(show, is_on=watch)
    if exit_code and is_any:
        raise typer.Exit(FOUND)


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "account": field("account"),
    "target": field("target"),
    "driver": field("driver"),
    "name": field("name"),
    "problem": field("problem"),
    "reason": field("reason"),
    "since": time_of("since"),
    "detail": field("detail"),
}
_WIDE: Mapping[str, Callable[[Json], object]] = {"key": field("key"), "place": field("place")}


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
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/retry", body))
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
