import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian._internal import given_environment, load_env_files, load_target, prepare_import
from granian.errors import TargetError

FILES = {
    'plain_mod_.py': 'app = 1\nother = 2\nclass holder:\n    inner = 3\ndef make(): return 4\n',
    'pkg_a_/__init__.py': 'app = 10\n',
    'pkg_a_/sub/__init__.py': '',
    'pkg_a_/sub/mod.py': 'from .. import app as up\napp = up + 1\n',
    'loose/one_.py': 'import neighbour_\napp = neighbour_.value\n',
    'loose/neighbour_.py': 'value = 7\n',
    'factory_.py': 'application = 20\ndef make(a, b=1): return a, b\n'
    'class Holder:\n    def make(): return 5\n',
    'broken_import_.py': 'import no_such_module_at_all\n',
    'broken_name_.py': 'from pkg_a_ import nope\n',
    'broken_syntax_.py': 'def\n',
    'broken_value_.py': 'raise ValueError("mine")\n',
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    modules, path_before = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path_before
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.parametrize(
    ('target', 'found'),
    [('factory_', 20), ('factory_:make(2)', (2, 1)), ('factory_:make("a:b", b=[1])', ('a:b', [1])),
     ('factory_.py:Holder.make()', 5), ('plain_mod_:make()', 4), ('plain_mod_:app', 1),
     ('plain_mod_', 1), ('plain_mod_:other', 2), ('plain_mod_:holder.inner', 3),
     ('plain_mod_.py:other', 2), ('./plain_mod_.py', 1), ('pkg_a_:app', 10), ('pkg_a_.sub.mod:app', 11),
     ('pkg_a_/sub/mod.py:app', 11), ('pkg_a_/sub/mod:app', 11), ('loose/one_.py:app', 7),
     ('pkg_a_/:app', 10)],
)  # fmt: skip
def test_found(folder: Path, target: str, found: object) -> None:
    assert load_target(target, folder) == found
    assert str(folder.resolve()) in sys.path


def test_absolute_paths_and_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_target(f'{folder}/loose/one_.py:app', Path('/')) == 7
    monkeypatch.chdir(folder)
    assert load_target('plain_mod_:other') == 2


def test_the_working_folder_comes_first(folder: Path) -> None:
    sys.path.insert(0, '/somewhere')
    load_target('plain_mod_', folder)
    assert sys.path[0] == str(folder.resolve())
    load_target('plain_mod_', folder)
    assert sys.path.count(str(folder.resolve())) == 1


def test_factory(folder: Path) -> None:
    assert load_target('plain_mod_:make', folder, factory=True) == 4
    with pytest.raises(TargetError, match=r"'plain_mod_:app' is not callable, it is of type int"):
        load_target('plain_mod_:app', folder, factory=True)


@pytest.mark.parametrize(
    ('target', 'said'),
    [('nope_mod_:app', "no module 'nope_mod_' in '{folder}' and Python's path"),
     ('pkg_a_.nope:app', "no module 'pkg_a_.nope' in 'pkg_a_'"),
     ('nope_mod_.x.y:app', "no module 'nope_mod_'"),
     ('plain_mod_.app', "'plain_mod_'; an attribute stands behind a colon: 'plain_mod_:app'$"),
     ('plain_mod_:make(1)', r"make\(\) takes 0 positional arguments but 1 was given$"),
     ('none.py:app', "there is no file '{folder}/none.py'"),
     ('plain_mod_:nope', "'plain_mod_' has no attribute 'nope'"),
     ('plain_mod_:holder.nope', "'plain_mod_.holder' has no attribute 'nope'"),
     ('pkg_a_.sub', "'pkg_a_.sub' has no attribute 'app'"),
     ('plain_mod_:', 'is not an import string'), (':app', 'is not an import string'),
     ('..x:app', 'is not an import string'), ('a..b:app', "could not load|is not an import string")],
)  # fmt: skip
def test_a_target_that_leads_nowhere_says_what_was_looked_for_and_where(
    folder: Path, target: str, said: str
) -> None:
    with pytest.raises(TargetError, match=said.format(folder=folder.resolve())) as caught:
        load_target(target, folder)
    assert '\n' not in str(caught.value)
    assert target in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'error'),
    [('broken_import_', ModuleNotFoundError), ('broken_name_', ImportError), ('broken_syntax_', SyntaxError),
     ('broken_value_', ValueError)],
)  # fmt: skip
def test_an_error_inside_the_application_is_its_own(folder: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        load_target(f'{name}:app', folder)
    assert type(caught.value) is error
    assert not isinstance(caught.value, TargetError)


def test_prepare_import(folder: Path) -> None:
    assert prepare_import('a.b') == 'a.b'
    assert prepare_import(str(folder / 'pkg_a_/sub/mod.py')) == 'pkg_a_.sub.mod'
    assert sys.path[0] == str(folder.resolve())
    assert prepare_import(str(folder / 'pkg_a_/__init__.py')) == 'pkg_a_'


def test_env_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('GT_A', 'GT_B', 'GT_C'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, 'x')  # so that monkeypatch takes away what is set below
        os.environ.pop(name)
    monkeypatch.setenv('GT_A', 'outside')
    first, second = tmp_path / '1.env', tmp_path / '2.env'
    first.write_text('GT_A=file\nexport GT_B="b ${GT_A}"\nGT_C=1\nGT_NONE\n')
    second.write_text('GT_C=2\n')
    load_env_files([first, second])
    assert (os.environ['GT_A'], os.environ['GT_B'], os.environ['GT_C']) == ('outside', 'b outside', '2')
    second.write_text('GT_C=3\n')
    load_env_files([first, second])
    assert os.environ['GT_C'] == '3'
    given = given_environment()  # for another main process, which reads the files itself
    assert given['GT_A'] == 'outside'
    assert not {'GT_B', 'GT_C'} & given.keys()
