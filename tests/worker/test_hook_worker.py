"""The object that stands for a worker in hooks."""

import pytest

from granian.worker.hooks import Worker


@pytest.mark.parametrize('value', [0, -3, 3.5, '100'])
def test_request_limit_that_is_no_count_is_refused(value):
    worker = Worker(1, 1)
    with pytest.raises(ValueError, match=r'worker\.max_requests must be a whole number from 1'):
        worker.max_requests = value
    assert worker.max_requests is None


@pytest.mark.parametrize('value', [1, 10**30, None])
def test_request_limit_that_is_a_count_is_kept(value):
    worker = Worker(1, 1)
    worker.max_requests = value
    assert worker.max_requests == value
