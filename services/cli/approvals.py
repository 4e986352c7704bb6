"""`driverlink approvals`: the deletes that the guard holds until a person decides."""

from typing import Annotated, Any

import typer

from services.cli.client import AccountArgument, CommandRefused, DataOption, JsonOption, PersonOption, ask
from services.cli.printing import moment, out, print_json, print_note, print_table

approvals = typer.Typer(help="Deletes that are held until a person decides.", no_args_is_help=True)

DigestArgument = Annotated[str, typer.Argument(metavar="HASH", help="The hash of the set, as `list` prints it.")]


@approvals.command("list")
def list_all(account: AccountArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """List the sets of held deletes of an account."""
    found = _held(account, data)
    if as_json:
        print_json(found)
        return
    if not found:
        print_note(f"no deletes of {account} are held")
        return
    rows = [(each["target"], each["digest"], len(each["drivers"]), moment(each["since"])) for each in found]
    print_table(("target", "hash", "deletes", "since"), rows)


@approvals.command()
def show(
    account: AccountArgument, digest: DigestArgument, data: DataOption = None, *, as_json: JsonOption = False
) -> None:
    """Show whom a set of held deletes is about."""
    chosen = _chosen(account, digest, data)
    if as_json:
        print_json(chosen)
        return
    print_table(
        ("driver", "key", "since"), [(each["driver"], each["key"], moment(each["since"])) for each in chosen["drivers"]]
    )


@approvals.command()
def approve(
    account: AccountArgument,
    digest: DigestArgument,
    person: PersonOption,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Let exactly these deletes go out. Refused when the set is another one by now."""
    _judge(account, digest, person, data, is_approved=True, as_json=as_json)


@approvals.command()
def reject(
    account: AccountArgument,
    digest: DigestArgument,
    person: PersonOption,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Keep exactly these drivers on the target."""
    _judge(account, digest, person, data, is_approved=False, as_json=as_json)


def _judge(account: str, digest: str, person: str, data: DataOption, *, is_approved: bool, as_json: bool) -> None:
    chosen = _chosen(account, digest, data)
    body = {"by": person, "target": chosen["target"], "digest": digest, "approve": is_approved}
    answer = ask(data, lambda services: services.post(f"/accounts/{account}/approvals", body))
    if as_json:
        print_json(answer)
    else:
        out.print(
            f"{len(answer['drivers'])} deletes on {answer['target']} {answer['verdict']} by {person}", markup=False
        )


def _chosen(account: str, digest: str, data: DataOption) -> dict[str, Any]:
    for each in _held(account, data):
        if each["digest"] == digest:
            return dict(each)
    raise CommandRefused(
        f"no held deletes of {account} have the hash {digest}; see `driverlink approvals list {account}`"
    )


def _held(account: str, data: DataOption) -> list[dict[str, Any]]:
    return list(ask(data, lambda services: services.get(f"/accounts/{account}/approvals")))
