"""The cases that the sample in `deploy/sandbox` holds, counted in its files."""

import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "sandbox"

Row = Mapping[str, str]
Shown = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The files as they are."""

    fleet: list[Row]
    driveri: list[Shown]
    motive: list[Shown]
    elsewhere: list[str]

    @property
    def drivers(self) -> list[Shown]:
        return [user for user in self.motive if user["role"] == "driver"]

    @property
    def others(self) -> list[Shown]:
        return [user for user in self.motive if user["role"] != "driver"]


@cache
def sample_in(folder: Path) -> Sample:
    with (folder / "portal-drivers.csv").open(encoding="utf-8-sig", newline="") as file:
        rows: list[Row] = list(csv.DictReader(file))
    motive = json.loads((folder / "motive.json").read_text(encoding="utf-8"))
    return Sample(
        fleet=rows,
        driveri=json.loads((folder / "driveri.json").read_text(encoding="utf-8"))["tenants"][0]["drivers"],
        motive=motive["companies"][0]["users"],
        elsewhere=motive["elsewhere"],
    )


def key(row: Row) -> str:
    return row["Driveri DriverID"] or row["Reference ID"]


def name(row: Row) -> str:
    return f"{row['First Name']} {row['Last Name']}"


def having(rows: Iterable[Row], pattern: str, column: str) -> int:
    return sum(re.search(pattern, row[column]) is not None for row in rows)


def named(rows: Iterable[Row], is_so: Callable[[str], bool]) -> int:
    return sum(is_so(name(row)) for row in rows)


def doubled(values: Iterable[str]) -> int:
    return sum(count == 2 for value, count in Counter(values).items() if value)


def is_accented(text: str) -> bool:
    return not text.isascii() and not is_foreign(text)


def is_foreign(text: str) -> bool:
    return any(letter.isalpha() and not unicodedata.name(letter).startswith("LATIN") for letter in text)


def at_driveri(sample: Sample) -> list[tuple[Row, Shown]]:
    shown = {str(driver["driverId"]).casefold(): driver for driver in sample.driveri}
    return [(row, shown[key(row).casefold()]) for row in sample.fleet if key(row).casefold() in shown]


def is_equal(row: Row, driver: Shown) -> bool:
    group = driver.get("group")
    shown = {
        "First Name": driver["firstName"],
        "Last Name": driver["lastName"],
        "Email": driver["email"],
        "Licence Number": driver.get("licenceNumber", ""),
        "Licence State": driver.get("licenseState", ""),
        "Licence Country": driver.get("licenseCountry", ""),
        "Driveri Group": group["groupName"] if isinstance(group, dict) else "",
    }
    return all(row[column] == text for column, text in shown.items())


def differing(sample: Sample) -> int:
    return sum(not is_equal(row, driver) for row, driver in at_driveri(sample))


def recased(sample: Sample) -> int:
    return sum(driver["driverId"] != key(row) for row, driver in at_driveri(sample))


def deleted(sample: Sample) -> int:
    return sum(driver["status"] == 4 for _, driver in at_driveri(sample))


def equal_and_active(sample: Sample) -> int:
    pairs = at_driveri(sample)
    return sum(is_equal(row, shown) and shown["status"] == 1 and shown["driverId"] == key(row) for row, shown in pairs)


def identifiers(row: Row) -> list[tuple[str, ...]]:
    licence = (row["Licence Number"], row["Licence State"])
    found = [("ref", row["Reference ID"]), ("email", row["Email"].casefold()), ("licence", *licence)]
    return [identifier for identifier in found if all(identifier)]


def identifiers_shown(user: Shown) -> list[tuple[str, ...]]:
    text = {field: value if isinstance(value, str) else "" for field, value in user.items()}
    licence = (text["drivers_license_number"], text["drivers_license_state"])
    found = [("ref", text["driver_company_id"]), ("email", text["email"].casefold()), ("licence", *licence)]
    return [identifier for identifier in found if all(identifier)]


def answers(sample: Sample) -> list[tuple[str, list[Shown]]]:
    """For each driver of the fleet that is in Motive, the identifier that matches and the users that have it."""
    users: dict[tuple[str, ...], list[Shown]] = {}
    for user in sample.drivers:
        for identifier in identifiers_shown(user):
            users.setdefault(identifier, []).append(user)
    firsts = (
        next((identifier for identifier in identifiers(row) if identifier in users), None) for row in sample.fleet
    )
    return [(identifier[0], users[identifier]) for identifier in firsts if identifier]


def found_by(sample: Sample, kind: str) -> int:
    return sum(identifier == kind and len(users) == 1 for identifier, users in answers(sample))


def conflict(sample: Sample) -> int:
    return sum(len(users) > 1 for _, users in answers(sample))


def known(sample: Sample) -> list[Shown]:
    """The users who are each the only answer to a driver of the fleet."""
    return [user for _, users in answers(sample) if len(users) == 1 for user in users]


def only_there(sample: Sample) -> int:
    ids = {user["id"] for _, users in answers(sample) for user in users}
    return sum(user["id"] not in ids for user in sample.drivers)


def under_a_drivers_ref_id(sample: Sample) -> int:
    return sum(user["driver_company_id"] in {row["Reference ID"] for row in sample.fleet} for user in sample.others)


def deactivated(users: Iterable[Shown]) -> int:
    return sum(user["status"] == "deactivated" for user in users)


COUNTS: Mapping[str, Callable[[Sample], int]] = {
    "drivers in the Portal": lambda sample: len(sample.fleet),
    "without a Reference ID": lambda sample: having(sample.fleet, "^$", "Reference ID"),
    "with neither of the two ids": lambda sample: sum(not key(row) for row in sample.fleet),
    "with a Reference ID only": lambda sample: sum(
        not row["Driveri DriverID"] and bool(key(row)) for row in sample.fleet
    ),
    "Driveri DriverIDs that two drivers have": lambda sample: doubled(
        row["Driveri DriverID"].casefold() for row in sample.fleet
    ),
    "of these, the same but for letter case": lambda sample: (
        doubled(row["Driveri DriverID"].casefold() for row in sample.fleet)
        - doubled(row["Driveri DriverID"] for row in sample.fleet)
    ),
    "Driveri DriverIDs such as `DRV-00123`": lambda sample: having(sample.fleet, r"(?i)^DRV-", "Driveri DriverID"),
    "Driveri DriverIDs such as `jsmith`": lambda sample: having(sample.fleet, r"^[a-z]+\d*$", "Driveri DriverID"),
    "Driveri DriverIDs of digits with a leading zero": lambda sample: having(
        sample.fleet, r"^0\d+$", "Driveri DriverID"
    ),
    "Reference IDs with leading zeros": lambda sample: having(sample.fleet, "^0", "Reference ID"),
    "e-mail addresses that two drivers share": lambda sample: doubled(row["Email"] for row in sample.fleet),
    "blank phones": lambda sample: having(sample.fleet, "^$", "Phone"),
    "ways in which phones are written": lambda sample: len(
        {re.sub(r"\d", "0", row["Phone"]) for row in sample.fleet} - {""}
    ),
    "without a licence": lambda sample: having(sample.fleet, "^$", "Licence Number"),
    "without a time zone": lambda sample: having(sample.fleet, "^$", "Time Zone"),
    "without a Driveri Group": lambda sample: having(sample.fleet, "^$", "Driveri Group"),
    "names with an accent": lambda sample: named(sample.fleet, is_accented),
    "names with an apostrophe": lambda sample: named(sample.fleet, lambda text: "'" in text),
    "names with a hyphen": lambda sample: named(sample.fleet, lambda text: "-" in text),
    "names of more than two parts": lambda sample: named(sample.fleet, lambda text: len(text.split()) > 2),
    "names in other scripts": lambda sample: named(sample.fleet, is_foreign),
    "drivers of the fleet in Driveri": lambda sample: len(at_driveri(sample)),
    "of these, equal and active": equal_and_active,
    "of these, with one field that differs": differing,
    "of these, deleted": deleted,
    "of these, with an id that differs only in letter case": recased,
    "drivers only in Driveri": lambda sample: len(sample.driveri) - len(at_driveri(sample)),
    "drivers of the fleet in Motive": lambda sample: len(answers(sample)),
    "of these, found by RefID": lambda sample: found_by(sample, "ref"),
    "of these, found by e-mail": lambda sample: found_by(sample, "email"),
    "of these, found by licence": lambda sample: found_by(sample, "licence"),
    "of these, in conflict by two users with the same RefID": conflict,
    "of those found, deactivated": lambda sample: deactivated(known(sample)),
    "of those found, with external ids of other integrations": lambda sample: sum(
        bool(user["external_ids"]) for user in known(sample)
    ),
    "drivers only in Motive": only_there,
    "users of other roles": lambda sample: len(sample.others),
    "of these users, deactivated": lambda sample: deactivated(sample.others),
    "of these users, under the RefID of a driver": under_a_drivers_ref_id,
    "e-mail addresses of the fleet taken in another company": lambda sample: len(
        set(sample.elsewhere) & {row["Email"] for row in sample.fleet}
    ),
}
