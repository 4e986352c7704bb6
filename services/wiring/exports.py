"""The Portal's export as commands read it: by the only adapter that they use themselves."""

from adapters.portal.csv_export import ExportRow, RefusedRow, read_export

__all__ = ["ExportRow", "RefusedRow", "read_export"]
