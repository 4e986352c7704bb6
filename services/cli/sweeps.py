"""`driverlink sweep` and `driverlink sweeps`: the targets compared with the Portal now, and what that found before."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from domain.identity import Target
from services.cli.awaiting import wait_for_sweeps
from services.cli.printing import out, print_json, print_note, print_table
from services.cli.reaching import CommandRefused, Services
from services.cli.running import AccountArgument, DataOption, JsonOption, PersonOption, ask
from services.cli.sweep_texts import COLUMNS, DRIVER_COLUMNS, driver_row, overridden, report_row, two_writers

_INTERRUPTED = 130

Json = dict[str, Any]

TargetOption = Annotated[Target | None, typer.Option(help="Only on this target.")]


def sweep(
    account: AccountArgument,
    person: PersonOption,
    *,
    target: TargetOption = None,
    driver: Annotated[
        str | None, typer.Option(help="Only this driver: the Portal's id, a RefID or a Driveri DriverID.")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Only request it, and do not wait for its report.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the targets with the Portal now, and let the Portal win; then print what was found.

    A sweep reads everybody whom a target shows, and looks at every driver anew: what was changed there by hand is put
    back, whoever is missing is made again, and deletes go through the guard as ever. The same happens once a day by
    itself. Targets whose mode is off are left out.

    The services do it, so it goes on after Ctrl-C, and `driverlink sweeps` tells later what it found. With --driver
    only that driver is looked up, by two or three calls in place of the whole list.

    Exit status 0: the sweeps are done or, with --no-wait, requested; 1: one of them cannot be made now.
    """
    body = {"by": person, "target": target, "driver": driver}
    try:
        result = ask(data, lambda services: _sweep(services, account, body, no_wait=no_wait, is_quiet=as_json))
    except KeyboardInterrupt:
        print_note(f"the sweep goes on; what it finds: driverlink sweeps {account}")
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        print_json(result)
    else:
        _print_result(result)
    if result["stopped"]:
        raise CommandRefused(" ".join(result["stopped"].values()))


async def _sweep(services: Services, account: str, body: Json, *, no_wait: bool, is_quiet: bool) -> Json:
    """What was requested and, where it was waited for, what came of it."""
    asked = await services.post(f"/accounts/{account}/sweeps", body)
    is_awaited = services.may_run and not no_wait
    ended = (
        await wait_for_sweeps(services, account, asked["requests"], driver=asked["driver"], is_quiet=is_quiet)
        if is_awaited
        else []
    )
    return {
        **asked,
        "may_run": services.may_run,
        "is_awaited": is_awaited,
        "sweeps": [each["report"] for each in ended if each.get("report")],
        "drivers": [each["driver"] for each in ended if each.get("driver")],
        "stopped": {each["target"]: each["trouble"] for each in ended if each["trouble"]},
    }


def _print_result(result: Json) -> None:
    for name, sentence in result["left_out"].items():
        print_note(f"not on {name}: {sentence}")
    if not result["is_awaited"]:
        _print_requested(result)
    if result["sweeps"]:
        _print_reports(result["sweeps"])
        _print_overridden(result["sweeps"])
    if result["drivers"]:
        print_table(DRIVER_COLUMNS, map(driver_row, result["drivers"]))


def _print_requested(result: Json) -> None:
    targets = " and ".join(each["target"] for each in result["requests"])
    whom = f"driver {result['driver']}" if result["driver"] else "everybody"
    out.print(f"a sweep of {whom} of {result['account']} is requested on {targets}", markup=False)
    if not result["may_run"]:
        print_note("no service runs: it begins when `driverlink up` does")


def sweeps(
    account: AccountArgument,
    *,
    target: TargetOption = None,
    last: Annotated[int, typer.Option(min=1, max=1000, help="So many sweeps of each target, the newest first.")] = 10,
    details: Annotated[
        bool, typer.Option("--details", help="Name the drivers whom the last sweep did not find in step, and strays.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what sweeps have found: one line for each, counted in drivers.

    With --json always, and with --details also as tables, it names the drivers for whom the last sweep of each target
    decided something, or who are not in step now, and target drivers without a link.
    """
    query = {"target": target, "last": last}
    if as_json:
        print_json(ask(data, lambda services: _everything(services, account, query)))
        return
    ask(data, lambda services: _print_all(services, account, query, has_details=details))


async def _everything(services: Services, account: str, query: Mapping[str, Any]) -> Json:
    reports = await _reports(services, account, query)
    drivers = [each for name in _targets(reports) async for page in _pages(services, account, name) for each in page]
    strays = [each for name in _targets(reports) for each in await _strays(services, account, name)]
    return {"sweeps": reports, "drivers": drivers, "strays": strays}


async def _print_all(services: Services, account: str, query: Mapping[str, Any], *, has_details: bool) -> None:
    reports = await _reports(services, account, query)
    if not reports:
        print_note(f"no sweep of {account} is over yet; request one: driverlink sweep {account} --as PERSON")
        return
    _print_reports(reports)
    for name in _targets(reports) if has_details else ():
        async for page in _pages(services, account, name):
            print_table(DRIVER_COLUMNS, map(driver_row, page))
        strays = await _strays(services, account, name)
        print_table(("target", "stray"), [(each["target"], each["key"]) for each in strays])


async def _reports(services: Services, account: str, query: Mapping[str, Any]) -> list[Json]:
    return list(await services.get(f"/accounts/{account}/sweeps", **query))


async def _pages(services: Services, account: str, target: str) -> AsyncIterator[list[Json]]:
    """The drivers whom the last sweep of a target did not find in step, as many at a time as one answer tells of."""
    after: str | None = ""
    while after is not None:
        page = await services.get(f"/accounts/{account}/sweeps/drivers", target=target, after=after)
        if page["drivers"]:
            yield page["drivers"]
        after = page["next"]


async def _strays(services: Services, account: str, target: str) -> list[Json]:
    found = await services.get(f"/accounts/{account}/links", state="stray", target=target)
    return [{"target": each["target"], "key": each["key"]} for each in found]


def _targets(reports: Sequence[Json]) -> list[str]:
    return sorted({report["target"] for report in reports})


def _print_reports(reports: Sequence[Json]) -> None:
    print_table(COLUMNS, map(report_row, reports))
    for line in filter(None, map(two_writers, _newest(reports))):
        out.print(line, markup=False)


def _print_overridden(reports: Sequence[Json]) -> None:
    for line in filter(None, map(overridden, reports)):
        out.print(line, markup=False)


def _newest(reports: Sequence[Json]) -> list[Json]:
    """The last report of each target."""
    by_target = {report["target"]: report for report in sorted(reports, key=lambda report: report["number"])}
    return [by_target[name] for name in sorted(by_target)]
