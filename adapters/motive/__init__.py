"""Motive: electronic logging and dispatch, whose drivers are users with the role `driver`."""

from adapters.motive.access import MotiveAccess
from adapters.motive.drivers import MotiveDrivers

__all__ = ["MotiveAccess", "MotiveDrivers"]
