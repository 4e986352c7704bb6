"""Driveri: dash cameras that know their drivers by DriverID.

Source of every fact about the API: driveri-python-sdk 1.0.0.
"""

from adapters.driveri.access import DriveriAccess
from adapters.driveri.drivers import DriveriDrivers

__all__ = ["DriveriAccess", "DriveriDrivers"]
