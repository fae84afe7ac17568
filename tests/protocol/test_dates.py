"""Dates against the standard library's."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from granian.dates import http_date
from tests.support.rows import rows


@given(st.integers(0, 253402300799))
def test_date_is_the_standard_librarys(seconds: int) -> None:
    assert http_date(seconds) == formatdate(seconds, usegmt=True)


@rows(
    ('seconds', 'text'),
    [(0.9, 'Thu, 01 Jan 1970 00:00:00 GMT'), (1e9, 'Sun, 09 Sep 2001 01:46:40 GMT')],
)
def test_fraction_of_a_second_is_dropped(seconds: float, text: str) -> None:
    assert http_date(seconds) == text
