"""The state that issued a licence: `CO`, `us_co`, `US-CO`, `Colorado` and `US Colorado` are one state.

A code is that of ISO 3166-2, in any letter case, with its country or without it. The states, provinces and territories
of the United States, Canada and Mexico are also known by their names; their codes differ from one country to another.
"""

import re
import unicodedata
from functools import lru_cache
from types import MappingProxyType
from typing import Final

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


def _by_name() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for country, rows in _CODES.items():
        for row in " ".join(rows.split()).split("|"):
            code, _, name = row.strip().partition(" ")
            found[name] = country, code
    return found


_BY_NAME: Final = MappingProxyType(_by_name())
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


def state_mark(text: str) -> str:
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
    words = _words(text)
    if words in _BY_NAME:
        return _BY_NAME[words]
    found = _COUNTRY.fullmatch(words)
    if found is None:
        return "", words
    country, state = _COUNTRIES.get(found[1], found[1]), found[2]
    if _CODE.fullmatch(state):
        return country, state
    return _BY_NAME[state] if _BY_NAME.get(state, ("",))[0] == country else ("", words)


def _words(text: str) -> str:
    """The text in small letters without accents and points, its words parted by one blank."""
    bare = "".join(each for each in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(each))
    return _SEPARATORS.sub(" ", bare.replace(".", "")).strip()
