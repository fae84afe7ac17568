import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from granian import log
from granian.errors import ConfigurationError
from granian.log import LogLevels, access_logger, configure_logging, logger
from granian.log_files import opener
from granian.messages import WARNINGS

PREFIX = rf'\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}\] \[{os.getpid()}\] '
"""Time and process id, as every line of the server's log has them."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    configure_logging(LogLevels.info)


def test_both_loggers_write_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevels.info)
    logger.info('hello')
    logger.debug('not this')
    access_logger.info('line')
    out, err = capsys.readouterr()
    assert re.fullmatch(rf'{PREFIX}\[INFO\] hello\nline\n', out)
    assert err == ''


@pytest.mark.parametrize('level', list(LogLevels))
def test_levels(level: LogLevels) -> None:
    configure_logging(level)
    shown = [name for name in ('debug', 'info', 'warning', 'error', 'critical')
             if logger.isEnabledFor(getattr(logging, name.upper()))]  # fmt: skip
    names = ['debug', 'info', 'warning', 'error', 'critical']
    first = {'notset': 'debug', 'warn': 'warning'}.get(level.value, level.value)
    assert shown == names[names.index(first) :]


def test_off(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevels.info, enabled=False)
    logger.error('x')
    access_logger.info('x')
    assert capsys.readouterr().out == ''
    configure_logging(LogLevels.info)
    logger.error('y')
    assert re.fullmatch(rf'{PREFIX}\[ERROR\] y\n', capsys.readouterr().out)


def test_a_configuration_is_laid_over_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'access.log'
    access = {'class': 'logging.FileHandler', 'filename': str(file), 'formatter': 'access'}
    config = {
        'version': 1,
        'formatters': {'generic': {'fmt': '%(levelname)s: %(message)s'}},
        'handlers': {'access': access},
        'loggers': {'_granian': {'level': 'ERROR'}, 'mine': {'handlers': ['console'], 'level': 'INFO'}},
    }
    before = repr(log.LOGGING_CONFIG)
    configure_logging(LogLevels.debug, config)
    logger.warning('no')
    logger.error('yes')
    logging.getLogger('mine').info('too')
    access_logger.info('line')
    assert capsys.readouterr().out == 'ERROR: yes\nINFO: too\n'
    assert file.read_text() == 'line\n'
    assert repr(log.LOGGING_CONFIG) == before


@pytest.mark.parametrize(
    'config',
    [{'version': 2}, {'handlers': 5}, {'handler': {}}, {'logers': {}},
     {'loggers': {'_granian': {'levl': 'INFO'}}},
     {'root': {'handler': []}}, {'handlers': {'access': {'class': 'no.such.Handler'}}},
     {'loggers': {'_granian': {'handlers': ['none']}}}, {'formatters': {'generic': None}},
     {'handlers': {'access': {'class': 'logging.FileHandler', 'filename': '/no/such/folder/x'}}}],
)  # fmt: skip
def test_an_invalid_configuration_is_one_line(config: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match='the logging configuration is not valid: ') as caught:
        configure_logging(LogLevels.info, config)
    assert '\n' not in str(caught.value)


def test_files_are_reopened_after_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / 'access.log'
    handler = {'class': 'logging.FileHandler', 'filename': str(file), 'formatter': 'access'}
    configure_logging(LogLevels.info, {'handlers': {'access': handler}})
    access_logger.info('one')
    file.rename(tmp_path / 'access.log.1')
    access_logger.info('two')
    log.reopen_log_files()
    access_logger.info('three')
    assert (tmp_path / 'access.log.1').read_text() == 'one\ntwo\n'
    assert file.read_text() == 'three\n'


def test_file_that_cannot_be_reopened_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / 'access.log'
    handler = {'class': 'logging.FileHandler', 'filename': str(file), 'formatter': 'access'}
    configure_logging(LogLevels.info, {'handlers': {'access': handler}})
    file.rename(tmp_path / 'access.log.1')
    file.mkdir()
    logger.propagate = True
    log.reopen_log_files()
    access_logger.info('one')
    assert (tmp_path / 'access.log.1').read_text() == 'one\n'
    (record,) = caplog.records
    assert record.getMessage() == WARNINGS['log_not_reopened'] % (file, 'Is a directory')


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='gives a file away')
def test_reopened_file_belongs_to_the_workers_user(tmp_path: Path) -> None:
    """Make the new file as root in the main process, so that the workers can open it."""
    file = tmp_path / 'access.log'
    handler = {'class': 'logging.FileHandler', 'filename': str(file), 'formatter': 'access'}
    configure_logging(LogLevels.info, {'handlers': {'access': handler}})
    os.chown(file, 65534, 65533)
    file.rename(tmp_path / 'access.log.1')
    log.reopen_log_files()
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65533)
    file.rename(tmp_path / 'access.log.2')
    file.touch()  # as `create` of logrotate does: its owner is left as it is
    log.reopen_log_files()
    assert file.stat().st_uid == 0


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='links of two users')
@pytest.mark.parametrize('kind', ['logging.FileHandler', 'granian.log.LogFile'])
@pytest.mark.parametrize('owner', [0, 65534])
def test_link_of_another_user_is_not_followed_by_root(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, owner: int
) -> None:
    file, victim = tmp_path / 'access.log', tmp_path / 'victim'
    handler = {'class': kind, 'filename': str(file), 'formatter': 'access'}
    configure_logging(LogLevels.info, {'handlers': {'access': handler}})
    os.chown(file, 65534, 65534)
    file.rename(tmp_path / 'access.log.1')
    file.symlink_to(victim)
    os.lchown(file, owner, owner)
    logger.propagate = True
    log.reopen_log_files()
    access_logger.info('one')
    assert victim.exists() == (owner == 0)
    assert (tmp_path / 'access.log.1').read_text() == ('' if owner == 0 else 'one\n')
    said = ['another user' in record.getMessage() for record in caplog.records]
    assert said == ([] if owner == 0 else [True])


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='links of two users')
def test_file_behind_a_link_is_not_for_the_workers_user(tmp_path: Path) -> None:
    file, other = tmp_path / 'access.log', tmp_path / 'other.log'
    file.symlink_to(tmp_path / 'victim')
    os.lchown(file, 65534, 65534)
    handlers = {
        'access': {'class': 'logging.FileHandler', 'filename': str(file)},
        'console': {'class': 'logging.FileHandler', 'filename': str(other)},
    }
    configure_logging(LogLevels.info, {'handlers': handlers})
    with pytest.raises(ConfigurationError, match=f"cannot give '{file}' .*symbolic link of another user"):
        log.open_files()
    file.unlink()
    file.touch()
    assert [stream.name for stream in log.open_files()] == [str(other)]


def _opened(path: Path) -> bool:
    with open(path, 'a', opener=opener):
        return True


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='links of two users')
@pytest.mark.parametrize('target', ['data', 'data/app.log', '../data'])
def test_link_above_a_log_file_is_followed_if_root_has_made_it(tmp_path: Path, target: str) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'app').mkdir()
    link = tmp_path / 'app' / 'logs' if target == '../data' else tmp_path / 'logs'
    link.symlink_to(target)
    file = link if target == 'data/app.log' else link / 'app.log'
    assert _opened(file)
    (tmp_path / 'data' / 'app.log').unlink()
    os.lchown(link, 65534, 65534)
    with pytest.raises(PermissionError, match='symbolic link of another user') as caught:
        _opened(file)
    assert caught.value.filename == str(file)
    assert not (tmp_path / 'data' / 'app.log').exists()


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='links of two users')
def test_link_within_the_files_of_its_owner_is_followed(tmp_path: Path) -> None:
    release, current = tmp_path / 'releases', tmp_path / 'current'
    release.mkdir()
    (release / 'app.log').symlink_to('today.log')
    current.symlink_to('releases')
    for path in (release, release / 'app.log', current):
        os.lchown(path, 65534, 65534)
    assert _opened(current / 'app.log')
    assert (release / 'today.log').exists()


@pytest.mark.parametrize('name', ['/dev/fd', '/proc/self/fd'])
def test_descriptor_by_name_is_a_log_file(name: str) -> None:
    reader, writer = os.pipe()
    assert _opened(Path(name) / str(writer))
    os.close(reader)
    os.close(writer)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / 'one').symlink_to('two')
    (tmp_path / 'two').symlink_to('one')
    with pytest.raises(OSError, match='Too many levels of symbolic links'):
        _opened(tmp_path / 'one')


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='links of two users')
def test_link_that_comes_while_a_file_is_reopened_is_not_followed(tmp_path: Path) -> None:
    file, victim = tmp_path / 'access.log', tmp_path / 'victim'

    class Late(logging.FileHandler):
        def _open(self) -> Any:
            if file.exists() and not file.is_symlink():
                file.unlink()
                file.symlink_to(victim)
                os.lchown(file, 65534, 65534)
            return super()._open()

    handler = Late(file)
    access_logger.addHandler(handler)
    try:
        before = handler.stream
        log.reopen_log_files()
        assert handler.stream is before
    finally:
        access_logger.removeHandler(handler)
        handler.close()


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='links of two users')
def test_link_of_another_user_at_the_start_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / 'access.log'
    file.symlink_to(tmp_path / 'victim')
    os.lchown(file, 65534, 65534)
    with pytest.raises(ConfigurationError, match='symbolic link of another user'):
        configure_logging(LogLevels.info, None, True, None, str(file))
    assert not (tmp_path / 'victim').exists()


def test_misspelt_key_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown key 'handler'; did you mean 'handlers'\?"):
        configure_logging(LogLevels.info, {'handler': {}})


def test_key_that_a_value_refers_to_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevels.info, {'mine': 'DEBUG', 'loggers': {'_granian': {'level': 'cfg://mine'}}})
    logger.debug('seen')
    assert 'seen' in capsys.readouterr().out


def test_log_files_are_appended_to(tmp_path: Path) -> None:
    server, access = tmp_path / 'server.log', tmp_path / 'access.log'
    server.write_text('before\n')
    configure_logging(LogLevels.info, None, True, str(server), str(access))
    logger.info('caf\xe9')
    access_logger.info('line')
    assert re.fullmatch(rf'before\n{PREFIX}\[INFO\] caf\xe9\n', server.read_text(encoding='utf-8'))
    assert access.read_text() == 'line\n'


@pytest.mark.parametrize('name', ['-', '/dev/stdout'])
def test_log_file_may_be_standard_output(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevels.info, None, True, name, name)
    logger.info('a')
    access_logger.info('b')
    assert re.fullmatch(rf'{PREFIX}\[INFO\] a\nb\n', capsys.readouterr().out)


def test_log_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=f'--access-log-file: cannot write {tmp_path}: Is a directory'
    ):
        configure_logging(LogLevels.info, None, True, None, str(tmp_path))


def test_journal_gets_no_second_time(tmp_path: Path) -> None:
    with open(tmp_path / 'out', 'wb') as out:
        status = os.fstat(out.fileno())
        stream = f'{status.st_dev}:{status.st_ino}'
        _print_in(tmp_path, "logger.info('a')", out, JOURNAL_STREAM=stream)
    assert (tmp_path / 'out').read_text() == '[INFO] a\n'


def _print_in(tmp_path: Path, code: str, stdout: Any, **env: str) -> subprocess.CompletedProcess[bytes]:
    script = (
        'from granian.log import *\n'
        'from granian.log import configure_logging, logger, access_logger\n'
        f'configure_logging(LogLevels.info)\n{code}'
    )
    return subprocess.run(
        [sys.executable, '-c', script], stdout=stdout, stderr=subprocess.PIPE,
        env={**os.environ, **env}, timeout=30,
    )  # fmt: skip


def test_characters_the_output_does_not_know_are_escaped(tmp_path: Path) -> None:
    code = "logger.error('caf\\xe9 %s', chr(0x142)); access_logger.info(chr(0x142))"
    done = _print_in(tmp_path, code, subprocess.PIPE, PYTHONIOENCODING='ascii')
    assert done.stdout.endswith(b'[ERROR] caf\\xe9 \\u0142\n\\u0142\n')
    assert done.stderr == b''


def test_a_log_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    """Write to a pipe whose reader has gone, as with `granian ... | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, 'wb') as pipe:
        done = _print_in(tmp_path, "for n in range(9): logger.info('line'); access_logger.info('line')", pipe)
    lines = done.stderr.decode().splitlines()
    said = [line for line in lines if line.startswith('granian: the log cannot be written: ')]
    assert len(said) == 2, lines  # by each of the two handlers
    assert 'Logging error' not in done.stderr.decode()


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_full_disk_under_a_log_file_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevels.info, file='/dev/full', access_file='/dev/full')
    for _ in range(3):
        logger.info('x')
        access_logger.info('x')
    out, err = capfd.readouterr()
    assert out == ''
    # one line for each of the two handlers
    assert err.splitlines() == ['granian: /dev/full cannot be written: No space left on device'] * 2


def test_log_file_that_can_be_written_again_says_the_next_failure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogLevels.info, file=str(tmp_path / 'log'))
    handler = logger.handlers[0]
    assert isinstance(handler, log.LogFile)
    for write in (_no_space, None, _no_space):
        with pytest.MonkeyPatch.context() as patch:
            if write is not None:
                patch.setattr(handler, 'flush', write)
            logger.info('x')
            logger.info('y')
    assert capfd.readouterr().err.count('cannot be written') == 2


def _no_space() -> None:
    raise OSError(28, 'No space left on device')


def test_failure_without_memory_for_its_traceback_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> str:
        raise MemoryError

    configure_logging(LogLevels.info)
    monkeypatch.setattr(logging.Formatter, 'formatException', refuse)
    logger.error('it failed', exc_info=ValueError('x'))
    out, err = capsys.readouterr()
    assert re.fullmatch(rf'{PREFIX}\[ERROR\] it failed\n', out)
    assert err == ''


@pytest.mark.parametrize('kind', ['console', 'file'])
def test_logger_of_the_application_without_memory_does_not_raise(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: Any) -> str:
        raise MemoryError

    file = str(tmp_path / 'log') if kind == 'file' else None
    loggers = {'theirs': {'handlers': ['console'], 'level': 'INFO', 'propagate': False}}
    configure_logging(LogLevels.info, {'loggers': loggers}, file=file)
    monkeypatch.setattr(logging.Formatter, 'format', refuse)
    logging.getLogger('theirs').info('x')
    assert 'MemoryError' in capsys.readouterr().err  # as logging's own handlers do


def test_line_without_memory_says_so(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> str:
        raise MemoryError

    configure_logging(LogLevels.info)
    with monkeypatch.context() as patched:
        patched.setattr(logging.Formatter, 'format', refuse)
        logger.error('it failed')
    assert capfd.readouterr() == ('', 'granian: no memory for a line of the log\n')
    monkeypatch.setattr(logging, '_logRecordFactory', refuse)
    monkeypatch.setattr(log, '_plain_record', refuse)
    logger.error('it failed')
    assert re.search(r'No memory for a log line\n', capfd.readouterr().out)
