"""litestar-granian: `litestar run` starts our command line, with its options, as a process of its own."""

import shutil
import signal
import socket
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.certificates import client_context, make_pair
from tests.support.raw_client import Client, request
from tests.support.server_process import ServerProcess, serving, tracebacks

pytest.importorskip('litestar_granian')
pytest.importorskip('uvloop')

HERE = Path(__file__).parent
UPLOAD = b"""\
--parts
Content-Disposition: form-data; name="title"

late
--parts
Content-Disposition: form-data; name="file"; filename="f"

12345
--parts--
""".replace(b'\n', b'\r\n')
END = 'lifespan over, it was on'


def running(flags='', cwd=HERE, **options):
    return serving('litestar', 'litestar_site:app', flags, cwd, **options)


def get(server, path, **options):
    response = httpx.get(f'http://127.0.0.1:{server.port}{path}', trust_env=False, timeout=20, **options)
    assert response.status_code == 200
    return response


def works(server: ServerProcess, loop='uvloop'):
    assert get(server, '/state').json() == {'loop': loop}


def enter(server, gate):
    return connect(f'ws://127.0.0.1:{server.port}/echo?gate={gate}', proxy=None, subprotocols=['echo'])


def test_run():
    with running('--loop asyncio') as server:
        works(server, 'asyncio')
        with enter(server, 'left') as websocket:
            websocket.send('text')
            assert websocket.recv(10) == 'text'
        assert get(server, '/gates/left').text == 'open'
        with httpx.Client(
            http1=False, http2=True, base_url=f'http://127.0.0.1:{server.port}', timeout=30
        ) as client:
            assert client.get('/state').http_version == 'HTTP/2'
    assert server.log.count(END) == 1
    assert tracebacks(server.log) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.1', server.port))


def test_sigterm_finishes_what_it_has_accepted():
    """Signal the whole group of processes, the workers too."""
    with (
        running('--workers 2') as server,
        Client(server.port) as client,
        enter(server, 'x') as websocket,
    ):
        server.wait_for('Started worker-', 2)
        headers = ['Content-Type: multipart/form-data; boundary=parts', 'Expect: 100-continue']
        head, blank, body = request('POST', '/upload', UPLOAD, headers).partition(b'\r\n\r\n')
        client.send(head + blank)
        assert client.read_head()[0] == 100
        server.process.send_signal(signal.SIGTERM)
        server.wait_for('Stopping worker-', 2)
        client.send(body)
        answer = client.read()
        assert (answer.status, answer.keeps_alive) == (200, False)
        assert b'"size":5' in answer.body
        with pytest.raises(ConnectionClosed):
            websocket.recv(10)
        assert websocket.close_code == 1001
        assert server.process.wait(15) == 0  # a second SIGTERM would kill it
    assert server.log.count(END) == 2
    assert tracebacks(server.log) == []


def test_sighup_replaces_the_workers():
    with running() as server:
        server.wait_for('Started worker-1')
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('Started worker-1', 2)
        server.wait_for(END)
        works(server)
    assert server.log.count(END) == 2


def test_descriptor():
    """Serve on a socket that a service manager has bound (`--fd`), and leave it open at the end."""
    with socket.socket() as bound:
        bound.bind(('127.0.0.1', 0))
        with running(f'--fd {bound.fileno()}', pass_fds=[bound.fileno()]) as server:
            assert server.port == bound.getsockname()[1]
            works(server)
        bound.listen()
        socket.create_connection(bound.getsockname()).close()


def test_reload_filters(tmp_path):
    """Add to *.py by `--reload-include`, and take from it by `--reload-exclude`."""
    for name in ('litestar_site.py', 'litestar_app.py', 'framework_parts.py'):
        shutil.copy(HERE / name, tmp_path)
    flags = f'--reload-dir {tmp_path} --reload-include *.txt --reload-exclude *left*'
    with running(flags, tmp_path) as server:
        server.wait_for('Started worker-1')
        times = 1
        for name in ('a.txt', 'b.py'):
            for number in ('left.py', 'a.md', name):
                (tmp_path / number).write_text('# changed')
            server.wait_for(f'Changes detected: {name}')
            times += 1
            server.wait_for('Started worker-1', times)
            works(server)
    assert 'left.py' not in server.log
    assert 'a.md' not in server.log


def test_usual_options(tmp_path):
    (tmp_path / 'style.css').write_text('body {}')
    pid_file = tmp_path / 'server.pid'
    flags = (
        '--workers 2 --http 1 --no-ws --backlog 256 --backpressure 64 --granian-log-level debug '
        '--granian-access-log --respawn-failed-workers --workers-lifetime 1h --process-name litestar-test '
        f'--pid-file {pid_file} --static-path-route /assets --static-path-mount {tmp_path}'
    )
    with running(flags) as server:
        works(server)
        server.wait_for('"GET /state HTTP/1.1" 200')
        assert get(server, '/assets/style.css').headers['content-type'].startswith('text/css')
        assert f'Starting granian (main PID: {pid_file.read_text().strip()})' in server.log
    assert not pid_file.exists()


def test_tls(tmp_path):
    make_pair(tmp_path, 'server')
    flags = f'--ssl-certfile {tmp_path}/server.pem --ssl-keyfile {tmp_path}/server.key'
    with (
        running(flags) as server,
        httpx.Client(
            verify=client_context(tmp_path, 'server'), trust_env=False, http2=True, timeout=30
        ) as client,
    ):
        response = client.get(f'https://127.0.0.1:{server.port}/state')
        assert (response.status_code, response.http_version) == (200, 'HTTP/2')


def test_a_server_that_cannot_start():
    with socket.create_server(('127.0.0.1', 0)) as taken, pytest.raises(AssertionError) as caught:
        ServerProcess('litestar', 'litestar_site:app', f'--port {taken.getsockname()[1]}', HERE)
    assert 'did not start' in str(caught.value)
    assert 'Traceback' not in str(caught.value)
