"""Motive: electronic logging and dispatch, whose drivers are users with the role `driver`."""

from adapters.motive.access import MotiveAccess, MotiveGrant
from adapters.motive.drivers import MotiveDrivers

__all__ = ["MotiveAccess", "MotiveDrivers", "MotiveGrant"]
