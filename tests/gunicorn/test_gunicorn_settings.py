"""The table of settings beside gunicorn's own: names, flags, defaults, and what each value becomes."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from gunicorn.config import Config as Theirs

from granian import Granian
from granian.config import OPTIONS
from granian.gunicorn.cfg import Cfg
from granian.gunicorn.flags import parser
from granian.gunicorn.settings import HOOKS, NATIVE, TABLE

# Told apart on purpose: gunicorn takes the user's home folder, the others are this process's.
OTHER_DEFAULTS = {'chdir', 'user', 'group', 'control_socket'}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('PORT', 'WEB_CONCURRENCY', 'FORWARDED_ALLOW_IPS', 'GUNICORN_CMD_ARGS'):
        monkeypatch.delenv(name, raising=False)


def test_names_are_those_of_gunicorn() -> None:
    assert set(TABLE) == set(Theirs().settings)


@pytest.mark.parametrize('name', [name for name, each in TABLE.items() if each.section != HOOKS])
def test_flags_and_default_are_those_of_gunicorn(name: str) -> None:
    theirs = Theirs().settings[name]
    assert TABLE[name].flags == tuple(theirs.cli or ())
    if name not in OTHER_DEFAULTS:
        assert TABLE[name].default == theirs.default


def test_help_writes_flags_and_defaults_as_they_are_given() -> None:
    text = ' '.join(parser().format_help().split())
    assert 'natively --no-sendfile' in text
    assert '--bind [127.0.0.1:8000]' in text
    assert '[0600]' in text
    assert re.findall(r'--[a-z-]*- ', text) == []  # no name is broken at a dash


@pytest.mark.parametrize('name', [name for name, each in TABLE.items() if each.section == HOOKS])
def test_hook_has_the_arity_of_gunicorn(name: str) -> None:
    def two(first: Any, second: Any) -> None: ...

    theirs, ours = Theirs(), Cfg()
    assert _outcome(theirs, name, two)[0] == _outcome(ours, name, two)[0]


def test_native_fields_exist() -> None:
    named = {each.native for each in TABLE.values() if each.native and each.section != HOOKS}
    assert named <= set(OPTIONS)
    assert all(
        hasattr(Granian, each.native) for each in TABLE.values() if each.section == HOOKS and each.native
    )
    assert all(each.native for each in TABLE.values() if each.effect == NATIVE)


VALUES: list[Any] = [None, '', ' 5 ', '0x10', 'true', 'False', 5, -1, True, [], ['a', 'b'], ('a',), {}, {'a': 'b'}, 'h2,h1', '*',
                     '10.0.0.0/8, ::1', '10.0.0.1/8', 'auto', 'drop', 'v1', 1.5]  # fmt: skip


@pytest.mark.parametrize('name', sorted(name for name, each in TABLE.items() if each.section != HOOKS))
def test_values_become_what_they_become_in_gunicorn(name: str) -> None:
    different = []
    for value in VALUES:
        theirs, ours = _outcome(Theirs(), name, value), _outcome(Cfg(), name, value)
        if theirs != ours:
            different.append((value, theirs, ours))
    assert different == [entry for entry in different if _deliberate(name, *entry)]


def _deliberate(name: str, value: Any, theirs: Any, ours: Any) -> bool:
    """Return whether a difference is meant."""
    if name == 'forwarder_headers' and theirs[0] and ours[0]:
        return [each.upper() for each in theirs[1]] == ours[1]
    if value is None:  # "not set", where gunicorn has None or fails
        return bool(ours[0])
    if name == 'reload_extra_files':  # relative to the folder of the start, whatever chdir is
        return [os.path.abspath(each) for each in theirs[1]] == ours[1]
    if isinstance(value, (list, tuple)):  # a list does where gunicorn wants text with commas
        return bool(ours[0])
    if name == 'http2_cleartext' and value in ('true', 'False'):
        return bool(ours[0])
    if name in ('user', 'group'):
        return not ours[0]
    return value == 1.5  # gunicorn cuts fractions off


def _outcome(cfg: Any, name: str, value: Any) -> tuple[bool, Any]:
    try:
        cfg.set(name, value)
    except Exception:
        return False, None
    return True, cfg.settings[name].get()


@pytest.mark.parametrize(
    ('text', 'number'),
    [('022', 0o22), ('0o22', 0o22), ('0x12', 18), (18, 18), ('18', 18), ('0', 0), ('00', 0)],
)
def test_mode_is_octal_with_a_leading_zero(text: Any, number: int) -> None:
    cfg = Cfg()
    cfg.set('umask', text)
    assert cfg.umask == number


ADDRESSES = [
    '127.0.0.1:80',
    ':9000',
    'localhost',
    '[::1]:1',
    '[::1]',
    'tcp://h:1',
    'unix:/a',
    'unix://a/b',
    'fd://3',
    'HOST:1',
]


@pytest.mark.parametrize('text', ADDRESSES)
def test_address_is_read_as_gunicorn_reads_it(text: str) -> None:
    theirs, ours = Theirs(), Cfg()
    theirs.set('bind', text)
    ours.set('bind', text)
    assert ours.address == theirs.address


@pytest.mark.parametrize('text', ['h:', 'h:x', 'h:70000', 'fd://x', '[::1'])
def test_address_that_is_none_is_refused(text: str) -> None:
    cfg = Cfg()
    cfg.set('bind', text)
    with pytest.raises(ValueError, match='is not '):
        _ = cfg.address


def test_print_config_lists_every_setting_sorted() -> None:
    names = [line.split(' ', 1)[0] for line in str(Cfg()).splitlines()]
    assert names == sorted(TABLE)


def test_unknown_setting_is_an_attribute_error() -> None:
    cfg = Cfg()
    with pytest.raises(AttributeError, match='No configuration setting for: nothing'):
        cfg.set('nothing', 1)
    with pytest.raises(AttributeError):
        _ = cfg.nothing
    assert 'nothing' not in cfg.settings


def test_environment_gives_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PORT', '5000')
    monkeypatch.setenv('WEB_CONCURRENCY', '02')
    monkeypatch.setenv('FORWARDED_ALLOW_IPS', '*')
    cfg = Cfg()
    assert (cfg.bind, cfg.workers, cfg.forwarded_allow_ips) == (['0.0.0.0:5000'], 2, ['*'])


def test_none_means_not_set_for_user_and_group() -> None:
    cfg = Cfg()
    for name in ('user', 'group'):
        cfg.set(name, None)
    assert (cfg.uid, cfg.gid) == (os.geteuid(), os.getegid())
