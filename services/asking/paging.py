"""Tables read page by page, so that no question loads a whole fleet."""

from collections.abc import Iterator
from typing import TypeVar

from domain.storing import Row, Store, Value, Where

_PAGE = 500

R = TypeVar("R", bound=Row)


def pages(store: Store, row: type[R], where: Where, order_by: str) -> Iterator[list[R]]:
    """The rows that match, in pages; the column in `order_by` tells them apart. Raises `StoreFailed`."""
    after: Value | None = None
    while page := store.select(row, where, order_by=order_by, after=after, limit=_PAGE):
        yield page
        after = getattr(page[-1], order_by)
