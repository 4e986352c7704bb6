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

Time zones, and the states that issue licences, are known in every spelling that people and targets use. A code of a
state is that of ISO 3166-2, in any letter case, with its country or without it: `CO`, `us_co`, `US-CO`, `Colorado` and
`US Colorado` are one state. The states, provinces and territories of the United States, Canada and Mexico are also
known by their names; their codes differ from one country to another.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

LONGEST_ID: Final = 200
"""Characters of a driver's id, of whatever kind."""

LONGEST_WORDS: Final = 300
"""Characters of what a target says in its own words: a refusal, a description."""

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

_SHORTEST: Final = min(LONGEST.values())

_LARGEST_WHOLE: Final = 2**53

MOST_MARKS: Final = 8
"""Combining marks that a character may carry; no language needs as many."""

DAY: Final = 86_400.0
"""Seconds; nothing from outside may ask for a longer wait."""

_EPOCH_FROM: Final = 1_000_000_000.0
"""A wait of more seconds than this is meant as a time, in seconds since the epoch."""

_EPOCH_MS_FROM: Final = 100_000_000_000.0

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
        and "  " not in joined
        and " |" not in joined
        and "| " not in joined
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
    return bounded(since - now if since >= _EPOCH_FROM else since, least=0.0, most=DAY)


_CODES: Final = MappingProxyType(
    {
        "us": """
            al alabama|ak alaska|as american samoa|az arizona|ar arkansas|ca california|co colorado|ct connecticut
            |de delaware|dc district of columbia|dc washington dc|fl florida|ga georgia|gu guam|hi hawaii|id idaho
            |il illinois|in indiana|ia iowa|ks kansas|ky kentucky|la louisiana|me maine|md maryland|ma massachusetts
            |mi michigan|mn minnesota|ms mississippi|mo missouri|mt montana|ne nebraska|nv nevada|nh new hampshire
            |nj new jersey|nm new mexico|ny new york|nc north carolina|nd north dakota|mp northern mariana islands
            |oh ohio|ok oklahoma|or oregon|pa pennsylvania|pr puerto rico|ri rhode island|sc south carolina
            |sd south dakota|tn tennessee|tx texas|ut utah|vt vermont|va virginia|vi virgin islands
            |vi us virgin islands|wa washington|wv west virginia|wi wisconsin|wy wyoming
        """,
        "ca": """
            ab alberta|bc british columbia|mb manitoba|nb new brunswick|nl newfoundland and labrador|nl newfoundland
            |ns nova scotia|nt northwest territories|nu nunavut|on ontario|pe prince edward island|qc quebec
            |sk saskatchewan|yt yukon|yt yukon territory
        """,
        "mx": """
            agu aguascalientes|bcn baja california|bcs baja california sur|cam campeche|chp chiapas|chh chihuahua
            |cmx ciudad de mexico|cmx mexico city|coa coahuila|col colima|dur durango|gua guanajuato|gro guerrero
            |hid hidalgo|jal jalisco|mic michoacan|mor morelos|nay nayarit|nle nuevo leon|oax oaxaca|pue puebla
            |que queretaro|roo quintana roo|slp san luis potosi|sin sinaloa|son sonora|tab tabasco|tam tamaulipas
            |tla tlaxcala|ver veracruz|yuc yucatan|zac zacatecas
        """,
    }
)


_BY_NAME: Final = MappingProxyType(
    {
        name: (country, code)
        for country, rows in _CODES.items()
        for row in " ".join(rows.split()).split("|")
        for code, _, name in [row.strip().partition(" ")]
    }
)
_BY_CODE: Final = MappingProxyType(
    {code: (country, name) for name, (country, code) in reversed(list(_BY_NAME.items()))}
)
_COUNTRIES: Final = MappingProxyType(
    {"usa": "us", "united states": "us", "can": "ca", "canada": "ca", "mex": "mx", "mexico": "mx"}
)
_COUNTRY: Final = re.compile(r"(united states|canada|mexico|usa|can|mex|[a-z]{2}) (.+)")
_CODE: Final = re.compile(r"[a-z0-9]{1,3}")
_SEPARATORS: Final = re.compile(r"[^\w]+|_+")


def is_same_state(text: str, other: str) -> bool:
    """Whether both name the same state, where one of them may lack its country."""
    (country, state), (other_country, other_state) = _parsed(text), _parsed(other)
    return state == other_state != "" and ("" in (country, other_country) or country == other_country)


def canonical_state(text: str) -> str:
    """The same text for every spelling of a state, and for no other state.

    A code of the United States, Canada or Mexico says its country, so that is left out; any other country stays.
    """
    country, state = _parsed(text)
    return state if country in _CODES or not country else f"{country}-{state}"


def spellings(text: str) -> tuple[str, ...]:
    """The state as it is written, by its code, by its code with the country, and by its name, in this order.

    Only as it is written where it is not known.
    """
    _, code = _parsed(text)
    if code not in _BY_CODE:
        return (text,)
    country, name = _BY_CODE[code]
    return text, code.upper(), f"{country}-{code}".upper(), name.title()


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[str, str]:
    """The country, empty where the text does not say it, and the code of the state, or else its name."""
    # In small letters without accents and points, the words parted by one blank.
    bare = "".join(each for each in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(each))
    words = _SEPARATORS.sub(" ", bare.replace(".", "")).strip()
    if words in _BY_NAME:
        return _BY_NAME[words]
    found = _COUNTRY.fullmatch(words)
    if found is None:
        return "", words
    country, state = _COUNTRIES.get(found[1], found[1]), found[2]
    if _CODE.fullmatch(state):
        return country, state
    return _BY_NAME[state] if _BY_NAME.get(state, ("",))[0] == country else ("", words)


_BY_RAILS_NAME: Final = {
    "Eastern Time (US & Canada)": "America/New_York",
    "Indiana (East)": "America/Indiana/Indianapolis",
    "Central Time (US & Canada)": "America/Chicago",
    "Saskatchewan": "America/Regina",
    "Mountain Time (US & Canada)": "America/Denver",
    "Arizona": "America/Phoenix",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "Alaska": "America/Juneau",
    "Hawaii": "Pacific/Honolulu",
    "American Samoa": "Pacific/Pago_Pago",
    "Guam": "Pacific/Guam",
    "Atlantic Time (Canada)": "America/Halifax",
    "Newfoundland": "America/St_Johns",
    "Puerto Rico": "America/Puerto_Rico",
    "Mexico City": "America/Mexico_City",
    "Monterrey": "America/Monterrey",
    "Chihuahua": "America/Chihuahua",
    "Mazatlan": "America/Mazatlan",
    "Tijuana": "America/Tijuana",
    "Central America": "America/Guatemala",
    "Bogota": "America/Bogota",
    "Lima": "America/Lima",
    "Caracas": "America/Caracas",
    "La Paz": "America/La_Paz",
    "Santiago": "America/Santiago",
    "Brasilia": "America/Sao_Paulo",
    "Buenos Aires": "America/Argentina/Buenos_Aires",
    "Montevideo": "America/Montevideo",
    "Georgetown": "America/Guyana",
    "UTC": "Etc/UTC",
    "London": "Europe/London",
    "Dublin": "Europe/Dublin",
    "Lisbon": "Europe/Lisbon",
    "Madrid": "Europe/Madrid",
    "Paris": "Europe/Paris",
    "Brussels": "Europe/Brussels",
    "Amsterdam": "Europe/Amsterdam",
    "Berlin": "Europe/Berlin",
    "Rome": "Europe/Rome",
    "Vienna": "Europe/Vienna",
    "Prague": "Europe/Prague",
    "Warsaw": "Europe/Warsaw",
    "Budapest": "Europe/Budapest",
    "Copenhagen": "Europe/Copenhagen",
    "Stockholm": "Europe/Stockholm",
    "Athens": "Europe/Athens",
    "Bucharest": "Europe/Bucharest",
    "Helsinki": "Europe/Helsinki",
    "Istanbul": "Europe/Istanbul",
    "Pretoria": "Africa/Johannesburg",
    "Abu Dhabi": "Asia/Dubai",
    "Karachi": "Asia/Karachi",
    "New Delhi": "Asia/Kolkata",
    "Singapore": "Asia/Singapore",
    "Hong Kong": "Asia/Hong_Kong",
    "Tokyo": "Asia/Tokyo",
    "Seoul": "Asia/Seoul",
    "Perth": "Australia/Perth",
    "Adelaide": "Australia/Adelaide",
    "Brisbane": "Australia/Brisbane",
    "Sydney": "Australia/Sydney",
    "Melbourne": "Australia/Melbourne",
    "Auckland": "Pacific/Auckland",
    "Guadalajara": "America/Mexico_City",
    "Quito": "America/Lima",
    "Edinburgh": "Europe/London",
    "Muscat": "Asia/Dubai",
    "Mumbai": "Asia/Kolkata",
    "Wellington": "Pacific/Auckland",
}
"""Where several names stand for one zone, the first is its own. Source: ActiveSupport's TimeZone."""

_SAME_TIME: Final = {
    "America/Toronto": "America/New_York",
    "America/Montreal": "America/New_York",
    "America/Detroit": "America/New_York",
    "America/Kentucky/Louisville": "America/New_York",
    "America/Winnipeg": "America/Chicago",
    "America/Menominee": "America/Chicago",
    "America/Indiana/Knox": "America/Chicago",
    "America/North_Dakota/Center": "America/Chicago",
    "America/Edmonton": "America/Denver",
    "America/Boise": "America/Denver",
    "America/Vancouver": "America/Los_Angeles",
    "America/Moncton": "America/Halifax",
    "America/Anchorage": "America/Juneau",
}
"""North American zones without a name in Rails, which go by that of a zone with the same time."""

_BY_ALIAS: Final = {
    "US/Alaska": "America/Anchorage",
    "US/Aleutian": "America/Adak",
    "US/Arizona": "America/Phoenix",
    "US/Central": "America/Chicago",
    "US/East-Indiana": "America/Indiana/Indianapolis",
    "US/Eastern": "America/New_York",
    "US/Hawaii": "Pacific/Honolulu",
    "US/Indiana-Starke": "America/Indiana/Knox",
    "US/Michigan": "America/Detroit",
    "US/Mountain": "America/Denver",
    "US/Pacific": "America/Los_Angeles",
    "US/Samoa": "Pacific/Pago_Pago",
    "Canada/Atlantic": "America/Halifax",
    "Canada/Central": "America/Winnipeg",
    "Canada/Eastern": "America/Toronto",
    "Canada/Mountain": "America/Edmonton",
    "Canada/Newfoundland": "America/St_Johns",
    "Canada/Pacific": "America/Vancouver",
    "Canada/Saskatchewan": "America/Regina",
    "Canada/Yukon": "America/Whitehorse",
    "Mexico/BajaNorte": "America/Tijuana",
    "Mexico/BajaSur": "America/Mazatlan",
    "Mexico/General": "America/Mexico_City",
    "EST5EDT": "America/New_York",
    "CST6CDT": "America/Chicago",
    "MST7MDT": "America/Denver",
    "PST8PDT": "America/Los_Angeles",
}

# The zones of release 2025b of the IANA database, by area. They stand here, and are not read from the machine, so that
# every machine answers the same: one without zone data, too.
_BY_AREA: Final = {
    "": """
        CET CST6CDT Cuba EET EST EST5EDT Egypt Eire GB GB-Eire GMT GMT+0 GMT-0 GMT0 Greenwich HST Hongkong
        Iceland Iran Israel Jamaica Japan Kwajalein Libya MET MST MST7MDT NZ NZ-CHAT Navajo PRC PST8PDT
        Poland Portugal ROC ROK Singapore Turkey UCT UTC Universal W-SU WET Zulu
    """,
    "Africa": """
        Abidjan Accra Addis_Ababa Algiers Asmara Asmera Bamako Bangui Banjul Bissau Blantyre Brazzaville
        Bujumbura Cairo Casablanca Ceuta Conakry Dakar Dar_es_Salaam Djibouti Douala El_Aaiun Freetown
        Gaborone Harare Johannesburg Juba Kampala Khartoum Kigali Kinshasa Lagos Libreville Lome Luanda
        Lubumbashi Lusaka Malabo Maputo Maseru Mbabane Mogadishu Monrovia Nairobi Ndjamena Niamey Nouakchott
        Ouagadougou Porto-Novo Sao_Tome Timbuktu Tripoli Tunis Windhoek
    """,
    "America": """
        Adak Anchorage Anguilla Antigua Araguaina Argentina/Buenos_Aires Argentina/Catamarca
        Argentina/ComodRivadavia Argentina/Cordoba Argentina/Jujuy Argentina/La_Rioja Argentina/Mendoza
        Argentina/Rio_Gallegos Argentina/Salta Argentina/San_Juan Argentina/San_Luis Argentina/Tucuman
        Argentina/Ushuaia Aruba Asuncion Atikokan Atka Bahia Bahia_Banderas Barbados Belem Belize
        Blanc-Sablon Boa_Vista Bogota Boise Buenos_Aires Cambridge_Bay Campo_Grande Cancun Caracas Catamarca
        Cayenne Cayman Chicago Chihuahua Ciudad_Juarez Coral_Harbour Cordoba Costa_Rica Coyhaique Creston
        Cuiaba Curacao Danmarkshavn Dawson Dawson_Creek Denver Detroit Dominica Edmonton Eirunepe
        El_Salvador Ensenada Fort_Nelson Fort_Wayne Fortaleza Glace_Bay Godthab Goose_Bay Grand_Turk Grenada
        Guadeloupe Guatemala Guayaquil Guyana Halifax Havana Hermosillo Indiana/Indianapolis Indiana/Knox
        Indiana/Marengo Indiana/Petersburg Indiana/Tell_City Indiana/Vevay Indiana/Vincennes Indiana/Winamac
        Indianapolis Inuvik Iqaluit Jamaica Jujuy Juneau Kentucky/Louisville Kentucky/Monticello Knox_IN
        Kralendijk La_Paz Lima Los_Angeles Louisville Lower_Princes Maceio Managua Manaus Marigot Martinique
        Matamoros Mazatlan Mendoza Menominee Merida Metlakatla Mexico_City Miquelon Moncton Monterrey
        Montevideo Montreal Montserrat Nassau New_York Nipigon Nome Noronha North_Dakota/Beulah
        North_Dakota/Center North_Dakota/New_Salem Nuuk Ojinaga Panama Pangnirtung Paramaribo Phoenix
        Port-au-Prince Port_of_Spain Porto_Acre Porto_Velho Puerto_Rico Punta_Arenas Rainy_River
        Rankin_Inlet Recife Regina Resolute Rio_Branco Rosario Santa_Isabel Santarem Santiago Santo_Domingo
        Sao_Paulo Scoresbysund Shiprock Sitka St_Barthelemy St_Johns St_Kitts St_Lucia St_Thomas St_Vincent
        Swift_Current Tegucigalpa Thule Thunder_Bay Tijuana Toronto Tortola Vancouver Virgin Whitehorse
        Winnipeg Yakutat Yellowknife
    """,
    "Antarctica": """
        Casey Davis DumontDUrville Macquarie Mawson McMurdo Palmer Rothera South_Pole Syowa Troll Vostok
    """,
    "Arctic": """
        Longyearbyen
    """,
    "Asia": """
        Aden Almaty Amman Anadyr Aqtau Aqtobe Ashgabat Ashkhabad Atyrau Baghdad Bahrain Baku Bangkok Barnaul
        Beirut Bishkek Brunei Calcutta Chita Choibalsan Chongqing Chungking Colombo Dacca Damascus Dhaka
        Dili Dubai Dushanbe Famagusta Gaza Harbin Hebron Ho_Chi_Minh Hong_Kong Hovd Irkutsk Istanbul Jakarta
        Jayapura Jerusalem Kabul Kamchatka Karachi Kashgar Kathmandu Katmandu Khandyga Kolkata Krasnoyarsk
        Kuala_Lumpur Kuching Kuwait Macao Macau Magadan Makassar Manila Muscat Nicosia Novokuznetsk
        Novosibirsk Omsk Oral Phnom_Penh Pontianak Pyongyang Qatar Qostanay Qyzylorda Rangoon Riyadh Saigon
        Sakhalin Samarkand Seoul Shanghai Singapore Srednekolymsk Taipei Tashkent Tbilisi Tehran Tel_Aviv
        Thimbu Thimphu Tokyo Tomsk Ujung_Pandang Ulaanbaatar Ulan_Bator Urumqi Ust-Nera Vientiane
        Vladivostok Yakutsk Yangon Yekaterinburg Yerevan
    """,
    "Atlantic": """
        Azores Bermuda Canary Cape_Verde Faeroe Faroe Jan_Mayen Madeira Reykjavik South_Georgia St_Helena
        Stanley
    """,
    "Australia": """
        ACT Adelaide Brisbane Broken_Hill Canberra Currie Darwin Eucla Hobart LHI Lindeman Lord_Howe
        Melbourne NSW North Perth Queensland South Sydney Tasmania Victoria West Yancowinna
    """,
    "Brazil": """
        Acre DeNoronha East West
    """,
    "Canada": """
        Atlantic Central Eastern Mountain Newfoundland Pacific Saskatchewan Yukon
    """,
    "Chile": """
        Continental EasterIsland
    """,
    "Etc": """
        GMT GMT+0 GMT+1 GMT+10 GMT+11 GMT+12 GMT+2 GMT+3 GMT+4 GMT+5 GMT+6 GMT+7 GMT+8 GMT+9 GMT-0 GMT-1
        GMT-10 GMT-11 GMT-12 GMT-13 GMT-14 GMT-2 GMT-3 GMT-4 GMT-5 GMT-6 GMT-7 GMT-8 GMT-9 GMT0 Greenwich
        UCT UTC Universal Zulu
    """,
    "Europe": """
        Amsterdam Andorra Astrakhan Athens Belfast Belgrade Berlin Bratislava Brussels Bucharest Budapest
        Busingen Chisinau Copenhagen Dublin Gibraltar Guernsey Helsinki Isle_of_Man Istanbul Jersey
        Kaliningrad Kiev Kirov Kyiv Lisbon Ljubljana London Luxembourg Madrid Malta Mariehamn Minsk Monaco
        Moscow Nicosia Oslo Paris Podgorica Prague Riga Rome Samara San_Marino Sarajevo Saratov Simferopol
        Skopje Sofia Stockholm Tallinn Tirane Tiraspol Ulyanovsk Uzhgorod Vaduz Vatican Vienna Vilnius
        Volgograd Warsaw Zagreb Zaporozhye Zurich
    """,
    "Indian": """
        Antananarivo Chagos Christmas Cocos Comoro Kerguelen Mahe Maldives Mauritius Mayotte Reunion
    """,
    "Mexico": """
        BajaNorte BajaSur General
    """,
    "Pacific": """
        Apia Auckland Bougainville Chatham Chuuk Easter Efate Enderbury Fakaofo Fiji Funafuti Galapagos
        Gambier Guadalcanal Guam Honolulu Johnston Kanton Kiritimati Kosrae Kwajalein Majuro Marquesas
        Midway Nauru Niue Norfolk Noumea Pago_Pago Palau Pitcairn Pohnpei Ponape Port_Moresby Rarotonga
        Saipan Samoa Tahiti Tarawa Tongatapu Truk Wake Wallis Yap
    """,
    "US": """
        Alaska Aleutian Arizona Central East-Indiana Eastern Hawaii Indiana-Starke Michigan Mountain Pacific
        Samoa
    """,
}


_NAMES: Final = MappingProxyType(
    {
        **{
            name.casefold(): name
            for area, places in _BY_AREA.items()
            for name in (f"{area}/{place}" if area else place for place in places.split())
        },
        **{name.casefold(): iana for name, iana in (_BY_RAILS_NAME | _BY_ALIAS).items()},
    }
)


_RAILS_NAMES: Final = MappingProxyType({iana: name for name, iana in reversed(_BY_RAILS_NAME.items())})


def to_iana(name: str) -> str | None:
    """The IANA name for an IANA name, an alias such as `US/Mountain` or a Rails name; None for an unknown zone.

    Letter case is ignored.
    """
    return _NAMES.get(" ".join(name.split()).casefold())


def to_rails(name: str) -> str | None:
    """The Rails name of a zone, by whatever name it is stated; None if Rails has none for it."""
    iana = to_iana(name) or ""
    return _RAILS_NAMES.get(_SAME_TIME.get(iana, iana))
