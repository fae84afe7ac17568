"""A table as one test (`tests/support/rows.py`): no row is left out, and a failure names its rows."""

from __future__ import annotations

import inspect

import pytest

from tests.support.rows import rows


def test_every_row_runs_after_a_failure_and_failures_are_named():
    seen = []

    @rows('number', [1, pytest.param(2, id='S-X-02'), 3, 4])
    def even(number):
        seen.append(number)
        assert number % 2 == 1, f'{number} is even'

    with pytest.raises(AssertionError) as caught:
        even()
    assert seen == [1, 2, 3, 4]
    first, *lines = str(caught.value).splitlines()
    assert first.startswith('S-X-02, ...: 2 of 4 rows failed')
    assert [line.strip().partition(' is even')[0] for line in lines] == [
        'S-X-02: AssertionError: 2',
        '4: AssertionError: 4',
    ]
    assert '2 is even' in str(caught.value.__cause__)


def test_expected_error_that_is_not_raised_fails_its_row():
    @rows('text', ['x', '1'])
    def refused(text):
        with pytest.raises(ValueError, match='invalid'):
            int(text)

    with pytest.raises(AssertionError, match=r"'1': 1 of 2 rows failed.*\n  '1': Failed: DID NOT RAISE"):
        refused()


def test_row_that_is_skipped_fails():
    @rows('number', [1, 2])
    def skipped(number):
        if number == 1:
            pytest.skip('no')

    with pytest.raises(AssertionError, match='1 of 2 rows failed'):
        skipped()


def test_two_tables_give_each_combination_and_fixtures_are_passed():
    seen = []

    @rows('a', [1, 2], ids=['one', 'two'])
    @rows(('b', 'c'), [(3, 4), (5, 6)], ids=lambda value: f'<{value}>')
    def combined(a, fixture, b, c):
        seen.append((a, b, c, fixture))
        assert a == 1

    assert list(inspect.signature(combined).parameters) == ['fixture']
    with pytest.raises(AssertionError, match=r'\n  <3>-<4>-two: .*\n  <5>-<6>-two: '):
        combined(fixture='f')
    assert sorted(seen) == [(a, b, c, 'f') for a in (1, 2) for b, c in ((3, 4), (5, 6))]


def test_table_without_rows_is_refused():
    with pytest.raises(AssertionError, match='without rows'):
        rows('a', [])(lambda a: None)


def test_asynchronous_test_is_refused():
    async def test(a):
        raise AssertionError

    with pytest.raises(AssertionError, match='asynchronous'):
        rows('a', [1])(test)


def test_marks_of_a_row_are_refused():
    with pytest.raises(AssertionError, match='marks'):
        rows('a', [pytest.param(1, marks=pytest.mark.xfail)])(lambda a: None)
