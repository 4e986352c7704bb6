"""A stand-in for the Motive API over real HTTP."""

from services.sandbox.motive.app import application

__all__ = ["application"]
