"""Log lines and a reader that does not read."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian import log_output
from granian.log_output import Output

LINE = b'x' * 99 + b'\n'


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            pass


def read_until(reader: int, end: bytes) -> bytes:
    data = b''
    while not data.endswith(end):
        data += os.read(reader, 65536)
    return data


def test_full_pipe_does_not_block_and_gets_the_rest_later(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = Output(writer)
    lines = [b'%05d\n' % number for number in range(50_000)]
    for line in lines:
        output.write(line)
    assert output.waiting
    assert read_until(reader, lines[-1]) == b''.join(lines)


def test_lines_beyond_the_limit_are_dropped_and_counted(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    monkeypatch.setattr(log_output, 'MOST_KEPT', 1000)
    output = Output(writer)
    for _ in range(2000):
        output.write(LINE)
    said = log_output.DROPPED.partition('%d')[2].encode() + b'\n'
    data = read_until(reader, said)
    kept = data.count(LINE)
    assert data == LINE * kept + log_output.DROPPED.encode() % (2000 - kept) + b'\n'


def test_large_batches_are_cut_between_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    Output(writer).write(LINE * 5000)
    assert os.read(reader, 1 << 20).endswith(b'\n')  # what a full pipe holds


def test_socket_that_is_full_does_not_block() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        output = Output(ours.fileno())
        for _ in range(20_000):
            output.write(LINE)
        received = b''
        while len(received) < len(LINE) * 10_000:
            received += theirs.recv(65536)
        output.close()


def test_thread_that_cannot_start_is_started_for_a_later_line(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(run: object, arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    reader, writer = pipe
    output = Output(writer)
    with monkeypatch.context() as patch:
        patch.setattr('_thread.start_new_thread', no_room)
        for _ in range(2000):
            output.write(LINE)
    output.write(b'last\n')
    assert read_until(reader, b'last\n') == LINE * 2000 + b'last\n'


@pytest.fixture(params=['', 'gevent', 'timeout'])
def prelude(request: pytest.FixtureRequest) -> str:
    """Return lines of an application that give sockets a timeout of their own."""
    if request.param == 'gevent':
        pytest.importorskip('gevent')
        return 'from gevent import monkey\nmonkey.patch_all()'
    return request.param and 'import socket\nsocket.setdefaulttimeout(60)'


@pytest.mark.parametrize('blocking', [True, False])
def test_socket_stays_as_it_is_for_others_that_write_there(prelude: str, blocking: bool) -> None:
    """Fill the socket, too: no line waits for room."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(blocking)
        program = f"""
{prelude}
from granian.log_output import Output
output = Output({ours.fileno()})
for _ in range(20_000):
    output.write({LINE!r})
assert output.waiting
import os
os._exit(0)
"""
        subprocess.run(
            [sys.executable, '-c', program], pass_fds=[ours.fileno()], check=True, timeout=120,
        )  # fmt: skip
        assert os.get_blocking(ours.fileno()) is blocking


def test_file_with_the_number_of_a_closed_output_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_output, 'LAST_WAIT', 0)
    ours, theirs = socket.socketpair()
    with ours, theirs, open(tmp_path / 'log', 'wb') as other:
        output = Output(ours.fileno())
        for _ in range(20_000):
            output.write(LINE)
        output.close()
        os.dup2(other.fileno(), ours.fileno())
        theirs.close()
        while output._helped:
            time.sleep(0.01)
    assert (tmp_path / 'log').read_bytes() == b''


def test_client_with_the_numbers_of_a_full_output_gets_nothing(pipe: tuple[int, int]) -> None:
    """Close all descriptors, as an application may, while lines are kept."""
    reader, writer = pipe
    output = Output(writer)
    for _ in range(2000):
        output.write(LINE)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert output._own is not None
        own = output._own
        for number in (own, writer):
            os.dup2(ours.fileno(), number)
        os.close(reader)
        while output._helped:
            time.sleep(0.01)
        os.close(own)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)


def test_reader_that_has_gone_is_an_error(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    output = Output(writer)
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            output.write(LINE)
    assert not output.waiting


def test_descriptor_that_is_replaced_is_followed(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = pipe
    output = Output(writer)
    output.write(b'one\n')
    with open(tmp_path / 'file', 'wb') as file:
        os.dup2(file.fileno(), writer)
    output.write(b'two\n')
    assert os.read(reader, 100) == b'one\n'
    assert (tmp_path / 'file').read_bytes() == b'two\n'


@pytest.mark.parametrize('written_before', [False, True])
def test_socket_in_place_of_a_closed_descriptor_gets_nothing(
    pipe: tuple[int, int], written_before: bool
) -> None:
    """Give a client's connection the number of the standard output that the application has closed."""
    _, writer = pipe
    output = Output(writer)
    output.remember()
    if written_before:
        output.write(b'one\n')
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), writer)
        with pytest.raises(OSError, match='Bad file descriptor'):
            output.write(b'two\n')
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)


def test_description_closed_by_the_application_is_not_used(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = pipe
    output = Output(writer)
    output.write(b'one\n')
    assert output._own is not None
    with open(tmp_path / 'precious', 'wb') as precious:
        os.dup2(precious.fileno(), output._own)  # the number belongs to another file now
        output.write(b'two\n')
    assert os.read(reader, 100) == b'one\ntwo\n'
    assert (tmp_path / 'precious').read_bytes() == b''


def test_threads_lose_no_line(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = Output(writer)

    def work(letter: bytes) -> None:
        for number in range(2000):
            output.write(letter + b'%04d\n' % number)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in (b'a', b'b', b'c')]
    for thread in threads:
        thread.start()
    data = b''
    while data.count(b'\n') < 6000:
        data += os.read(reader, 65536)
    assert len(set(data.split())) == 6000


CHILD = """
import os
from granian.log import LogLevels, configure_logging, logger
configure_logging(LogLevels.info)
for number in range(3000):
    logger.info('parent %05d', number)
if os.fork() == 0:
    logger.info('the child')
    os._exit(0)
os.wait()
os.write(2, b'done')
"""


def test_child_does_not_write_what_the_parent_kept() -> None:
    with subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stderr.read(4) == b'done'  # the pipe is full, and nothing has been read
        lines = child.stdout.read().splitlines()
    assert len(lines) == len(set(lines))


class Noisy:
    """Garbage whose destructor logs, as that of a task whose exception nothing has retrieved."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.itself = self

    def __del__(self) -> None:
        self.output.write(b'from a destructor\n')
        self.output.flush()


@pytest.mark.parametrize('step', ['fstat', 'write'])
def test_destructor_that_logs_within_a_line_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Collect garbage within a line: it may begin at any allocation."""
    with open(tmp_path / 'log', 'wb') as file:
        output = Output(file.fileno())
        output.write(b'first\n')
        function = getattr(os, step)

        def collecting(*args: object) -> object:
            monkeypatch.undo()
            gc.collect()
            return function(*args)

        Noisy(output)
        monkeypatch.setattr(os, step, collecting)
        writing = threading.Thread(target=output.write, args=(b'second\n',), daemon=True)
        writing.start()
        writing.join(10)
        assert not writing.is_alive()
        output.write(b'third\n')
    lines = (tmp_path / 'log').read_bytes().splitlines()
    assert (lines[0], lines[3], {*lines[1:3]}) == (b'first', b'third', {b'second', b'from a destructor'})


def test_line_of_a_signal_handler_waits_behind_a_cut_line(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log it while a longer line has been written in part."""
    reader, writer = pipe
    output = Output(writer)
    output.write(b'first\n')
    long = b'x' * 200_000 + b'\n'
    write, calls = os.write, iter(range(100))

    def interrupted(descriptor: int, data: bytes) -> int:
        if next(calls) == 1:
            output.write(b'of a handler\n')
        return write(descriptor, data)

    monkeypatch.setattr(os, 'write', interrupted)
    output.write(long)
    monkeypatch.undo()
    output.write(b'last\n')
    assert read_until(reader, b'last\n') == b'first\n' + long + b'of a handler\nlast\n'
