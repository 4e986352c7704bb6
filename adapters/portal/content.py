"""Whether a file can be an export at all, judged by its bytes, and how its text is encoded."""

import codecs
from functools import partial
from typing import BinaryIO, Final

SAVE_AS = "open it in Excel, save it as 'CSV UTF-8' and use that file"

_PIECE = 1 << 16
_BLANK = " \t\r\n\ufeff"
_SIGNATURES = {
    b"PK\x03\x04": "it is an Excel workbook",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook",
    b"\xff\xfe\0\0": "it is UTF-32 text",
    b"\0\0\xfe\xff": "it is UTF-32 text",
}
_UTF_8: Final = "utf-8-sig"
_UTF_16: Final = "utf-16"
_NAMES: Final = {_UTF_8: "UTF-8", _UTF_16: "UTF-16"}


def encoding_of(file: BinaryIO) -> str:
    """How the text is encoded: UTF-16, which Excel calls Unicode text, by its byte-order mark, else UTF-8."""
    start = file.read(len(codecs.BOM_UTF16))
    file.seek(0)
    return _UTF_16 if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else _UTF_8


def content_problem(file: BinaryIO) -> str | None:
    """Why these bytes are no export, and what to do; None if nothing speaks against it.

    Reads the whole file, piece by piece: a wrong encoding shall be known before the first row is used.
    """
    start = file.read(_PIECE)
    file.seek(0)
    return _signature_problem(start) or _text_problem(file, encoding_of(file))


def _signature_problem(start: bytes) -> str | None:
    found = next((finding for signature, finding in _SIGNATURES.items() if start.startswith(signature)), None)
    return f"{found}: {SAVE_AS}" if found else None


def _text_problem(file: BinaryIO, encoding: str) -> str | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    line, start = 1, ""
    try:
        for piece in iter(partial(file.read, _PIECE), b""):
            text = decoder.decode(piece)
            line += text.count("\n")
            start = start or text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if not start:
            start = error.object[: error.start].decode(encoding, "replace")
        line += error.object[: error.start].decode(encoding, "replace").count("\n")
        return _start_problem(start, is_whole=False) or f"line {line} is not {_NAMES[encoding]}: {SAVE_AS}"
    return _start_problem(start, is_whole=True)


def _start_problem(start: str, *, is_whole: bool) -> str | None:
    if is_whole and not start.strip(_BLANK):
        return "it is empty: export the list of drivers again"
    # A NUL further down is the trouble of one row.
    if "\0" in start.partition("\n")[0]:
        return "it is not text: give the CSV file that the Portal exports"
    return None
