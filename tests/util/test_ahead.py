"""Threads that work ahead."""

import threading

import pytest
from support.waiting import PATIENCE

from labor_jax.util.ahead import ahead


def test_results_come_in_order_and_items_are_drawn_by_the_caller_and_no_further_than_allowed():
    drawn, caller = [], threading.current_thread()

    def items():
        for number in range(20):
            assert threading.current_thread() is caller
            drawn.append(number)
            yield number

    squares = ahead(lambda x: x * x, items(), threads=3, limit=4)
    for number in range(20):
        assert next(squares) == number * number
        assert len(drawn) <= number + 4
    assert next(squares, None) is None


def test_several_are_at_work_at_once():
    meeting = threading.Barrier(3, timeout=PATIENCE)
    assert list(ahead(lambda x: meeting.wait() >= 0 and x, range(3), 3, 3)) == [0, 1, 2]


def test_an_error_comes_where_its_result_would_have_come():
    squares = ahead(lambda x: 1 // (x - 2), range(5), threads=2, limit=4)
    assert [next(squares), next(squares)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(squares)
