"""What goes over the wire at the Portal. Source: GPS Insight's API Guide for Developers, API v2."""

from starlette.responses import JSONResponse, Response

from services.sandbox.portal.state import ASSUMED, Assumptions, DriverSeed

_FIRST_KEY = 311


class Refused(Exception):
    """A request that the Portal turns down; the message is the one it gives."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def framed(data: object, assumptions: Assumptions = ASSUMED) -> dict[str, object]:
    """A good answer."""
    return {"head": {"status": _status("OK", assumptions)}, "data": data}


def _status(word: str, assumptions: Assumptions) -> str:
    return {"small": word.lower(), "capitalised": word.capitalize()}.get(assumptions.head_status, word)


def refusal(
    status: int,
    message: str,
    headers: dict[str, str] | None = None,
    *,
    http_status: int | None = None,
    assumptions: Assumptions = ASSUMED,
) -> Response:
    """A refusing answer; its HTTP status is the same as its code unless stated."""
    errors = [{"code": status, "message": message}]
    return JSONResponse(
        {"head": {"status": _status("ERROR", assumptions)}, "errors": errors, "data": None},
        http_status or status,
        headers,
    )


def as_listed(driver: DriverSeed, assumptions: Assumptions = ASSUMED) -> dict[str, object]:
    """A driver in the list: here the id is a number unless switched."""
    shown = driver.model_dump(include={"id", "firstname", "lastname", "email", "phone"})
    if assumptions.list_ids == "texts":
        shown["id"] = str(driver.id)
    if assumptions.unset_fields == "left_out":
        return {name: value for name, value in shown.items() if value is not None}
    if assumptions.unset_fields == "empty":
        return {name: "" if value is None else value for name, value in shown.items()}
    return shown


def as_attributes(driver: DriverSeed, assumptions: Assumptions = ASSUMED) -> list[dict[str, object]]:
    """The custom attributes of a driver: here the id is text unless switched."""
    return [
        {
            "attribute_id": number,
            "firstname": driver.firstname,
            "id": driver.id if assumptions.attribute_ids == "numbers" else str(driver.id),
            "input_type": "text",
            "key": key,
            "key_id": number,
            "lastname": driver.lastname,
            "value": None if value == "" and assumptions.empty_attributes == "null" else value,
        }
        for number, (key, value) in enumerate(driver.attributes.items(), _FIRST_KEY)
        if value or assumptions.empty_attributes != "left_out"
    ]
