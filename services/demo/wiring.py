"""The adapter that the demonstration uses itself."""

from adapters.portal.export import ExportRow, read_export

__all__ = ["ExportRow", "read_export"]
