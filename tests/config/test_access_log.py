import json
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from granian import log
from granian.errors import ConfigurationError
from granian.observe import access_log as observe
from granian.observe import atoms
from granian.observe.access_log import AccessLog
from granian.protocol.head import Head


class Lines(logging.StreamHandler):  # type: ignore[type-arg]
    """Keeps what would have been written, one item for each write."""

    def __init__(self) -> None:
        super().__init__(self)  # type: ignore[arg-type]
        self.writes: list[str] = []
        self.written: queue.SimpleQueue[str] = queue.SimpleQueue()

    def write(self, text: str) -> None:
        self.writes.append(text)
        self.written.put(text)

    def flush(self) -> None: ...


@pytest.fixture
def output() -> Iterator[Lines]:
    log.configure_logging(log.LogLevels.info)
    before = log.access_logger.handlers
    handler = Lines()
    handler.setFormatter(before[0].formatter)
    log.access_logger.handlers = [handler]
    yield handler
    log.access_logger.handlers = before


def access_log(fmt: str, output: Lines) -> AccessLog:
    log.access_logger.handlers = [output]  # without pytest's own, which it adds as a test begins
    return AccessLog(fmt)


def exchange(headers: dict[str, str] | None = None, **more: Any) -> Any:
    head: dict[str, Any] = {'method': 'GET', 'path': '/a%20b', 'query': 'x=1', 'version': '1.1'}
    head['upgrade'] = None
    head |= {name: more.pop(name) for name in list(more) if name in head}
    fields: Any = [(SimpleNamespace(name=name), value) for name, value in (headers or {}).items()]
    made = {'scheme': 'http', 'client': ('10.0.0.9', 4321), 'status': 200, 'bytes_sent': 12, 'started': 0.0}
    asked = Head(head['method'], head['path'], head['path'], head['query'], head['version'], fields)
    asked.upgrade = head['upgrade']
    return SimpleNamespace(head=asked, aborted=False, **(made | more))


def one_line(fmt: str, output: Lines, *args: Any, **more: Any) -> str:
    access = access_log(fmt, output)
    access(exchange(*args, **more))
    access.close()
    assert output.writes[-1].endswith('\n')
    return output.writes[-1][:-1]


def test_default_format(output: Lines) -> None:
    line = one_line(log.DEFAULT_ACCESSLOG_FMT, output, started=time.monotonic())
    when, _, rest = line.partition('] ')
    assert re.fullmatch(r'\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}', when)
    assert re.fullmatch(r'10\.0\.0\.9 - "GET /a%20b HTTP/1\.1" 200 \d+\.\d{3}', rest)


def test_head_that_repeats_is_rendered_once(output: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(atoms, '_header', lambda head, name: asked.append(name) or name)
    access = access_log('%(s)s %(a)s %(r)s %(a)s %(f)s', output)
    asked.clear()  # the format was tried
    one = exchange()
    access(one)
    one.status = 404
    access(one)
    access.close()
    assert ''.join(output.writes).splitlines() == [
        '200 user-agent GET /a%20b?x=1 HTTP/1.1 user-agent referer',
        '404 user-agent GET /a%20b?x=1 HTTP/1.1 user-agent referer',
    ]
    assert asked == ['user-agent', 'referer']


def test_two_formats_of_one_head_do_not_mix(output: Lines) -> None:
    one = exchange({'user-agent': 'curl'})
    first, second = access_log('%(m)s %(a)s', output), access_log('%(U)s', output)
    for access in (first, second, first):
        access(one)
        access.flush()
    assert [line.strip() for line in output.writes] == ['GET curl', '/a b', 'GET curl']


def test_copied_head_is_rendered_by_itself(output: Lines) -> None:
    one = exchange({'user-agent': 'curl'})
    access = access_log('%(a)s', output)
    access(one)
    one.head = one.head.copied()
    one.head.fields[0] = (one.head.fields[0][0], 'changed')
    access(one)
    access.close()
    assert ''.join(output.writes).splitlines() == ['curl', 'changed']


ATOMS = {
    'addr': '10.0.0.9', 'status': '404', 'path': '/a%20b', 'query_string': 'x=1', 'method': 'GET',
    'scheme': 'https', 'protocol': 'HTTP/2', 'bytes': '12', 'referer': 'http://r/', 'user_agent': 'UA',
    'request_id': 'id7', 'header{X-Some}': 'some', 'header{x-absent}': '-',
}  # fmt: skip
HEADERS = {'referer': 'http://r/', 'user-agent': 'UA', 'x-request-id': 'id7', 'x-some': 'some'}


@pytest.mark.proves('--access-log-fmt')
@pytest.mark.parametrize('atom', ATOMS)
def test_atom(atom: str, output: Lines) -> None:
    line = one_line(f'%({atom})s|%({atom})-9s', output, HEADERS, scheme='https', status=404, version='2')
    assert line == f'{ATOMS[atom]}|{ATOMS[atom]:<9}'


def test_every_atom_is_tested() -> None:
    assert {atom for atom in ATOMS if '{' not in atom} | {'time', 'dt_ms'} == set(atoms.LONG)
    assert {atom for atom in SHORT if '{' not in atom} | {*'tTMDLp'} == set(atoms.SHORT)


SHORT = {
    'h': '10.0.0.9', 'l': '-', 'u': 'ada', 'r': 'GET /caf%C3%A9?x=1 HTTP/2', 's': '404', 'b': '12', 'B': '12',
    'f': 'http://r/', 'a': 'UA', 'm': 'GET', 'U': '/caf\xe9', 'q': 'x=1', 'H': 'HTTP/2', '{X-Some}i': 'some',
    '{x-absent}i': '-', '{content-type}o': 'text/plain', '{X-Absent}o': '-', '{server_name}e': 'here',
    '{absent}e': '-',
}  # fmt: skip
CREDENTIALS = {'authorization': 'Basic YWRhOnNlY3JldA=='}


@pytest.mark.proves('--access-log-fmt')
@pytest.mark.parametrize('atom', SHORT)
def test_short_atom(atom: str, output: Lines) -> None:
    more: dict[str, Any] = {'scheme': 'https', 'status': 404, 'version': '2', 'path': '/caf%C3%A9'}
    more['response_headers'] = [(b'Content-Type', b'text/plain')]
    more['environ'] = {'SERVER_NAME': 'here'}
    assert one_line(f'%({atom})s|', output, HEADERS | CREDENTIALS, **more) == f'{SHORT[atom]}|'


def test_common_log_format_has_a_number_for_an_empty_body(output: Lines) -> None:
    line = one_line('%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s', output, bytes_sent=0)
    when = r'\[\d\d/[A-Z][a-z]{2}/\d{4}(:\d\d){3} [+-]\d{4}\]'
    assert re.fullmatch(rf'10\.0\.0\.9 - - {when} "GET /a%20b\?x=1 HTTP/1\.1" 200 0', line)


def test_short_times_have_their_units(output: Lines) -> None:
    line = one_line('%(T)s %(M)s %(D)s %(L)s %(p)s', output, started=time.monotonic() - 1.5)
    assert re.fullmatch(rf'1 15\d\d 15\d{{5}} 1\.5\d{{5}} <{os.getpid()}>', line)


@pytest.mark.parametrize('value', ['Basic', 'Basic !', 'Basic /w==', 'Bearer YTpi', 'Basic OnNlY3JldA==', ''])
def test_user_without_valid_credentials_is_a_dash(value: str, output: Lines) -> None:
    assert one_line('%(u)s', output, {'authorization': value}) == '-'


def test_unknown_atoms_are_dashes_where_that_is_asked_for(output: Lines) -> None:
    log.access_logger.handlers = [output]
    fmt, unknown = atoms.without_unknown('%(nope)d %(s)s')
    access = AccessLog(fmt)
    access(exchange())
    access.close()
    assert output.writes == ['- 200\n']
    assert unknown == ['nope']


def test_record_has_atoms_that_the_format_does_not_name(output: Lines) -> None:
    output.setFormatter(logging.Formatter('%(message)s!'))
    records: list[logging.LogRecord] = []
    output.addFilter(lambda record: records.append(record) or True)
    log.access_logger.handlers = [output]
    AccessLog('%(s)s')(exchange({'x-a': 'b'}))
    AccessLog('%(s)s', every_atom=True)(exchange())
    args: Any = records[0].args
    assert (dict(args), args['U'], args.get('{x-a}i'), args.get('nope')) == ({'s': 200}, '/a b', 'b', None)
    assert int(args['T']) >= 0
    assert set(records[1].args or ()) == set(atoms.SHORT)


def test_numbers_can_be_formatted(output: Lines) -> None:
    line = one_line('%(status)5d %(bytes)05d %(dt_ms).1f 100%%', output, started=time.monotonic() - 1)
    assert re.fullmatch(r'  200 00012 1\d\d\d\.\d 100%', line)


def test_time_is_now_in_the_documented_form(output: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1700000000.2, 1700000000.9, 1700000001.0])
    monkeypatch.setattr(observe, 'wall_clock', lambda: next(seconds))
    fake = SimpleNamespace(strftime=time.strftime, localtime=time.gmtime, sleep=time.sleep)
    monkeypatch.setattr(observe, 'time', fake)
    access = access_log('%(time)s', output)
    for _ in range(3):
        access(exchange())
    access.close()
    times = ''.join(output.writes).split('\n')
    assert [t[:19] for t in times[:3]] == [f'2023-11-14 22:13:{second}' for second in (20, 20, 21)]


def test_what_is_absent(output: Lines) -> None:
    assert one_line('%(addr)s %(user_agent)s %(referer)s', output, client=None) == '- - -'
    assert one_line('%(user_agent)s', output, {'user-agent': ''}) == '-'


def test_repeated_headers_are_joined(output: Lines) -> None:
    access = access_log('%(header{x-a})s', output)
    made = exchange()
    made.head.fields = [(SimpleNamespace(name='x-a'), value) for value in ('1', '2')]
    access(made)
    access.close()
    assert output.writes == ['1, 2\n']


def test_a_websocket_has_status_101_and_a_client_that_left_early_499(output: Lines) -> None:
    assert one_line('%(status)d', output, upgrade='websocket', status=101) == '101'
    assert one_line('%(status)d', output, upgrade='websocket', status=200, version='2') == '101'
    assert one_line('%(status)d', output, upgrade='websocket', status=200) == '200'  # not accepted: a page
    assert one_line('%(status)d', output, upgrade='websocket', status=403) == '403'
    assert one_line('%(status)d', output, status=0) == '499'


@pytest.mark.parametrize('evil', ['a\nb', 'a\x1b[31mb', 'a\x85b', '\t', 'a"b', 'a\\b', '\x7f', 'caf\xe9 ok'])
def test_what_a_client_sends_cannot_break_a_line_nor_json(evil: str, output: Lines) -> None:
    atoms = {'ua': 'user_agent', 'x': 'header{x}', 'p': 'path', 'q': 'query_string', 'm': 'method'}
    fmt = json.dumps({key: f'%({atom})s' for key, atom in atoms.items()})
    line = one_line(fmt, output, {'user-agent': evil, 'x': evil}, path=evil, query=evil, method=evil)
    assert line.isprintable()
    assert json.loads(line) == dict.fromkeys(atoms, evil)


@pytest.mark.parametrize(
    ('fmt', 'said'),
    [('%(nope)s', "unknown atom 'nope'"), ('%(path)d', '%d format'), ('50% of', 'write %%'),
     ('%s', 'write %%'), ('%(path', 'write %%'), ('%(header{a b})s', 'unknown atom'),
     ('%(status)q', 'unsupported format character'),
     ("%(header{x'y})s %(x)s", "unknown atom 'x'")],
)  # fmt: skip
def test_a_format_that_cannot_be_is_refused(fmt: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        AccessLog(fmt)
    assert str(caught.value).startswith('--access-log-fmt: ')
    with pytest.raises(ConfigurationError):
        observe.check_access_format(fmt)


def test_a_format_without_atoms(output: Lines) -> None:
    assert one_line('hit 100%%', output) == 'hit 100%'


def test_lines_are_written_together_in_order_and_without_being_asked(output: Lines) -> None:
    access = access_log('%(status)d', output)
    for status in range(1, 501):
        access(exchange(status=status))
    seen = ''
    while seen.count('\n') < 500:
        seen += output.written.get(timeout=10)
    assert seen == ''.join(f'{status}\n' for status in range(1, 501))
    assert len(output.writes) < 20
    access(exchange(status=999))  # the writer has gone to sleep and is woken again
    assert output.written.get(timeout=10) == '999\n'
    access.close()


def test_threads_lose_no_line(output: Lines) -> None:
    access = access_log('%(status)d', output)

    def work(start: int) -> None:
        for status in range(start, start + 2000):
            access(exchange(status=status))

    threads = [threading.Thread(target=work, args=(n * 2000 + 1,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    access.close()
    lines = ''.join(output.writes).split()
    assert sorted(map(int, lines)) == list(range(1, 8001))


def test_lines_do_not_pile_up_when_the_writer_is_slow(output: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, 'FLUSH_AFTER', 3)
    access = access_log('x', output)
    for _ in range(observe._BATCH + 5):
        access(exchange())
    assert output.writes == ['x\n' * observe._BATCH]
    access.close()
    assert output.writes[1:] == ['x\n' * 5]


def test_a_formatter_of_the_user_gets_a_record_for_each_line(output: Lines) -> None:
    output.setFormatter(logging.Formatter('%(name)s %(message)s'))
    records: list[logging.LogRecord] = []
    output.addFilter(lambda record: records.append(record) or True)
    access = AccessLog('%(status)d %(header{x-a})s')
    access(exchange({'x-a': 'b'}))
    assert output.writes == ['granian.access 200 b\n']
    assert records[0].args == {'status': 200, 'header{x-a}': 'b'}
    access.close()


@pytest.mark.parametrize('way', ['level', 'disabled'])
def test_a_silenced_logger_costs_nothing_and_writes_nothing(way: str, output: Lines) -> None:
    if way == 'level':
        log.access_logger.setLevel(logging.WARNING)
    else:
        log.configure_logging(log.LogLevels.info, enabled=False)
    try:
        access = access_log('x', output)
        access(exchange())
        access.close()
        assert output.writes == []
        assert access._thread is None
    finally:
        log.configure_logging(log.LogLevels.info)
