"""The CI-sized variant of fuzz.py: the corpus, and random changes of it, two seconds for each target."""

from __future__ import annotations

import pytest
from fuzz import search
from fuzz_targets import TARGETS, seeds


@pytest.mark.parametrize('name', TARGETS)
def test_no_input_is_a_find(name: str) -> None:
    tried, found = search(TARGETS[name], seeds(name), seconds=1.8)
    assert found == []
    assert tried >= len(seeds(name))


@pytest.mark.parametrize('name', TARGETS)
def test_a_broken_reader_is_found(name: str) -> None:
    """Check the search itself: it finds a target that fails on one kind of change."""

    def broken(data: bytes) -> None:
        if len(data) % 7 == 3:
            raise AssertionError('found')

    _, found = search(broken, seeds(name), seconds=0.2)
    assert found
