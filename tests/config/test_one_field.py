"""An option needs one field: a copy of the package with one more line has it everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import granian

FIELDS = (
    "    http2_added: int = opt(g.HTTP2, 'int', 7, 'Added for the test', ge=1, "
    "setting=('http2_settings', 'added'), to='limits.added')\n"
    "    added_timeout: int = opt(g.PROTO, 'duration', 3, 'Added for the test', to='core.added_timeout')\n"
)
SCRIPT = """
from granian.config import Config
from granian.http import HTTP2Settings
from granian.worker import kinds
config = Config.from_api('m:app', interface='wsgi', http2_settings=HTTP2Settings(added=9), added_timeout=4)
found = kinds.settings(config)
print(config.http2_added, found.limits.added, found.added_timeout)
"""


@pytest.fixture(scope='module')
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('copy')
    package = folder / 'granian'
    shutil.copytree(Path(granian.__file__).parent, package, ignore=shutil.ignore_patterns('__pycache__'))
    _insert(package / 'config/declaration.py', '    log_config: Path | None = opt(', FIELDS)
    _insert(_home(package, 'Limits'), '    max_headers: int', '    added: int = 0\n')
    _insert(_home(package, 'CoreSettings'), '    body_timeout: float', '    added_timeout: float = 0\n')
    return folder


def _home(package: Path, name: str) -> Path:
    return next(file for file in package.rglob('*.py') if f'\nclass {name}:' in file.read_text())


def _insert(file: Path, place: str, text: str) -> None:
    source = file.read_text()
    assert source.count(place) == 1
    file.write_text(source.replace(place, text + place))


def run(folder: Path, *args: str) -> str:
    env = {**os.environ, 'PYTHONPATH': str(folder)}
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=env, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_added_field_is_on_the_command_line(copy: Path) -> None:
    text = run(copy, '-m', 'granian', '--help')
    assert '--http2-added' in text
    assert '--added-timeout' in text


def test_added_field_reaches_the_core(copy: Path) -> None:
    assert run(copy, '-c', SCRIPT).split() == ['9', '9', '4']


def test_added_field_is_taken_from_the_command_line(copy: Path) -> None:
    (copy / 'empty.py').write_text('def app(environ, start_response): ...\n')
    code = (
        'from granian import cli\n'
        'class Fake:\n'
        '    def __init__(self, target, **options):\n'
        '        print(options["http2_settings"].added, options["added_timeout"])\n'
        '    def serve(self): pass\n'
        'cli.Server = Fake\n'
        'cli.cli(["empty:app", "--http2-added", "8", "--added-timeout", "5"], standalone_mode=False)\n'
    )
    assert run(copy, '-c', code).split() == ['8', '5']
