"""A stand-in for the Driveri API over real HTTP."""

from services.sandbox.driveri.app import application

__all__ = ["application"]
