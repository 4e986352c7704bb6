"""Made-up people: names, addresses, logins and phone numbers."""

import json
import random
import unicodedata
from pathlib import Path

_PHONES = ("({}) 555-{}", "{}-555-{}", "{}.555.{}", "+1 {} 555 {}", "{}555{}", "1-{}-555-{}")
_DOMAINS = ("fleet.example", "north.fleet.example", "contractors.example")
# Letters that Unicode does not take apart into a plain one and an accent.
_PLAIN_LETTERS = str.maketrans({"ł": "l", "Ł": "l", "ø": "o", "ß": "ss"})


class Distinct:
    """Gives each text once; when one is asked for again, with a number behind its stem."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def __call__(self, stem: str, rest: str = "") -> str:
        """The stem and the rest in one, numbered where that has been given before."""
        number, text = 1, stem + rest
        while text in self._given:
            number += 1
            text = f"{stem}{number}{rest}"
        self._given.add(text)
        return text


def plain(text: str) -> str:
    """The text in small ASCII letters; empty if it is in another script."""
    taken_apart = unicodedata.normalize("NFKD", text.translate(_PLAIN_LETTERS))
    return "".join(letter for letter in taken_apart if letter.isascii() and letter.isalpha()).casefold()


class People:
    """Draws people one after the other, each with e-mail address and login of their own."""

    def __init__(self, chance: random.Random) -> None:
        names = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))
        self._first_names, self._last_names, self._pairs = names["first"], names["last"], names["other_scripts"]
        self._chance = chance
        self._addresses, self._logins = Distinct(), Distinct()

    def name(self) -> tuple[str, str]:
        """First and last name, now and then in a script of their own."""
        if self._chance.random() < 1 / 80:
            first, last = self._chance.choice(self._pairs)
            return first, last
        return self._chance.choice(self._first_names), self._chance.choice(self._last_names)

    def email(self, first: str, last: str) -> str:
        """An address below a domain that no person can have."""
        [domain] = self._chance.choices(_DOMAINS, (85, 10, 5))
        stem = f"{plain(first)}.{plain(last)}".strip(".") or "driver"
        return self._addresses(stem, f"@{domain}")

    def login(self, first: str, last: str) -> str:
        """A name to log in by, such as `jsmith`."""
        return self._logins((plain(first)[:1] + plain(last)) or "driver")


def phone(chance: random.Random, area_code: str) -> str:
    """A number from the range that is kept for fiction, written in one of several ways."""
    return chance.choice(_PHONES).format(area_code, f"01{chance.randrange(100):02}")
