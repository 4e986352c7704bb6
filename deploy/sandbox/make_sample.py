"""Makes the sample: the Portal's export of a fleet, and what the sandboxes have before the first sync.

The same seed gives the same bytes.
"""

import argparse
import csv
import io
import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from driveri_seed import driveri_seed
from fleet import COLUMNS, SMALLEST_SIZE, STANDARD_SIZE, PortalDriver, fleet
from motive_seed import motive_seed
from people import People
from portal_seed import portal_seed

_BYTE_ORDER_MARK = "\ufeff"
_EXCEL_ROWS = 100


def sample(size: int, seed: int) -> Mapping[str, bytes]:
    """All files of the sample, by name."""
    chance = random.Random(seed)  # noqa: S311 - a sample shall be the same each time, not unguessable
    people = People(chance)
    drivers = fleet(people, chance, size)
    return {
        "portal-drivers.csv": _as_the_portal_exports(drivers),
        "portal-drivers-semicolon.csv": _as_excel_saves(drivers[:_EXCEL_ROWS]),
        "driveri.json": _as_json(driveri_seed(people, chance, drivers)),
        "motive.json": _as_json(motive_seed(people, chance, drivers)),
        "portal.json": _as_json(portal_seed(drivers)),
    }


def _as_the_portal_exports(drivers: Iterable[PortalDriver]) -> bytes:
    rows = [list(COLUMNS), *(driver.cells() for driver in drivers)]
    return _as_csv(rows, delimiter=",", line_end="\n")


def _as_excel_saves(drivers: Iterable[PortalDriver]) -> bytes:
    """The same columns the other way round, in capitals and with semicolons."""
    rows = [[column.upper() for column in COLUMNS], *(driver.cells() for driver in drivers)]
    return _as_csv([row[::-1] for row in rows], delimiter=";", line_end="\r\n")


def _as_csv(rows: Iterable[Sequence[str]], *, delimiter: str, line_end: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows(rows)
    return (_BYTE_ORDER_MARK + text.getvalue()).encode()


def _as_json(document: object) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def main() -> int:
    """Write the files, or with `--check` only tell which of those on disk are others."""
    options = _options()
    files = sample(options.drivers, options.seed)
    if options.check:
        return _report(name for name, content in files.items() if not _is_on_disk(options.out / name, content))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (options.out / name).write_bytes(content)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drivers", type=_size, default=STANDARD_SIZE, help="size of the fleet (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another number makes another fleet (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the files (this one)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the files are not these")
    return parser.parse_args()


def _size(text: str) -> int:
    if int(text) < SMALLEST_SIZE:
        raise argparse.ArgumentTypeError(f"at least {SMALLEST_SIZE}, to have room for all cases")
    return int(text)


def _is_on_disk(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _report(names: Iterable[str]) -> int:
    stale = [f"{name} is not what make_sample.py makes: run it again" for name in names]
    sys.stderr.writelines(f"{line}\n" for line in stale)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
