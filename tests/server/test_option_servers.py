"""Options of the whole server: where it listens, what it logs, when it replaces workers."""

import json
import os
import re
import signal
import socket
import urllib.request

import pytest
from plainkinds import KINDS
from test_companions import Memory
from test_supervisor import World

from granian import net
from granian.config import Config
from granian.server import Server
from granian.server.companions import MemoryWatch
from granian.server.records import Policy
from granian.server.tables import ServerState


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.proves('--host', '--port')
def test_address_and_port(serve):
    port = free_port()
    server = serve(address='127.0.0.2', port=port)
    server.expect(rf'Listening at: http://127\.0\.0\.2:{port}')
    server.expect('Started worker')
    with socket.create_connection(('127.0.0.2', port)):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.1', port))
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--metrics-address', '--metrics-port')
def test_where_metrics_are(serve):
    port = free_port()
    server = serve('wsgiapp:app', script='realserver.py', metrics_enabled=True, metrics_address='127.0.0.2',
                   metrics_port=port)  # fmt: skip
    server.expect('Started worker')
    with urllib.request.urlopen(f'http://127.0.0.2:{port}/metrics', timeout=20) as reply:
        assert b'granian_workers_spawns' in reply.read()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.1', port))
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--log-level')
@pytest.mark.parametrize(('level', 'said'), [('info', True), ('warning', False), ('error', False)])
def test_the_least_severe_level(serve, level, said):
    """Kill a worker at the end: that error shows at all levels."""
    port = free_port()
    server = serve(port=port, log_level=level, pid_file='pid')
    while True:
        try:
            with socket.create_connection(('127.0.0.1', port), timeout=20) as sock:
                sock.sendall(b'GET / HTTP/1.1\r\n\r\n')
                reply = sock.makefile('rb').read()
                break
        except ConnectionRefusedError:
            assert server.process.poll() is None
    os.kill(int(reply.rpartition(b'\r\n')[2]), signal.SIGKILL)
    assert server.wait() == 1
    assert '[ERROR] worker-1' in server.output
    assert ('[INFO]' in server.output) == said


@pytest.mark.proves('--log-config')
def test_a_logging_configuration(serve, tmp_path):
    overlay = {'formatters': {'generic': {'fmt': '<%(levelname)s> %(message)s'}}}
    (tmp_path / 'log.json').write_text(json.dumps(overlay))
    server = serve(log_config=str(tmp_path / 'log.json'))
    server.expect('^<INFO> Started worker-1')
    server.signal()
    assert server.wait() == 0


def world(workers=1, **options):
    """Return a supervisor with the policy of these options."""
    config = Config.from_api('m:app', interface='wsgi', workers=workers, **options)
    made = World(workers, **vars(Policy.of(config)))
    made.ready(*made.launched)
    return made


@pytest.mark.proves('--workers-lifetime', '--workers-lifetime-jitter')
@pytest.mark.parametrize('jitter', [0, 30])
def test_lifetime(jitter):
    """Use the largest jitter that there can be."""
    made = world(workers_lifetime=60, workers_lifetime_jitter=jitter)
    made.after(59 + jitter)
    assert len(made.launched) == 1
    made.after(1)
    assert len(made.launched) == 2


@pytest.mark.proves('--workers-lifetime-jitter')
def test_lifetimes_are_spread():
    from granian.server.supervisor import Supervisor
    from granian.server.tables import WorkerEvent

    looks = set()
    for _ in range(50):
        config = Config.from_api('m:app', interface='wsgi', workers_lifetime=60, workers_lifetime_jitter=30)
        made = World()
        supervisor = Supervisor(1, Policy.of(config), made.launch)
        supervisor.start(0)
        supervisor.worker_event(supervisor.workers[0], WorkerEvent.READY, 0)
        looks.add(supervisor.next_look())
    assert len(looks) > 20
    assert all(60 <= look <= 90 for look in looks)


@pytest.mark.proves('--respawn-interval')
@pytest.mark.parametrize('interval', [2.0, 7.5])
def test_between_one_replacement_and_the_next(interval):
    made = world(3, respawn_failed_workers=True, respawn_interval=interval)
    made.after(1000)
    made.exit(*made.launched)
    made.ready(made.launched[3])
    made.after(interval - 0.1)
    assert len(made.launched) == 4
    made.after(0.1)
    assert len(made.launched) == 5


@pytest.mark.proves('--workers-kill-timeout')
@pytest.mark.parametrize('seconds', [5, 0])
def test_a_worker_that_does_not_stop(seconds):
    from granian.server.tables import ServerEvent

    made = world(workers_kill_timeout=seconds)
    made.feed(ServerEvent.STOP)
    made.after(seconds - 1 if seconds else 1_000_000)
    assert 'kill' not in made.launched[0].told
    made.after(1)
    assert ('kill' in made.launched[0].told) == bool(seconds)
    assert made.state is ServerState.STOPPING


@pytest.mark.proves('--rss-samples', '--rss-sample-interval', '--workers-max-rss')
def test_samples_of_memory():
    memory = Memory()
    server = Server('m:app', interface='wsgi', workers_max_rss=200, rss_samples=2, rss_sample_interval=7)
    companions = []
    server._add_companions(companions, memory.supervisor, net.Endpoint([]))
    (watch,) = [each for each in companions if isinstance(each, MemoryWatch)]
    watch._memory = memory.watch._memory
    memory.watch, memory.now = watch, watch.due - 7
    for mib in (201, 200, 201):  # above, at the limit, above: never twice
        memory.hold(mib, 10)
        memory.look_after(6.9)
        memory.look_after(0.1)
    assert len(memory.launched) == 2
    memory.look_after(7)
    assert [handle.number for handle in memory.launched] == [1, 2, 1]


def received(sock, *wanted):
    """Read datagrams until one matches each of the patterns."""
    left = list(wanted)
    sock.settimeout(20)
    while left:
        datagram = sock.recv(500).decode()
        assert '\n' not in datagram
        left = [pattern for pattern in left if not re.fullmatch(pattern, datagram)]


@pytest.mark.proves('--statsd', '--statsd-prefix', '--statsd-tags')
@pytest.mark.parametrize('kind', KINDS)
def test_statsd_gets_figures_of_requests_and_workers(serve, kind):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{sock.getsockname()[1]}'
        server = serve(script='realserver.py', statsd=address, statsd_prefix='app', statsd_tags='a:b',
                       **kind)  # fmt: skip
        server.wait_ready()
        received(sock, r'app\.workers:1\|g\|#a:b')
        server.get()
        received(
            sock, r'app\.requests:1\|c\|@1\.0\|#a:b', r'app\.request\.duration:\d+\|ms\|#a:b',
            r'app\.request\.status\.200:1\|c\|@1\.0\|#a:b',
        )  # fmt: skip
        server.signal()
        assert server.wait() == 0


def test_statsd_counts_errors_of_the_log(serve):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(('127.0.0.1', 0))
        server = serve(statsd=f'127.0.0.1:{sock.getsockname()[1]}')
        server.wait_ready()
        os.kill(int(server.get()), signal.SIGKILL)
        received(sock, r'granian\.log\.error:1\|c\|@1\.0')
        assert server.wait() == 1
