"""The adapters that commands use themselves."""

from adapters.portal.export import ExportRow, RefusedRow, UnreadableExport, read_export

__all__ = ["ExportRow", "RefusedRow", "UnreadableExport", "read_export"]
