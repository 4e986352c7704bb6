"""Driveri: dash cameras that know their drivers by DriverID.

Source of every fact about the API: driveri-python-sdk 1.0.0.
"""

from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess

__all__ = ["DriveriAccess", "DriveriDrivers"]
