"""Whether a file can be an export at all, judged by its bytes."""

import codecs
from functools import partial
from typing import BinaryIO

SAVE_AS = "open it in Excel, save it as 'CSV UTF-8' and use that file"

_PIECE = 1 << 16
_BLANK = b"\xef\xbb\xbf \t\r\n"
_SIGNATURES = {
    b"PK\x03\x04": "it is an Excel workbook",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook",
    b"\xff\xfe": "it is UTF-16 text",
    b"\xfe\xff": "it is UTF-16 text",
}


def content_problem(file: BinaryIO) -> str | None:
    """Why these bytes are no export, and what to do; None if nothing speaks against it.

    Reads the whole file, piece by piece: a wrong encoding shall be known before the first row is used.
    """
    start = file.read(_PIECE)
    file.seek(0)
    return _start_problem(start) or _encoding_problem(file)


def _start_problem(start: bytes) -> str | None:
    if not start.strip(_BLANK):
        return "it is empty: export the list of drivers again"
    for signature, finding in _SIGNATURES.items():
        if start.startswith(signature):
            return f"{finding}: {SAVE_AS}"
    # A NUL further down is the trouble of one row.
    if b"\0" in start.partition(b"\n")[0]:
        return "it is not text: give the CSV file that the Portal exports"
    return None


def _encoding_problem(file: BinaryIO) -> str | None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    try:
        for piece in iter(partial(file.read, _PIECE), b""):
            decoder.decode(piece)
            line += piece.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
        return f"line {line} is not UTF-8: {SAVE_AS}"
    return None
