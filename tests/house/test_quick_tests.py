"""The tests on bytes and fakes stay quick: under three seconds of processor time for all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_ITEMS = 1200
"""Each item takes pytest a millisecond: a table is one item (`tests/support/rows.py`)."""
SLOW_TO_IMPORT = {
    'aiohttp', 'anyio', 'channels', 'django', 'emmett', 'faker', 'fastapi', 'flask', 'gevent', 'gunicorn',
    'httpx', 'litestar', 'numpy', 'pydantic', 'quart', 'requests', 'sqlalchemy', 'starlette', 'uvicorn',
    'werkzeug',
}  # fmt: skip
COLLECT = """
import sys, pytest
class Count:
    def pytest_collection_finish(self, session):
        print('counted', len(session.items), *sorted({name.partition('.')[0] for name in sys.modules}))
sys.exit(pytest.main(['--collect-only', '-qq', 'tests/protocol', 'tests/adapters'], plugins=[Count()]))
"""


def test_quick_tests_are_few_and_import_no_framework():
    run = subprocess.run([sys.executable, '-c', COLLECT], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (line,) = [line for line in run.stdout.splitlines() if line.startswith('counted ')]
    _, count, *modules = line.split()
    assert int(count) <= MOST_ITEMS
    assert not SLOW_TO_IMPORT & set(modules)
