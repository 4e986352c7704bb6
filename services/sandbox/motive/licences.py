"""The forms in which Motive may show, or take, the state of a licence. Source of codes and names: ISO 3166-2:US."""

from typing import Final

from services.sandbox.motive.company import LicenseStates

_NAMES: Final = (
    "AL Alabama,AK Alaska,AZ Arizona,AR Arkansas,CA California,CO Colorado,CT Connecticut,DE Delaware,FL Florida,"
    "GA Georgia,HI Hawaii,ID Idaho,IL Illinois,IN Indiana,IA Iowa,KS Kansas,KY Kentucky,LA Louisiana,ME Maine,"
    "MD Maryland,MA Massachusetts,MI Michigan,MN Minnesota,MS Mississippi,MO Missouri,MT Montana,NE Nebraska,"
    "NV Nevada,NH New Hampshire,NJ New Jersey,NM New Mexico,NY New York,NC North Carolina,ND North Dakota,OH Ohio,"
    "OK Oklahoma,OR Oregon,PA Pennsylvania,RI Rhode Island,SC South Carolina,SD South Dakota,TN Tennessee,TX Texas,"
    "UT Utah,VT Vermont,VA Virginia,WA Washington,WV West Virginia,WI Wisconsin,WY Wyoming"
)
NAMES: Final = {code: name for code, _, name in (each.partition(" ") for each in _NAMES.split(","))}
"""The names of the states, by their codes."""

_CODES: Final = {name.lower(): code for code, name in NAMES.items()}


def shown(state: str, form: LicenseStates) -> str:
    """The state as it is shown; one that is not of the United States as it was written."""
    code = _code(state)
    if form == "lower_case":
        return state.lower()
    if code not in NAMES:
        return state
    return {"codes": code, "names": NAMES[code], "with_country": f"US-{code}"}.get(form, state)


def is_taken(state: str, form: LicenseStates) -> bool:
    """Whether a write may state it so."""
    return form != "codes_only" or state in NAMES


def _code(state: str) -> str:
    return _CODES.get(state.lower()) or state.upper().removeprefix("US-")
