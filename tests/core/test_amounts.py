"""Prices and sizes become integers of a millionth exactly, or not at all."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.books.amounts import INT32_MAX, Inexact, micros, shortest, three_decimals


@given(st.integers(0, 10**18))
def test_every_number_of_micros_is_spelled_and_read_back(value: int):
    assert value == micros(shortest(value))


@given(st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,9})?", fullmatch=True))
def test_a_text_is_its_exact_value_or_refused(text: str):
    exact = Decimal(text) * 1_000_000
    try:
        found = micros(text)
    except Inexact as error:
        assert "inexact" == error.reason
        assert exact != exact.to_integral_value()
    else:
        assert found == exact


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "bad_number"),
        ("-1", "bad_number"),
        ("1e3", "bad_number"),
        (".5", "bad_number"),
        ("5.", "bad_number"),
        ("NaN", "bad_number"),
        ("１", "bad_number"),
        ("0.0000001", "inexact"),
        ("9223372036854.775808", "inexact"),
    ],
)
def test_what_is_no_exact_number_is_refused_by_name(text: str, reason: str):
    with pytest.raises(Inexact) as caught:
        micros(text)

    assert reason == caught.value.reason


def test_what_a_column_cannot_hold_is_refused():
    assert INT32_MAX == micros("2147.483647", INT32_MAX)
    with pytest.raises(Inexact):
        micros("2147.483648", INT32_MAX)


def test_the_last_trade_has_three_decimals_or_none():
    assert ("0.480", "1.000", "") == (
        three_decimals(480_000),
        three_decimals(1_000_000),
        three_decimals(None),
    )
