"""Threads that compute results before they are needed."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = [
    "In",
    "Out",
    "ahead",
    "tried",
]


In = TypeVar("In")
Out = TypeVar("Out")


def ahead(
    function: Callable[[In], Out], items: Iterable[In], threads: int, limit: int
) -> Iterator[Out]:
    """The results of a function for each item, in order, computed in threads.

    Args:
      function: called in the threads; what it raises is raised in the place of its result.
      items: drawn in the caller's thread.
      threads: how many.
      limit: how many results may be waiting or in the making.
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


def tried(function: Callable[[In], Out]) -> Callable[[In], Out | Exception]:
    """The function, which returns what it would raise: one bad item does not end all the others."""

    def call(item: In) -> Out | Exception:
        try:
            return function(item)
        except Exception as error:
            return error

    return call
