"""The files that a worker names for --reload by polling."""

from __future__ import annotations

from pathlib import Path

import pytest

from granian.worker.sources import of_traceback


@pytest.mark.timeout(10)
@pytest.mark.parametrize('length', [1, 2, 3])
def test_files_of_a_circular_chain_are_named(tmp_path: Path, length: int) -> None:
    paths = [str(tmp_path / f'{number}.py') for number in range(length)]
    chain: list[ValueError] = []
    for path in paths:
        with pytest.raises(ValueError, match='here') as caught:
            exec(compile('raise ValueError("here")', path, 'exec'))
        chain.append(caught.value)
    for error, cause in zip(chain, chain[1:] + chain[:1], strict=True):
        error.__cause__ = cause
    assert set(paths) <= of_traceback(chain[0])
