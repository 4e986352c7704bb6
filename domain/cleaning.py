"""Every text, number and time from outside, cleaned and bounded.

Two things happen to a text, and they are kept apart:

cleaned, silently    NFC; format characters and other invisible ones are removed (zero-width ones, bidirectional
                     controls, byte-order marks, soft hyphens); every kind of blank becomes one space, and none stays at
                     either end; of more than `MOST_MARKS` combining marks in a row the rest is removed
refused, in words    in what people state: line breaks, control characters, halves of a character, what is too long,
                     what a spreadsheet made of an id, an e-mail address without its form, an unknown time zone

What a target or a file shows is only ever cleaned (`clean`), and never fails. What people state about a driver is
looked at by `flaw` first, and then has its `normal_form`. Two texts that look the same are the same afterwards, at
every door, so what was stored can always be named again.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from domain.geography import to_iana

LONGEST_ID: Final = 200
"""Characters of a driver's id, of whatever kind."""

LONGEST_WORDS: Final = 300
"""Characters of what a target says in its own words: a refusal, a description."""

LONGEST_URL: Final = 2000
"""Characters of an address."""

LONGEST_TOKEN: Final = 16_384
"""Characters of a token that a vendor gives us to call it with."""

LONGEST: Final[Mapping[str, int]] = MappingProxyType(
    {
        "driver": LONGEST_ID + len("ref:"),
        "first_name": 200,
        "last_name": 200,
        "ref_id": LONGEST_ID,
        "driveri_driver_id": LONGEST_ID,
        "email": 254,
        "phone": 64,
        "time_zone": 64,
        "country": 100,
        "driveri_group": 200,
        "licence_number": 100,
        "licence_state": 100,
        "licence_country": 100,
    }
)
"""The most characters of each field; `driver` is the Portal's own id, or the RefID in its place.

An e-mail address: RFC 5321, 4.5.3.1.
"""

LONGEST_PROFILE: Final = sum(LONGEST.values())
"""The most characters of a whole profile: a record that holds several of them is far below what a broker takes."""

_SHORTEST: Final = min(LONGEST.values())

_LARGEST_WHOLE: Final = 2**53

MOST_MARKS: Final = 8
"""Combining marks that a character may carry; no language needs as many."""

DAY: Final = 86_400.0
"""Seconds; nothing from outside may ask for a longer wait."""

EPOCH_FROM: Final = 1_000_000_000.0
"""A wait of more seconds than this is meant as a time, in seconds since the epoch."""

_EPOCH_MS_FROM: Final = 100_000_000_000.0
_LAST: Final = datetime(3000, 1, 1, tzinfo=UTC).timestamp()

# Invisible, though Unicode does not call them format characters: fillers, joiners, selectors of a variant.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_BLANKS: Final = re.compile(r"\s+")
_MARKS: Final = frozenset({"Mn", "Me"})
_GONE: Final = frozenset({"Cf", "Cc"})


def clean(text: str, longest: int = LONGEST_WORDS) -> str:
    """The text in its normal form on one line, cut at `longest` characters. Never fails, and is idempotent."""
    if len(text) <= longest and text.isascii() and text.isprintable() and "  " not in text and text.strip() == text:
        return text  # Nearly every text is clean already, and each change has a dozen of them.
    return _settled(_start(text, longest))[:longest].rstrip()


def are_clean(texts: Collection[str]) -> bool:
    """Whether these texts are certainly as `clean` leaves them, so that the usual case costs one look at them all."""
    joined = "|".join(texts)
    return (
        joined.isascii()
        and joined.isprintable()
        and not any(blanks in joined for blanks in ("  ", " |", "| "))
        and joined == joined.strip()
        and max(map(len, texts), default=0) <= _SHORTEST
    )


def text_of(value: object) -> str | None:
    """A text from outside that may come as a whole number, as ids do; nothing is blank. None if it is anything else."""
    match value:
        case None:
            return ""
        case str():
            return value
        case float() if value.is_integer() and abs(value) < _LARGEST_WHOLE:
            return str(int(value))
        case int() if not isinstance(value, bool):
            return str(value) if abs(value) < 10**LONGEST_ID else None
    return None


def storable(text: str, longest: int | None = None) -> str:
    """The text as it is, with an escape for what no store takes: NUL, and halves of a character (lone surrogates).

    Cut at `longest` characters, if that is given.
    """
    return text[:longest].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")[:longest]


def is_storable(text: str) -> bool:
    """Whether every store and stream takes this text: it holds no NUL and no half of a character."""
    return storable(text) == text


def is_sendable(token: str) -> bool:
    """Whether an HTTP header can carry this token: visible ASCII on one line, without blanks, and not too long."""
    return 0 < len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable() and " " not in token


def folded(text: str) -> str:
    """The text as it is compared without regard to letter case."""
    settled = _settled(text)
    if settled.isascii():
        return settled.casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", settled).casefold())


def _start(text: str, longest: int) -> str:
    """As much of a text as counts where `longest` characters are allowed, so that a huge one costs nothing."""
    return text if len(text) <= longest * MOST_MARKS else text.strip()[: longest * MOST_MARKS]


def _settled(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text if "  " not in text and text == text.strip() else " ".join(text.split())
    normal = unicodedata.normalize("NFC", _whole(text))
    blanks = "".join(" " if character.isspace() else character for character in normal)
    seen = "".join(character for character in blanks if unicodedata.category(character) not in _GONE)
    return _BLANKS.sub(" ", _without_floods(unicodedata.normalize("NFC", _UNSEEN.sub("", seen)))).strip()


def _whole(text: str) -> str:
    """The text with U+FFFD for each half of a character (a lone surrogate), which no encoding takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _without_floods(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in _MARKS else 0
        if marks <= MOST_MARKS:
            kept.append(character)
    return text if len(kept) == len(text) else unicodedata.normalize("NFC", "".join(kept))


# What a spreadsheet does to text.
_QUOTED: Final = re.compile(r'=""(.*)""|="(.*)"')
_QUOTED_ID: Final = re.compile(r"['\u2019](.*)|\"(.*)\"")
_SHORTENED: Final = re.compile(r"[+-]?(\d+([.,]\d+)?E\+\d+|\d+[.,]\d+E-\d+)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d+[.,]0+|\d{1,3}(([,'\u2019]\d{3})+|(\.\d{3}){2,})([.,]\d+)?")
_GROUPED: Final = re.compile(r"\d{1,3}([\u00a0\u202f]\d{3})+([.,]\d+)?")
_ERROR: Final = re.compile(
    r"#(REF!|N/A|NAME\?|VALUE!|DIV/0!|NULL!|NUM!|SPILL!|CALC!|GETTING_DATA|NV|BEZUG!|WERT!)|#{3,}", re.IGNORECASE
)
_MONTH: Final = (
    "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|M\u00e4r|Mrz|Mai|Okt|Dez|Ene|Abr|Ago|Dic"
    "|jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|ene|abr|ago|dic)"
)
_DATE: Final = re.compile(
    rf"\d{{1,2}}(-|\. ?){_MONTH}\.?([- ]\d{{2,4}})?|{_MONTH}\.?-\d{{1,4}}"
    r"|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,2}\.\d{1,2}\.\d{4}|\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?)?"
)
_ADDRESS: Final = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")

IDS: Final = ("driver", "ref_id", "driveri_driver_id", "licence_number")
"""The fields that identify a person, as they are named in `LONGEST`."""

_NUMBERS: Final = (*IDS, "phone")
_REQUIRED: Final = ("first_name", "last_name")


def normal_form(field: str, text: str) -> str:
    """What is stated in this field, as it is stored and compared: cleaned, and cut to the field's length.

    What a spreadsheet put around it is taken off where that is certain: `="00417"`, and in an id `'00417`.
    """
    longest = LONGEST.get(field, LONGEST_WORDS)
    return _undressed(field, _start(text, longest))[:longest].rstrip()


def flaw(field: str, text: str) -> str | None:
    """The first reason why what is stated cannot stand in this field, without quoting it; None if it can.

    A blank e-mail address or time zone can, a blank name cannot.
    """
    longest = LONGEST.get(field, LONGEST_WORDS)
    start = _start(text, longest).strip()
    stated = _undressed(field, start)
    is_cut = len(start) < len(text.strip())
    too_long = f"is longer than {longest} characters" if is_cut or len(stated) > longest else None
    return _first(_FLAWS_AS_WRITTEN, field, start) or too_long or _first(_FLAWS_CLEANED, field, stated)


def is_shortened(text: str) -> bool:
    """Whether a spreadsheet left only the first digits of a number: 4.55E+06, or 4,55E+06 in some countries."""
    return _SHORTENED.fullmatch(_settled(text)) is not None


def _undressed(field: str, text: str) -> str:
    stated = _settled(text)
    found = _QUOTED.fullmatch(stated) or (_QUOTED_ID.fullmatch(stated) if field in _NUMBERS else None)
    return _undressed(field, next(filter(None, found.groups()), "")) if found else stated


_Flaw = tuple[Callable[[str], object], tuple[str, ...] | None, str]
"""What to look for, the fields in which it matters (None for all), and what it is called."""

LINE_BREAK: Final = "holds a line break"
"""The flaw that a quote which is never closed leads to."""

_AS_TEXT: Final = "format the column as text and export again"
_MADE_A_NUMBER: Final = f"was made a number by a spreadsheet, as 4,550 or 417.0; {_AS_TEXT}"

_FLAWS_AS_WRITTEN: Final[tuple[_Flaw, ...]] = (
    (lambda text: len(text.splitlines()) > 1, None, LINE_BREAK),
    (
        lambda text: not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text),
        None,
        "holds a control character",
    ),
    (lambda text: _whole(text) != text, None, "holds half of a character; type it again"),
    (_GROUPED.fullmatch, IDS, _MADE_A_NUMBER),
)
_FLAWS_CLEANED: Final[tuple[_Flaw, ...]] = (
    (is_shortened, _NUMBERS, f"was shortened by Excel, as in 4.55E+06; {_AS_TEXT}"),
    (_NUMBER.fullmatch, IDS, _MADE_A_NUMBER),
    (_DATE.fullmatch, IDS, f"was made a date by a spreadsheet, as 12-Mar; {_AS_TEXT}"),
    (_ERROR.fullmatch, None, "holds the error of a spreadsheet, as #REF! or #N/A; correct the cell and export again"),
    (lambda text: text.startswith("="), None, "holds a formula; put its value there and export again"),
    (lambda text: text and not _ADDRESS.fullmatch(text), ("email",), "is not an e-mail address"),
    (
        lambda text: text and to_iana(text) is None,
        ("time_zone",),
        "is not a time zone that we know; give its IANA name, as America/Chicago",
    ),
    (lambda text: not text, _REQUIRED, "is blank"),
)


def _first(flaws: tuple[_Flaw, ...], field: str, text: str) -> str | None:
    return next((reason for has, fields, reason in flaws if (fields is None or field in fields) and has(text)), None)


def bounded(number: object, *, least: float, most: float) -> float | None:
    """A number from outside, brought between these two; None if it is not a number, as NaN and truth values."""
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number:
        return None
    return float(max(least, min(number, most)))


def seconds(text: str, now: float) -> float | None:
    """A wait that a target asks for, in seconds from 0 to `DAY`; None if the text is not a number from 0 on.

    Some send the time of its end instead, in seconds or milliseconds since the epoch, as `now` is in seconds.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    if number < 0:
        return None
    since = number / 1000 if number >= _EPOCH_MS_FROM else number
    return bounded(since - now if since >= EPOCH_FROM else since, least=0.0, most=DAY)


def moment_of(number: object) -> datetime | None:
    """A time from outside, in seconds or milliseconds since the epoch, to the year 3000; None if it is not a number."""
    since = bounded(number, least=0.0, most=_LAST * 1000)
    if since is None:
        return None
    return datetime.fromtimestamp(min(since / 1000 if since >= _EPOCH_MS_FROM else since, _LAST), UTC)


def not_ahead(moment: datetime, now: datetime) -> datetime:
    """A time from outside, or from a clock that was wrong: what lies ahead of now is now."""
    return min(moment, now)
