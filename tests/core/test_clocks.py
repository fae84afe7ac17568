"""The server's clocks are out of reach of the application."""

from __future__ import annotations

import subprocess
import sys
import time

from granian import clocks
from granian._loops import loops

FROZEN = """
import importlib, pkgutil, sys, time
import granian
for module in pkgutil.walk_packages(granian.__path__, 'granian.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)
clocks = {id(time.time), id(time.monotonic)}
found = {
    f'{name}.{attribute}' for name, module in sys.modules.items() if name.startswith('granian')
    for attribute, value in vars(module).items() if id(value) in clocks
}
print(sorted(found))
"""

REPLACED = """
import sys, time, types
other = types.ModuleType('time')
vars(other).update({**vars(time), 'time': lambda: 0, 'monotonic': lambda: 0, '__spec__': None})
sys.modules['time'] = other
from granian import clocks
print(clocks.time() > 0, clocks.monotonic() > 0)
"""


def test_clocks_show_the_time_of_the_system() -> None:
    before = time.monotonic(), time.time()
    ours = clocks.monotonic(), clocks.time()
    after = time.monotonic(), time.time()
    assert before <= ours
    assert all(our <= later for our, later in zip(ours, after, strict=True))


def test_no_module_has_a_clock_that_freezegun_finds() -> None:
    found = subprocess.run([sys.executable, '-c', FROZEN], capture_output=True, text=True, check=True)
    assert found.stdout == '[]\n', found.stderr


def test_program_that_replaces_time_before_the_import() -> None:
    found = subprocess.run([sys.executable, '-c', REPLACED], capture_output=True, text=True, check=False)
    assert found.stdout == 'True True\n', found.stderr


def test_asyncio_loop_goes_on_when_the_clock_is_broken(monkeypatch) -> None:
    loop = loops.get('asyncio')
    monkeypatch.setattr(time, 'monotonic', None)
    try:
        assert loop.time() > 0
    finally:
        loop.close()
