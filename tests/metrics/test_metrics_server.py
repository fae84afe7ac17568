"""Metrics of a whole server: every core, reload, and what Prometheus' own client makes of the page."""

from __future__ import annotations

import http.client
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from granian._granian import BUILD_GIL

HERE = Path(__file__).parent
THREADED = 'import sys; from granian.server.mt import MTServer; MTServer(**eval(sys.argv[1])).serve()'
PATIENCE = 20


class Server:
    def __init__(self, process):
        self.process = process
        self.port = self.metrics_port = 0
        self.lines = []
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.metrics_port = int(self.expect(r'Metrics at: http://127\.0\.0\.1:(\d+)/metrics')[1])

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def expect(self, pattern):
        while True:
            line = self._lines.get(timeout=PATIENCE)
            assert line is not None, ''.join(self.lines)
            self.lines.append(line)
            if found := re.search(r'Listening at: http://127\.0\.0\.1:(\d+)', line):
                self.port = int(found[1])
            if found := re.search(pattern, line):
                return found

    def scrape(self):
        """Return {(name, labels): sum over the workers}."""
        with urllib.request.urlopen(f'http://127.0.0.1:{self.metrics_port}/metrics', timeout=10) as reply:
            text = reply.read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = [value for label, value in sample.labels.items() if label != 'worker']
                key = (sample.name.removeprefix('granian_').removesuffix('_total'), *labels)
                found[key] = found.get(key, 0) + sample.value
        return {key[0] if len(key) == 1 else key: value for key, value in found.items()}

    def until(self, **expected):
        """Scrape until the figures are these."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.scrape()
            wrong = {name: found[name] for name, value in expected.items() if found[name] != value}
            if not wrong:
                return found
            assert time.monotonic() < deadline, wrong
            time.sleep(0.05)

    def ask(self, method, path, body=None, chunked=False):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        connection.request(method, path, body=iter([body]) if chunked else body, encode_chunked=chunked,
                           headers={'Transfer-Encoding': 'chunked'} if chunked else {})  # fmt: skip
        reply = connection.getresponse()
        reply.read()
        connection.close()
        return reply.status


@contextmanager
def serving(*arguments, command=('-m', 'granian', '--port', '0', '--metrics-port', '0')):
    with subprocess.Popen(
        [sys.executable, '-u', *command, *arguments], cwd=HERE, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={'PYTHONPATH': f'{HERE.parent.parent}:{HERE}', 'PATH': '/usr/bin:/bin'},
    ) as process:  # fmt: skip
        try:
            yield Server(process)
        finally:
            process.terminate()
            status = process.wait(PATIENCE)
    assert status == 0


COMMON = ['--metrics', '--metrics-scrape-interval', '1']
CASES = {
    'threads': ['--interface', 'wsgi', '--blocking-threads', '4', 'metrics_apps:wsgi'],
    'gevent': ['--interface', 'wsgi', '--core', 'gevent', 'metrics_apps:wsgi'],
    'loop': ['--interface', 'asginl', 'metrics_apps:asgi'],
}


@pytest.mark.proves('--metrics', '--metrics-scrape-interval')
@pytest.mark.parametrize('case', CASES)
def test_counted(case, tmp_path):
    (tmp_path / 'a.txt').write_text('static')
    with serving(*COMMON, '--workers', '2', '--static-path-mount', str(tmp_path), *CASES[case]) as server:
        for _ in range(2):
            server.expect('Started worker-')
        for _ in range(5):
            assert server.ask('GET', '/') == 200
        assert server.ask('GET', '/no') == 404
        assert server.ask('POST', '/', b'x' * 1000) == 200
        assert server.ask('POST', '/', b'x' * 200_000) == 200
        assert server.ask('POST', '/', b'x' * 300, chunked=True) == 200
        assert server.ask('HEAD', '/') == 200
        assert server.ask('GET', '/static/a.txt') == 200
        assert server.ask('GET', '/static/b.txt') == 404
        with socket.create_connection(('127.0.0.1', server.port), timeout=10) as sock:
            sock.sendall(b'GARBAGE\r\n\r\n')
            assert sock.recv(100).startswith(b'HTTP/1.1 400')
        idle = socket.create_connection(('127.0.0.1', server.port))
        found = server.until(requests_handled=12, connections_handled=14, connections_active=1)
        idle.close()
        server.until(connections_active=0)
        assert found['workers_spawns'] == 2
        assert found['connections_err'] == 1
        assert (found['responses', '2xx'], found['responses', '4xx']) == (10, 2)
        assert (found['static_requests_handled'], found['static_requests_err']) == (1, 1)
        assert found['request_body_bytes'] == 1000 + 200_000 + 300
        sent = [b'0'] * 5 + [b'0', b'1000', b'200000', b'300', b'static', b'404 Not Found\n']
        assert found['response_body_bytes'] == len(b''.join(sent))
        assert found['request_duration_seconds_count'] == 12
        assert found['request_duration_seconds_bucket', '+Inf'] == 12
        assert found['request_duration_seconds_sum'] > 0
        assert found['blocking_queue'] == 0
        pooled = case != 'loop'
        assert (found['blocking_threads'] > 0) == (found['blocking_busy_cumulative'] > 0) == pooled
        assert (found['py_wait_cumulative'] > 0) == pooled


def test_websockets():
    with serving(*COMMON, *CASES['loop']) as server:
        server.expect('Started worker-')
        with connect(f'ws://127.0.0.1:{server.port}/') as websocket:
            for _ in range(3):
                websocket.send('hello')
                assert websocket.recv() == 'hello'
            found = server.until(websockets_active=1, websocket_messages_received=3)
            assert found['websockets_handled'] == 1
            assert found['websocket_messages_sent'] == 3
            assert found['requests_handled'] == 0
        found = server.until(websockets_active=0, requests_handled=1)
        assert found['responses', '1xx'] == 1
        assert found['request_duration_seconds_count'] == 0


@pytest.mark.parametrize('core', ['threads', 'gevent'])
def test_websockets_beside_wsgi_are_counted(core):
    """Count those of the loop's application, HTTP/1 requests beside them, and a socket handed over."""
    beside = ['--interface', 'wsgi', '--core', core, '--ws-app', 'metrics_apps:asgi', 'metrics_apps:wsgi']
    with serving(*COMMON, *beside) as server:
        server.expect('Started worker-')
        with connect(f'ws://127.0.0.1:{server.port}/') as websocket:
            websocket.send('hello')
            assert websocket.recv() == 'hello'
            assert server.ask('GET', '/') == 200
            server.until(websockets_active=1, websocket_messages_received=1, requests_handled=1)
        server.until(websockets_active=0, websockets_handled=1, requests_handled=2)


@pytest.mark.parametrize('core', ['threads', 'gevent'])
def test_sockets_handed_over_are_counted(core):
    with serving(*COMMON, '--interface', 'wsgi', '--core', core, 'metrics_apps:taker') as server:
        server.expect('Started worker-')
        with socket.create_connection(('127.0.0.1', server.port), timeout=10) as sock:
            sock.sendall(
                b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
                b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
            )
            assert sock.recv(5) == b'taken'
            server.until(websockets_active=1, websockets_handled=1)
        server.until(websockets_active=0, websockets_handled=1, requests_handled=1)


@pytest.mark.parametrize('kind', ['processes', 'threads'])
def test_counters_go_on_after_a_reload(kind):
    command = ('-m', 'granian', '--port', '0', '--metrics-port', '0', *COMMON, *CASES['threads'])
    if kind == 'threads':
        options = {
            'target': 'metrics_apps:wsgi', 'port': 0, 'interface': 'wsgi', 'metrics_enabled': True,
            'metrics_port': 0, 'metrics_scrape_interval': 1,
        }  # fmt: skip
        command = ('-c', THREADED, repr(options))
    with serving(command=command) as server:
        server.expect('Started worker-1')
        for round_ in range(1, 4):
            for _ in range(4):
                server.ask('GET', '/')
            # At once, so that what was counted last is what the old worker says when it ends.
            server.process.send_signal(signal.SIGHUP)
            server.expect('Started worker-1')
            found = server.until(requests_handled=4 * round_)
            assert found['workers_respawns_for_reload'] == round_
            assert found['workers_spawns'] == round_ + 1


@pytest.mark.skipif(not BUILD_GIL, reason='the workers are threads, none to be killed alone')
def test_a_killed_worker_is_counted():
    options = ['--respawn-failed-workers', '--respawn-interval', '0']
    with serving(*COMMON, *options, *CASES['threads']) as server:
        pid = int(server.expect(r'Booting worker with pid: (\d+)')[1])
        server.expect('Started worker-1')
        subprocess.run(['kill', '-9', str(pid)], check=True)
        server.expect('Started worker-1')
        assert server.until(workers_respawns_for_err=1)['workers_spawns'] == 2


def test_the_port_is_taken():
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        found = subprocess.run(
            [sys.executable, '-m', 'granian', '--port', '0', '--interface', 'wsgi', '--metrics',
             '--metrics-port', str(port), 'metrics_apps:wsgi'],
            cwd=HERE, env={'PYTHONPATH': f'{HERE.parent.parent}:{HERE}', 'PATH': '/usr/bin:/bin'},
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    assert found.returncode == 1
    assert f'--metrics: cannot listen on 127.0.0.1:{port}: the port is in use' in found.stdout + found.stderr
    assert 'Traceback' not in found.stdout + found.stderr
    assert 'Booting' not in found.stdout


@pytest.mark.proves('--metrics')
def test_off_by_default():
    with subprocess.Popen(
        [sys.executable, '-u', '-m', 'granian', '--port', '0', '--interface', 'wsgi', 'metrics_apps:wsgi'],
        cwd=HERE, text=True, stdout=subprocess.PIPE,
        env={'PYTHONPATH': f'{HERE.parent.parent}:{HERE}', 'PATH': '/usr/bin:/bin'},
    ) as process:  # fmt: skip
        for line in process.stdout:
            assert 'Metrics' not in line
            if 'Started worker-1' in line:
                break
        process.terminate()
        assert 'Metrics' not in process.stdout.read()
