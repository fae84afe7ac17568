"""wsgi.file_wrapper: by the kernel where that gives the same bytes, else by blocks."""

# ruff: noqa: SIM115 (closing the files is what is tested)

from __future__ import annotations

import gzip
import io
import os
import socket
import tempfile
from pathlib import Path

import pytest

from granian.wsgi.files import FileWrapper
from tests.support.unsized import IN_MEMORY, little_memory, unsized_files  # noqa: F401 (fixture)
from tests.support.wsgi_fakes import TEXT, FakeStream, make_head, serve

CONTENT = bytes(range(256)) * 200


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'file.bin'
    path.write_bytes(CONTENT)
    return path


def sending(file, status='200 OK', headers=TEXT, seek=None):
    def app(environ, start_response):
        start_response(status, list(headers))
        if seek is not None:
            file.seek(seek)
        return environ['wsgi.file_wrapper'](file, 1000)

    return app


class Proxy:
    """Like Django's File: its methods are those of the file behind it."""

    def __init__(self, file):
        self.file = file

    read = property(lambda self: self.file.read)
    fileno = property(lambda self: self.file.fileno)
    close = property(lambda self: self.file.close)


class Upper:
    """Has a fileno, but reads other bytes than are in the file."""

    def __init__(self, file):
        self.file = file
        self.fileno = file.fileno
        self.close = file.close

    def read(self, size=-1):
        return self.file.read(size).upper()


@pytest.mark.parametrize('buffering', [-1, 0])
def test_a_file_goes_by_the_kernel(path, buffering):
    file = open(path, 'rb', buffering=buffering)
    stream = serve(sending(file))
    assert stream.log == ['head', f'file 0 {len(CONTENT)}', 'data', 'end']
    assert stream.data == CONTENT
    assert stream.header('content-length') == str(len(CONTENT))
    assert file.closed


@pytest.mark.parametrize('wrap', [Proxy, lambda file: Proxy(Proxy(file))])
def test_a_proxy_of_a_file_too(path, wrap):
    file = open(path, 'rb')
    stream = serve(sending(wrap(file)))
    assert stream.log[1].startswith('file')
    assert stream.data == CONTENT
    assert file.closed


def test_a_temporary_file_with_unflushed_bytes():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b'abcdef')
        file.seek(2)
        file.file.write(b'X')
        stream = serve(sending(file))
        assert stream.log[1] == 'file 3 3'
        assert stream.data == b'def'


def test_django_files(path):
    from django.core.files import File

    stream = serve(sending(File(open(path, 'rb'))))
    assert stream.log[1].startswith('file')
    assert stream.data == CONTENT


def test_the_position_counts(path):
    file = open(path, 'rb')
    file.read(10)
    stream = serve(sending(file))
    assert stream.log[1] == f'file 10 {len(CONTENT) - 10}'
    assert stream.data == CONTENT[10:]
    assert stream.header('content-length') == str(len(CONTENT) - 10)


@pytest.mark.parametrize('make', [lambda path: open(path, 'rb'), lambda path: io.BytesIO(path.read_bytes())])
def test_content_length_counts(path, make):
    headers = [('Content-Length', '2500'), ('Content-Range', 'bytes 100-2599/51200')]
    stream = serve(sending(make(path), '206 Partial Content', headers, seek=100))
    assert stream.data == CONTENT[100:2600]
    assert stream.ended


@pytest.mark.parametrize('make', [lambda path: open(path, 'rb'), lambda path: io.BytesIO(path.read_bytes())])
def test_a_file_shorter_than_content_length_breaks_off(path, make, caplog):
    stream = serve(sending(make(path), headers=[('Content-Length', str(len(CONTENT) + 1))]))
    assert (stream.data, stream.ended, stream.aborted) == (CONTENT, False, True)
    assert len(caplog.records) == 1


@pytest.mark.parametrize('position', [len(CONTENT), len(CONTENT) + 5])
def test_nothing_left_to_send(path, position):
    file = open(path, 'rb')
    file.seek(position)
    stream = serve(sending(file))
    assert (stream.data, stream.header('content-length'), stream.ended) == (b'', '0', True)


def test_other_files_are_read_in_blocks(path, tmp_path):
    packed = tmp_path / 'file.gz'
    packed.write_bytes(gzip.compress(CONTENT))
    spooled = tempfile.SpooledTemporaryFile(10)
    spooled.write(CONTENT)
    spooled.seek(0)
    for file in (gzip.open(packed), io.BytesIO(CONTENT), spooled):
        stream = serve(sending(file))
        assert not [entry for entry in stream.log if entry.startswith('file')]
        assert (stream.data, stream.header('content-length'), stream.ended) == (CONTENT, None, True)
        assert file.closed


def test_a_fileno_proves_nothing(path):
    path.write_bytes(b'lower')
    stream = serve(sending(Upper(open(path, 'rb'))))
    assert stream.data == b'LOWER'


def test_a_pipe_is_read_in_blocks():
    reader, writer = os.pipe()
    os.write(writer, b'x' * 2500)
    os.close(writer)
    stream = serve(sending(open(reader, 'rb')))
    assert stream.data == b'x' * 2500
    assert stream.log == ['head', 'data', 'data', 'data', 'end']


@pytest.mark.skipif(not unsized_files(), reason='no files without a true size')
@pytest.mark.parametrize('declared', [True, False])
@pytest.mark.parametrize('buffering', [-1, 0])
@pytest.mark.usefixtures('little_memory')
def test_file_without_a_true_size_is_read_to_its_end(declared, buffering):
    """Read files of /proc and /sys; `declared` is a Content-Length, taken from the size."""
    for name in unsized_files():
        length = [('Content-Length', str(os.stat(name).st_size))] if declared else []
        stream = serve(sending(open(name, 'rb', buffering), headers=TEXT + length))
        content = Path(name).read_bytes()
        assert stream.data == content
        assert stream.ended
        lengths = [value for key, value in stream.headers if key.lower() == b'content-length']
        assert lengths in ([b'%d' % len(content)] if len(content) < IN_MEMORY else [], [])


def test_a_socket_is_read_in_blocks():
    ours, theirs = socket.socketpair()
    theirs.sendall(b'hello')
    theirs.close()
    with ours:
        stream = serve(sending(ours.makefile('rb')))
    assert stream.data == b'hello'


@pytest.mark.parametrize(
    ('method', 'status', 'length'),
    [
        ('HEAD', '200 OK', str(len(CONTENT))),
        ('GET', '304 Not Modified', None),
        ('GET', '204 No Content', None),
    ],
)
def test_no_body(path, method, status, length):
    file = open(path, 'rb')
    stream = serve(sending(file, status, [('ETag', '"x"')]), FakeStream(make_head(method)))
    assert (stream.data, stream.header('content-length'), stream.ended) == (b'', length, True)
    assert file.closed


def test_closed_once_when_the_client_leaves(path):
    class Counted:
        closed = 0

        def read(self, size):
            return b'x' * size

        def close(self):
            self.closed += 1

    file = Counted()
    stream = FakeStream()
    stream.gone_after = 5000
    serve(sending(file), stream)
    assert (file.closed, stream.aborted) == (1, True)


def test_a_file_after_write(path):
    def app(environ, start_response):
        start_response('200 OK', list(TEXT))(b'before')
        return environ['wsgi.file_wrapper'](open(path, 'rb'))

    assert serve(app).data == b'before' + CONTENT


def test_a_file_without_start_response(path, caplog):
    file = open(path, 'rb')
    assert serve(lambda environ, start_response: environ['wsgi.file_wrapper'](file)).status == 500
    assert file.closed
    assert 'start_response' in caplog.records[0].getMessage()


def test_a_closed_file(path, caplog):
    file = open(path, 'rb')
    file.close()
    assert serve(sending(file)).status == 500
    assert len(caplog.records) == 1


def test_wrappers_alone():
    wrapper = FileWrapper(io.BytesIO(b'abcde'), 2)
    assert list(wrapper) == [b'ab', b'cd', b'e']
    assert not hasattr(FileWrapper(iter([])), 'close')
    assert FileWrapper(object()).span() is None
