"""`driverlink approvals` and `driverlink rekeyings`: what is held until a person decides."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from services.cli.client import (
    AccountArgument,
    CommandRefused,
    DataOption,
    Json,
    JsonOption,
    NoteOption,
    PersonOption,
    ask,
)
from services.cli.listing import (
    Form,
    Output,
    field,
    listing,
    time_of,
    watched,
)
from services.cli.printing import moment, out, print_json, print_note, print_table

approvals = typer.Typer(no_args_is_help=True)
rekeyings = typer.Typer(no_args_is_help=True)

DigestArgument = Annotated[str, typer.Argument(metavar="HASH", help="The hash of the set, as `list` prints it.")]


@approvals.command("list")
@listing
def list_all(account: AccountArgument, data: DataOption = None, *, form: Form) -> None:
    """List the sets of held deletes of an account.

    Examples:
        driverlink approvals list acme
        driverlink approvals list acme -o csv --sort since
    """

    def show() -> None:
        nothing = f"no deletes of {account} are held"
        form.print(_held(account, data), _SETS, empty=nothing)

    watched(show, is_on=form.watch)


_SETS: Mapping[str, Callable[[Json], object]] = {
    "target": field("target"),
    "hash": field("digest"),
    "deletes": lambda row: len(row["drivers"]),
    "since": time_of("since"),
}


@approvals.command()
def show(
    account: AccountArgument, digest: DigestArgument, data: DataOption = None, *, as_json: JsonOption = False
) -> None:
    """Show which drivers a set of held deletes contains.

    Examples:
        driverlink approvals show acme 3f2a9c1e5b7d8046
    """
    chosen = _chosen(account, digest, data)
    if as_json:
        print_json(chosen)
        return
    print_table(
        ("driver", "name", "key", "since"),
        [(each["driver"], each["name"], each["key"], moment(each["since"])) for each in chosen["drivers"]],
    )


@approvals.command()
def approve(
    account: AccountArgument,
    digest: DigestArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Approve exactly these deletes. Refused when the set has changed since.

    Examples:
        driverlink approvals approve acme 3f2a9c1e5b7d8046 --as maria
    """
    _judge(account, digest, person, note, data, is_approved=True, as_json=as_json)


@approvals.command()
def reject(
    account: AccountArgument,
    digest: DigestArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Reject these deletes: exactly these drivers stay on the target.

    Examples:
        driverlink approvals reject acme 3f2a9c1e5b7d8046 --as maria
    """
    _judge(account, digest, person, note, data, is_approved=False, as_json=as_json)


def _judge(
    account: str, digest: str, person: str | None, note: str, data: DataOption, *, is_approved: bool, as_json: bool
) -> None:
    chosen = _chosen(account, digest, data)
    body = {"by": person, "note": note, "target": chosen["target"], "digest": digest, "approve": is_approved}
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/approvals", body))
    if as_json:
        print_json(answer)
    else:
        out.print(
            f"{len(answer['drivers'])} deletes on {answer['target']} {answer['verdict']}{_by(person)}", markup=False
        )


def _chosen(account: str, digest: str, data: DataOption) -> Json:
    for each in _held(account, data):
        if each["digest"] == digest:
            return dict(each)
    raise CommandRefused(
        f"no held deletes of {account} have the hash {digest}; see `driverlink approvals list {account}`"
    )


def _held(account: str, data: DataOption) -> list[Json]:
    return list(ask(data, lambda services: services.get(f"/accounts/{account}/approvals")))


@rekeyings.command("list")
@listing
def list_rekeyings(account: AccountArgument, data: DataOption = None, *, form: Form) -> None:
    """List the held drivers of an account, with their identifiers before and after, and the hash of the set.

    Examples:
        driverlink rekeyings list acme
        driverlink rekeyings list acme -o csv --limit 20
    """

    def show() -> None:
        found = ask(data, lambda services: services.get(f"/accounts/{account}/rekeyings"))
        if form.output is Output.TABLE and not found["drivers"]:
            print_note(f"nothing is held for {account}")
            return
        form.print(found["drivers"], _REKEYED, document=lambda shown: {**found, "drivers": shown})
        if form.output in (Output.TABLE, Output.WIDE):
            out.print(f"hash {found['digest']}", markup=False)

    watched(show, is_on=form.watch)


def _identifiers(name: str) -> Callable[[Json], object]:
    """A cell with identifiers."""

    def cell(row: Json) -> str:
        shown = [f"{kind}={text}" for kind, text in sorted(row[name].items()) if kind != "key"]
        return ", ".join(shown) or "a new driver"

    return cell


_REKEYED: Mapping[str, Callable[[Json], object]] = {
    "driver": field("driver"),
    "before": _identifiers("before"),
    "after": _identifiers("after"),
    "since": time_of("since"),
}


@rekeyings.command("approve")
def approve_rekeyings(
    account: AccountArgument,
    digest: DigestArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Approve the new identifiers of exactly these drivers, from the next read of the Portal on.

    Refused when the set has changed since.

    Examples:
        driverlink rekeyings approve acme 3f2a9c1e5b7d8046 --as maria
    """
    body = {"by": person, "note": note, "digest": digest}
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/rekeyings", body))
    if as_json:
        print_json(answer)
    else:
        out.print(f"{answer['approved']} re-keyings of {account} approved{_by(person)}", markup=False)


def _by(person: str | None) -> str:
    return f" by {person}" if person else ""
