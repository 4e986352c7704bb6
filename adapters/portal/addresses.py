"""What a log may show of an address: the Portal takes sessions and tokens in it."""

import logging

import httpx


class WithoutQuery(logging.Filter):
    """Cuts every address in a log line off before its query."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the line through, with shorter addresses."""
        if isinstance(record.args, tuple):
            record.args = tuple(_shortened(each) for each in record.args)
        return True


def _shortened(value: object) -> object:
    return value.copy_with(query=None) if isinstance(value, httpx.URL) else value
