"""Time zones and the states that issue licences, in every spelling that people and targets use.

A code of a state is that of ISO 3166-2, in any letter case, with its country or without it: `CO`, `us_co`, `US-CO`,
`Colorado` and `US Colorado` are one state. The states, provinces and territories of the United States, Canada and
Mexico are also known by their names; their codes differ from one country to another.
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
