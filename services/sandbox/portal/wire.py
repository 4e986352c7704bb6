"""What goes over the wire at the Portal. Source: GPS Insight's API Guide for Developers, API v2."""

from starlette.responses import JSONResponse, Response

from services.sandbox.portal.seed import DriverSeed

_FIRST_KEY = 311


class Refused(Exception):
    """A request that the Portal turns down; the message is the one it gives."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def framed(data: object) -> dict[str, object]:
    """A good answer."""
    return {"head": {"status": "OK"}, "data": data}


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """A refusing answer."""
    errors = [{"code": status, "message": message}]
    return JSONResponse({"head": {"status": "ERROR"}, "errors": errors, "data": None}, status, headers)


def as_listed(driver: DriverSeed) -> dict[str, object]:
    """A driver in the list: here the id is a number."""
    return driver.model_dump(include={"id", "firstname", "lastname", "email", "phone"})


def as_attributes(driver: DriverSeed) -> list[dict[str, object]]:
    """The custom attributes of a driver: here the id is text."""
    return [
        {
            "attribute_id": number,
            "firstname": driver.firstname,
            "id": str(driver.id),
            "input_type": "text",
            "key": key,
            "key_id": number,
            "lastname": driver.lastname,
            "value": value,
        }
        for number, (key, value) in enumerate(driver.attributes.items(), _FIRST_KEY)
    ]
