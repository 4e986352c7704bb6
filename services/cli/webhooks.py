"""`driverlink webhooks`: the endpoints to which we send what happens to drivers, and what was sent there."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from domain.webhooks import MessageState
from services.cli.client import AccountArgument, DataOption, Json, JsonOption, NoteOption, ask
from services.cli.listing import Form, ago, field, listing, time_of, watched
from services.cli.printing import moment, out, print_json, print_note

webhooks = typer.Typer(no_args_is_help=True)


EndpointArgument = Annotated[str, typer.Argument(help="The endpoint's id, as `list` shows it.", show_default=False)]


@webhooks.command("list")
@listing
def list_endpoints(account: AccountArgument, data: DataOption = None, *, form: Form) -> None:
    """List an account's endpoints: where each is, whether it works, and how many messages wait or are parked.

    Examples:
        driverlink webhooks list acme
        driverlink webhooks list acme -o wide
    """

    def show_once() -> None:
        form.print(ask(data, lambda services: services.get(f"/accounts/{account}/webhooks")), _ENDPOINTS)

    watched(show_once, is_on=form.watch)


_ENDPOINTS: Mapping[str, Callable[[Json], object]] = {
    "endpoint": field("endpoint"),
    "url": field("url"),
    "state": lambda row: row["state"] + (f": {row['ended']}" if row["ended"] else ""),
    "failing since": lambda row: ago(row["failing_since"]),
    "waiting": field("waiting"),
    "delivered": field("delivered"),
    "parked": field("parked"),
    "types": lambda row: ", ".join(row["types"]),
    "created": time_of("created"),
}


@webhooks.command()
def create(
    account: AccountArgument,
    url: Annotated[str, typer.Argument(help="Where messages go: https://host/path.", show_default=False)],
    *,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="A type that is sent there, such as driver.linked; else all.")
    ] = None,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create an endpoint, and show once the secret by which its receiver verifies what we send.

    Examples:
        driverlink webhooks create acme https://example.com/hooks
        driverlink webhooks create acme https://example.com/alerts --type driver.needs_person
    """
    body = {"url": url, "note": note} | ({"types": types} if types else {})
    _print(ask(data, lambda services: services.command(f"/accounts/{account}/webhooks", body)), as_json=as_json)


@webhooks.command()
def rotate(
    account: AccountArgument,
    endpoint: EndpointArgument,
    *,
    at_once: Annotated[bool, typer.Option("--at-once", help="Do not sign by the former secret any more.")] = False,
    note: NoteOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the secret of an endpoint, and show the new one once. For 24 hours messages are signed by both.

    Examples:
        driverlink webhooks rotate acme ep_5b1f0c9e2d7a4f13
        driverlink webhooks rotate acme ep_5b1f0c9e2d7a4f13 --at-once
    """
    body = {"at_once": at_once, "note": note}
    path = f"/accounts/{account}/webhooks/{endpoint}/rotation"
    _print(ask(data, lambda services: services.command(path, body)), as_json=as_json)


@webhooks.command()
def ping(account: AccountArgument, endpoint: EndpointArgument, note: NoteOption = "", data: DataOption = None) -> None:
    """Send a message of the type webhook.ping to an endpoint; `messages` shows whether it arrived.

    Examples:
        driverlink webhooks ping acme ep_5b1f0c9e2d7a4f13
    """
    asked = _do(account, endpoint, "ping", note, data)
    out.print(f"{asked['message']} is sent to {endpoint}", markup=False)


@webhooks.command()
def disable(
    account: AccountArgument, endpoint: EndpointArgument, note: NoteOption = "", data: DataOption = None
) -> None:
    """Send nothing to an endpoint until it is enabled; what happens meanwhile is not kept for it.

    Examples:
        driverlink webhooks disable acme ep_5b1f0c9e2d7a4f13
    """
    _do(account, endpoint, "disabled", note, data)
    out.print(f"nothing is sent to {endpoint} until you enable it", markup=False)


@webhooks.command()
def enable(
    account: AccountArgument, endpoint: EndpointArgument, note: NoteOption = "", data: DataOption = None
) -> None:
    """Send to an endpoint again that was disabled, or that was ended because it failed; first what still waits.

    Examples:
        driverlink webhooks enable acme ep_5b1f0c9e2d7a4f13
    """
    _do(account, endpoint, "enabled", note, data)
    out.print(f"{endpoint} is on", markup=False)


@webhooks.command()
def delete(
    account: AccountArgument, endpoint: EndpointArgument, note: NoteOption = "", data: DataOption = None
) -> None:
    """Delete an endpoint with its secret and its messages, also those that wait.

    Examples:
        driverlink webhooks delete acme ep_5b1f0c9e2d7a4f13
    """
    _do(account, endpoint, "deletion", note, data)
    out.print(f"{endpoint} is deleted", markup=False)


@webhooks.command()
@listing
def messages(
    account: AccountArgument,
    endpoint: EndpointArgument,
    state: Annotated[MessageState | None, typer.Option(help="Only those of this state.")] = None,
    data: DataOption = None,
    *,
    form: Form,
) -> None:
    """List the last messages to an endpoint, the newest first, with what was answered; JSON has every try.

    Examples:
        driverlink webhooks messages acme ep_5b1f0c9e2d7a4f13
        driverlink webhooks messages acme ep_5b1f0c9e2d7a4f13 --state parked
    """
    path = f"/accounts/{account}/webhooks/{endpoint}/messages"

    def show_once() -> None:
        found = ask(data, lambda services: services.get(path, state=state and str(state)))
        form.print(found["messages"], _MESSAGES)

    watched(show_once, is_on=form.watch)


_MESSAGES: Mapping[str, Callable[[Json], object]] = {
    "message": field("message"),
    "type": field("type"),
    "driver": lambda row: row["body"]["data"].get("driver", ""),
    "state": field("state"),
    "at": time_of("at"),
    "tries": lambda row: len(row["attempts"]),
    "last answer": lambda row: row["attempts"][-1]["detail"] if row["attempts"] else "",
    "next try": time_of("due"),
}


@webhooks.command()
def resend(
    account: AccountArgument,
    endpoint: EndpointArgument,
    message: Annotated[str, typer.Argument(help="The message's id, as `messages` shows it.", show_default=False)],
    note: NoteOption = "",
    data: DataOption = None,
) -> None:
    """Send a message again that was delivered or parked, under the same id and with the same body.

    Examples:
        driverlink webhooks resend acme ep_5b1f0c9e2d7a4f13 msg_0d9f6c0e3a5b5f5f8a4e1b8f0c2d7e61
    """
    _do(account, endpoint, f"messages/{message}/resend", note, data)
    out.print(f"{message} is sent to {endpoint} again", markup=False)


def _do(account: str, endpoint: str, what: str, note: str, data: DataOption) -> Json:
    path = f"/accounts/{account}/webhooks/{endpoint}/{what}"
    answer: Json = ask(data, lambda services: services.command(path, {"note": note}))
    return answer


def _print(answer: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    out.print(answer["secret"], markup=False)
    print_note(f"this is shown once: give it to the receiver at {answer['url']}; the endpoint is {answer['endpoint']}")
    if answer["former_until"]:
        print_note(
            f"messages are signed by the former secret too until {moment(answer['former_until'], is_zoned=True)}"
        )
