"""Between IANA's names of time zones and those of Rails, which Motive speaks.

Source of the Rails names: ActiveSupport::TimeZone. A North American zone that Rails has no name for goes by the name of
the zone that keeps the same time, and is therefore shown as that one.
"""

from types import MappingProxyType
from typing import Final

_PAIRS: Final = (
    ("America/New_York", "Eastern Time (US & Canada)"),
    ("America/Indiana/Indianapolis", "Indiana (East)"),
    ("America/Chicago", "Central Time (US & Canada)"),
    ("America/Regina", "Saskatchewan"),
    ("America/Denver", "Mountain Time (US & Canada)"),
    ("America/Phoenix", "Arizona"),
    ("America/Los_Angeles", "Pacific Time (US & Canada)"),
    ("America/Anchorage", "Alaska"),
    ("Pacific/Honolulu", "Hawaii"),
    ("Pacific/Pago_Pago", "American Samoa"),
    ("Pacific/Guam", "Guam"),
    ("America/Halifax", "Atlantic Time (Canada)"),
    ("America/St_Johns", "Newfoundland"),
    ("America/Puerto_Rico", "Puerto Rico"),
    ("America/Mexico_City", "Mexico City"),
    ("America/Monterrey", "Monterrey"),
    ("America/Chihuahua", "Chihuahua"),
    ("America/Mazatlan", "Mazatlan"),
    ("America/Tijuana", "Tijuana"),
    ("America/Guatemala", "Central America"),
    ("America/Bogota", "Bogota"),
    ("America/Lima", "Lima"),
    ("America/Caracas", "Caracas"),
    ("America/La_Paz", "La Paz"),
    ("America/Santiago", "Santiago"),
    ("America/Sao_Paulo", "Brasilia"),
    ("America/Argentina/Buenos_Aires", "Buenos Aires"),
    ("America/Montevideo", "Montevideo"),
    ("America/Guyana", "Georgetown"),
    ("Etc/UTC", "UTC"),
    ("Europe/London", "London"),
    ("Europe/Dublin", "Dublin"),
    ("Europe/Lisbon", "Lisbon"),
    ("Europe/Madrid", "Madrid"),
    ("Europe/Paris", "Paris"),
    ("Europe/Brussels", "Brussels"),
    ("Europe/Amsterdam", "Amsterdam"),
    ("Europe/Berlin", "Berlin"),
    ("Europe/Rome", "Rome"),
    ("Europe/Vienna", "Vienna"),
    ("Europe/Prague", "Prague"),
    ("Europe/Warsaw", "Warsaw"),
    ("Europe/Budapest", "Budapest"),
    ("Europe/Copenhagen", "Copenhagen"),
    ("Europe/Stockholm", "Stockholm"),
    ("Europe/Athens", "Athens"),
    ("Europe/Bucharest", "Bucharest"),
    ("Europe/Helsinki", "Helsinki"),
    ("Europe/Istanbul", "Istanbul"),
    ("Africa/Johannesburg", "Pretoria"),
    ("Asia/Dubai", "Abu Dhabi"),
    ("Asia/Karachi", "Karachi"),
    ("Asia/Kolkata", "New Delhi"),
    ("Asia/Singapore", "Singapore"),
    ("Asia/Hong_Kong", "Hong Kong"),
    ("Asia/Tokyo", "Tokyo"),
    ("Asia/Seoul", "Seoul"),
    ("Australia/Perth", "Perth"),
    ("Australia/Adelaide", "Adelaide"),
    ("Australia/Brisbane", "Brisbane"),
    ("Australia/Sydney", "Sydney"),
    ("Australia/Melbourne", "Melbourne"),
    ("Pacific/Auckland", "Auckland"),
)

_SAME_TIME: Final = (
    ("America/Toronto", "America/New_York"),
    ("America/Montreal", "America/New_York"),
    ("America/Detroit", "America/New_York"),
    ("America/Kentucky/Louisville", "America/New_York"),
    ("US/Eastern", "America/New_York"),
    ("America/Winnipeg", "America/Chicago"),
    ("America/Menominee", "America/Chicago"),
    ("America/Indiana/Knox", "America/Chicago"),
    ("America/North_Dakota/Center", "America/Chicago"),
    ("US/Central", "America/Chicago"),
    ("America/Edmonton", "America/Denver"),
    ("America/Boise", "America/Denver"),
    ("US/Mountain", "America/Denver"),
    ("US/Arizona", "America/Phoenix"),
    ("America/Vancouver", "America/Los_Angeles"),
    ("US/Pacific", "America/Los_Angeles"),
    ("America/Juneau", "America/Anchorage"),
    ("US/Alaska", "America/Anchorage"),
    ("US/Hawaii", "Pacific/Honolulu"),
    ("America/Moncton", "America/Halifax"),
    ("UTC", "Etc/UTC"),
)

_RAILS: Final = MappingProxyType(dict(_PAIRS))
_IANA: Final = MappingProxyType(
    {rails: iana for iana, rails in _PAIRS}
    | {
        "Guadalajara": "America/Mexico_City",
        "Quito": "America/Lima",
        "Edinburgh": "Europe/London",
        "Muscat": "Asia/Dubai",
        "Mumbai": "Asia/Kolkata",
        "Wellington": "Pacific/Auckland",
    }
)
_NAMED: Final = MappingProxyType(dict(_SAME_TIME))


def to_rails(iana: str) -> str | None:
    """The Rails name of an IANA zone; None if there is none for it."""
    return _RAILS.get(_NAMED.get(iana, iana))


def to_iana(rails: str) -> str:
    """The IANA name of a Rails zone; the same text if it has no counterpart here."""
    return _IANA.get(rails, rails)
