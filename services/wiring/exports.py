"""The adapters that commands use themselves.

The adapter that the demonstration uses itself.
"""

from adapters.portal.csv_export import ExportRow, RefusedRow, UnreadableExport, read_export

__all__ = ["ExportRow", "RefusedRow", "UnreadableExport", "read_export"]
