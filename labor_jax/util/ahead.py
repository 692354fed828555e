"""Work done by threads ahead of the one who needs it."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = [
    "In",
    "Out",
    "ahead",
]


In = TypeVar("In")
Out = TypeVar("Out")


def ahead(
    function: Callable[[In], Out], items: Iterable[In], threads: int, limit: int
) -> Iterator[Out]:
    """`function` of each item, in order, up to `limit` of them ahead of what is taken.

    Items are drawn by the caller's thread. An exception comes where its result would have come.
    """
    waiting: collections.deque[concurrent.futures.Future[Out]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= limit:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
