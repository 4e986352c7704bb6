"""Whom and what a command names."""

from collections.abc import Sequence

from domain.identity import PORTAL, Connectable, PortalDriverId, Target
from services.asking.finding import Candidate, find_drivers
from services.control.messages import Malformed
from services.intake.handlers import UnknownDriver
from services.runtime.readers import Readers


async def driver_named(readers: Readers, account: str, text: str) -> PortalDriverId:
    """The driver that a person means by a portal driver id, RefID or DriverID. Raises `UnknownDriver`, `Malformed`."""
    return only_one(await readers.call(find_drivers, readers.decider, account, text), account, text)


def only_one(found: Sequence[Candidate], account: str, text: str) -> PortalDriverId:
    """The driver, where this text can mean but one. Raises `UnknownDriver`, `Malformed`."""
    if not found:
        raise UnknownDriver(f"there is no driver {text} in account {account}")
    if len(found) > 1:
        drivers = ", ".join(each.driver for each in found)
        raise Malformed(f"{text} may be any of these, ask again with the Portal's id: {drivers}")
    return PortalDriverId(found[0].driver)


def target_named(text: str) -> Target:
    """The target of this name. Raises `Malformed`."""
    if text not in list(Target):
        raise Malformed(f"there is no target {text!r}; there are: {', '.join(Target)}")
    return Target(text)


def place_named(text: str) -> Connectable:
    """The target of this name, or the Portal. Raises `Malformed`."""
    return PORTAL if text == PORTAL else target_named(text)


def number_named(name: str, text: str, most: int) -> int:
    """A number from 1 on. Raises `Malformed`."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise Malformed(f"{name} is a number from 1 to {most}, not {text!r}")
    return int(text)
