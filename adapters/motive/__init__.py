"""Motive: electronic logging and dispatch, whose drivers are users with the role `driver`."""

from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess, MotiveGrant

__all__ = ["MotiveAccess", "MotiveDrivers", "MotiveGrant"]
