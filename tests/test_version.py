import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import granian

METADATA = (Path(__file__).parent.parent / 'pyproject.toml').read_text()
IMPORT_ALL = """
import importlib, pkgutil, granian
for module in pkgutil.walk_packages(granian.__path__, 'granian.'):
    if not module.name.endswith('__main__'):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # a library that this interpreter has not
            assert not error.name.startswith('granian'), error
"""


def test_version_is_the_packages() -> None:
    assert re.search(r'^version = "(.*)"$', METADATA, re.MULTILINE)[1] == granian.__version__


def test_the_oldest_python_can_import_it() -> None:
    """Neither ruff nor mypy sees what a class of the standard library cannot do there yet."""
    version = re.search(r'^requires-python = ">=(.*)"$', METADATA, re.MULTILINE)[1]
    python = shutil.which(f'python{version}')
    env = {**os.environ, 'PYENV_VERSION': version}  # pyenv's commands run what is asked for, or nothing
    if python is None or subprocess.run([python, '--version'], env=env, capture_output=True).returncode:
        pytest.skip(f'Python {version} is not here')
    root = Path(granian.__file__).parent.parent
    done = subprocess.run([python, '-c', IMPORT_ALL], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
