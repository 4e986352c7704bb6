"""`driverlink capsule`: what happened to one driver, as one file for the developers."""

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.capsules import file_name
from services.cli.client import AccountArgument, CommandRefused, DataOption, ask
from services.cli.past import DriverArgument
from services.cli.printing import print_note

_STANDARD_OUTPUT = Path("-")


def capsule(
    account: AccountArgument,
    driver: DriverArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file; - is standard output, and one that ends in .gz is compressed. By default capsule-ID.json.",
            show_default=False,
        ),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    data: DataOption = None,
) -> None:
    """Put everything that happened to one driver into one file, masked.

    It has the facts of the driver, of the account's policy, and of what it was decided by: other drivers and target
    drivers with an identifier in common, and what was exchanged with the targets. Names, ids, addresses, phone numbers
    and licences are replaced by others of the same shape; there are no credentials. `driverlink replay` runs it.

    Examples:
        driverlink capsule acme 200006
        driverlink capsule acme 200006 --output jane.json.gz
        driverlink capsule acme 200006 --output - | driverlink replay -
    """
    _check_free(output, is_forced=force)
    content = ask(data, lambda services: services.content(f"/accounts/{account}/drivers/{driver}/capsule"))
    if output == _STANDARD_OUTPUT:
        sys.stdout.write(content.decode())
        return
    document = json.loads(content)
    path = output or Path(file_name(document["driver"]))
    _check_free(path, is_forced=force)
    _write(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    erased = "; the driver was erased, so it has no personal data to mask" if document["is_erased"] else ""
    facts = sum(map(len, document["facts"].values()))
    print_note(f"{path}: {facts} facts, masked{erased}; `driverlink replay {path}` runs it")


def _check_free(path: Path | None, *, is_forced: bool) -> None:
    if path and path != _STANDARD_OUTPUT and not is_forced and path.exists():
        raise CommandRefused(f"{path} is there already: name another --output, or overwrite it with --force")


def _write(path: Path, content: bytes) -> None:
    """Put the whole file there at once."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as failure:
        beside.unlink(missing_ok=True)
        raise CommandRefused(f"{path} cannot be written: {failure.strerror}") from None
