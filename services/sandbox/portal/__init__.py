"""A stand-in for the Portal's API v2 over real HTTP."""

from services.sandbox.portal.app import application

__all__ = ["application"]
