"""The server as a process with worker processes."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from granian.server.mainloop import MainLoop
from granian.server.tables import ServerEvent, ServerState, WorkerEvent
from granian.worker import ipc

METHODS = ['fork', 'spawn', 'forkserver']


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:  # a zombie that no process reaps here is dead enough
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(*pids):
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.proves('--workers')
@pytest.mark.parametrize('method', METHODS)
def test_start_reload_stop(serve, method):
    server = serve(method=method, workers=2)
    server.wait_ready(2)
    first = {server.get() for _ in range(3)}
    assert str(server.process.pid) not in first
    server.signal(signal.SIGHUP)
    server.expect('hook: reload')
    server.expect('Started worker', 2)
    server.expect('Stopping worker-2')
    wait_gone(*(int(pid) for pid in first))
    assert not {server.get() for _ in range(3)} & first
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert server.output.count('hook: startup') == 1
    assert server.lines[-1] == 'hook: shutdown'
    assert server.output.index('Shutting down granian') < server.output.rindex('Stopping worker-1')


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_stop_of_the_whole_group(serve, signum):
    """Stop with status 0 and no traceback, as at a terminal's Ctrl-C or by a service manager."""
    server = serve(workers=2)
    server.wait_ready(2)
    workers = [int(match) for match in _pids(server)]
    for pid in [server.process.pid, *workers]:
        os.kill(pid, signum)
    assert server.wait() == 0, server.output
    assert 'Traceback' not in server.output
    wait_gone(*workers)


def _pids(server):
    return [
        match[1] for line in server.lines if (match := re.search(r'Booting worker with pid: (\d+)', line))
    ]


def test_reload_under_requests(serve):
    """Answer each request, whatever state the workers are in."""
    server = serve(workers=2)
    server.wait_ready(2)
    stop = threading.Event()
    failures, answers = [], []

    def ask():
        while not stop.is_set():
            try:
                answers.append(server.get())
            except Exception as exc:
                failures.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        server.signal(signal.SIGHUP)
        server.expect('hook: reload')
        server.expect('Stopping worker', 2)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(answers)) > 2
    server.signal()
    assert server.wait() == 0


def test_a_request_in_flight_is_finished_on_stop(serve):
    server = serve('slowapp:app')
    server.wait_ready()
    answer = []
    thread = threading.Thread(target=lambda: answer.append(server.get()))
    thread.start()
    server.expect('in the application')
    server.signal()
    server.expect('Stopping worker-1')
    server.signal()
    server.expect('Already stopping: waiting for worker-1, at most 30 seconds')
    (server_dir(server) / 'go').touch()
    assert server.wait() == 0
    thread.join()
    assert answer == ['done']


def server_dir(server):
    from pathlib import Path

    return Path(os.readlink(f'/proc/{server.process.pid}/cwd'))


@pytest.mark.proves('--workers-kill-timeout')
def test_kill_timeout(serve):
    server = serve('slowapp:app', workers_kill_timeout=1)
    server.wait_ready()
    with socket.create_connection(('127.0.0.1', server.port)) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\n\r\n')
        server.expect('in the application')
        server.signal()
        server.expect('worker-1 has not stopped within 1 seconds: killing it')
        assert server.wait() == 0


def test_quit(serve):
    server = serve('slowapp:app', workers_kill_timeout=0)
    server.wait_ready()
    with socket.create_connection(('127.0.0.1', server.port)) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\n\r\n')
        server.expect('in the application')
        server.signal(signal.SIGQUIT)
        assert server.wait() == 0


def test_stop_while_the_application_is_imported(serve, tmp_path):
    (tmp_path / 'slowimport.py').write_text("import time\nprint('importing', flush=True)\ntime.sleep(1000)\n")
    server = serve('slowimport:app')
    server.expect('importing')
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--workers-start-timeout')
def test_reload_that_hangs_is_given_up(serve, tmp_path):
    source = tmp_path / 'changing.py'
    source.write_text("def app(path):\n    return 'one'\n")
    hanging = (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *a: None)\nprint('hangs', flush=True)\n"
    )
    hanging += 'while True: time.sleep(1)\n'
    server = serve('changing:app', workers_start_timeout=1, env={'PYTHONDONTWRITEBYTECODE': '1'})
    server.wait_ready()
    source.write_text(hanging)
    server.signal(signal.SIGHUP)
    server.expect('worker-1 has not loaded the application within 1 seconds: killing it')
    server.expect(r'ended before it was ready: killed by SIGKILL$')
    server.expect('the reload is given up')
    assert server.get() == 'one'
    server.signal(signal.SIGHUP)
    server.expect('hangs')
    source.write_text("def app(path):\n    return 'two'\n")
    server.signal(signal.SIGHUP)
    server.expect('Started worker-1')
    deadline = time.monotonic() + 10
    while server.get() != 'two':  # the old worker accepts until it is asked to stop
        assert time.monotonic() < deadline
    source.write_text(hanging)
    server.signal(signal.SIGHUP)
    server.expect('hangs')
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--respawn-failed-workers')
def test_killed_worker_is_replaced(serve):
    server = serve(workers=2, respawn_failed_workers=True)
    server.wait_ready(2)
    pid = int(_pids(server)[0])
    os.kill(pid, signal.SIGKILL)
    server.expect(rf'worker-1 \(PID {pid}\) ended unexpectedly: killed by SIGKILL')
    server.expect('Started worker-1')
    assert server.get() != str(pid)
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--respawn-failed-workers')
def test_killed_worker_ends_the_server(serve):
    server = serve(workers=2)
    server.wait_ready(2)
    os.kill(int(_pids(server)[1]), signal.SIGKILL)
    assert server.wait() == 1
    assert [line[line.index('[ERROR]') :] for line in server.lines if 'ERROR' in line] == [
        f'[ERROR] worker-2 (PID {_pids(server)[1]}) ended unexpectedly: killed by SIGKILL (out of memory?)'
    ]


def test_terminated_worker_is_replaced(serve):
    server = serve()
    server.wait_ready()
    os.kill(int(server.get()), signal.SIGTERM)
    server.expect('worker-1 stops: another process has sent it SIGTERM')
    server.expect('Started worker-1')
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--respawn-max-deaths')
def test_crash_loop_ends_at_the_limit(serve):
    server = serve('diesapp:app', respawn_failed_workers=True, respawn_interval=0, respawn_max_deaths=5)
    assert server.wait() == 1
    assert 'worker-1 has died 5 times in a row soon after its start: giving up' in server.output


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('respawn', [False, True])
def test_broken_application_is_told_once(serve, method, respawn, tmp_path):
    (tmp_path / 'broken.py').write_text('import missing_thing\n')
    server = serve('broken:app', method=method, workers=3, respawn_failed_workers=respawn)
    assert server.wait() == 1
    assert server.output.count('Traceback') == 1
    assert server.output.count("cannot load the application 'broken:app'") == 1
    assert "ModuleNotFoundError: No module named 'missing_thing'" in server.output
    assert 'granian/worker' not in server.output


@pytest.mark.parametrize('code', ['7', '0', "'set DATABASE_URL'"])
def test_an_application_that_leaves_while_it_is_imported(serve, code, tmp_path):
    (tmp_path / 'leaves.py').write_text(f'import sys; sys.exit({code})\n')
    server = serve('leaves:app', workers=2)
    assert server.wait() == 1
    assert server.output.count(f': it called sys.exit({code})') == 1
    assert 'Traceback' not in server.output


UNSHARE = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
FIRST = """
import os, threading, time
from granian import Granian
server = Granian('fakeapp:app', port=0, interface='wsgi')

@server.on_startup
def leave_a_child():
    pid = os.fork()
    if not pid:
        os._exit(0)
    threading.Thread(target=look, args=(pid,)).start()

def look(pid):
    deadline = time.monotonic() + 20
    while os.path.exists(f'/proc/{pid}') and time.monotonic() < deadline:
        time.sleep(0.01)
    print('first:', os.getpid(), 'zombie:', os.path.exists(f'/proc/{pid}'), flush=True)
    server.stop()

server.serve()
"""


def _may_unshare():
    try:
        return subprocess.run([*UNSHARE, 'true'], capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


def test_the_first_process_of_a_container_leaves_no_zombies():
    if not _may_unshare():
        pytest.skip('no right to make a PID namespace')
    here = Path(__file__).parent
    done = subprocess.run(
        [*UNSHARE, sys.executable, '-c', FIRST], capture_output=True, text=True, timeout=50,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(here.parent.parent), str(here)])},
    )  # fmt: skip
    assert 'first: 1 zombie: False\n' in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


STOPPED_EARLY = """
import os, signal, sys, time
class Late:
    # The first import of the command line takes its time, and a signal arrives meanwhile.
    def find_spec(self, name, path=None, target=None):
        if name in ('granian.cli', 'granian.gunicorn.app'):
            os.kill(1, signal.SIGTERM)
            time.sleep(20)
sys.meta_path.insert(0, Late())
"""


@pytest.mark.parametrize('room', ['granian._start', 'granian.gunicorn'])
def test_sigterm_is_not_lost_while_pid_1_imports(room):
    if not _may_unshare():
        pytest.skip('no right to make a PID namespace')
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", f"{STOPPED_EARLY}from {room} import main; main()"],
        capture_output=True, text=True, timeout=15,
        env={**os.environ, 'PYTHONPATH': str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('room', ['granian._start', 'granian.gunicorn'])
def test_ctrl_c_while_the_command_imports_prints_no_traceback(room):
    interrupted = STOPPED_EARLY.replace('os.kill(1, signal.SIGTERM)', 'os.kill(os.getpid(), signal.SIGINT)')
    done = subprocess.run(
        [sys.executable, '-c', f'{interrupted}from {room} import main; main()'],
        capture_output=True, text=True, timeout=15, preexec_fn=_take_sigint,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parent.parent.parent)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ''


def _take_sigint():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it


@pytest.mark.parametrize('target', ['nowhere:app', 'fakeapp:nothing', 'no/where.py:app'])
def test_target_that_leads_nowhere(serve, target):
    server = serve(target, workers=2)
    assert server.wait() == 1
    assert 'Traceback' not in server.output
    assert len([line for line in server.lines if '[ERROR]' in line]) == 1
    assert target.rpartition(':')[0] in next(line for line in server.lines if '[ERROR]' in line)


def test_reload_of_a_broken_application_keeps_the_old_workers(serve, tmp_path):
    source = tmp_path / 'changing.py'
    source.write_text("def app(path):\n    return 'one'\n")
    server = serve('changing:app', workers=2, env={'PYTHONDONTWRITEBYTECODE': '1'})
    server.wait_ready(2)
    old = [int(pid) for pid in _pids(server)]
    source.write_text('def app(path:\n')
    server.signal(signal.SIGHUP)
    server.expect('did not start: .*SyntaxError: .*; the reload is given up, the old workers go on')
    assert server.output.count('[ERROR]') == 1  # with the traceback
    assert server.get() == 'one'
    source.write_text("def app(path):\n    return 'two'\n")
    server.signal(signal.SIGHUP)
    server.expect('Stopping worker', 2)
    wait_gone(*old)
    assert server.get() == 'two'
    server.signal()
    assert server.wait() == 0


def test_workers_do_not_outlive_the_server(serve):
    server = serve(workers=2)
    server.wait_ready(2)
    workers = [int(pid) for pid in _pids(server)]
    server.process.kill()
    server.process.wait()
    wait_gone(*workers)


@pytest.mark.parametrize('method', METHODS)
def test_workers_do_not_outlive_the_server_after_a_reload(serve, method):
    server = serve(workers=2, method=method)
    server.wait_ready(2)
    server.signal(signal.SIGHUP)
    server.expect('Stopping worker-2')
    workers = [int(pid) for pid in _pids(server)]
    server.process.kill()
    server.process.wait()
    wait_gone(*workers)


def test_grow_and_shrink(serve):
    server = serve()
    server.wait_ready()
    server.signal(signal.SIGTTIN)
    server.expect('Started worker-2')
    server.signal(signal.SIGTTOU)
    server.expect('Handling signal: ttou')
    server.expect('Decreasing workers to 1')
    server.expect('Stopping worker-1')
    server.signal(signal.SIGTTOU)
    server.expect('Ignoring SIGTTOU: one worker left')
    server.signal(signal.SIGWINCH)
    server.signal(signal.SIGUSR1)
    assert server.get()
    assert 'WINCH' not in server.output.upper()
    server.signal()
    assert server.wait() == 0


def test_usr2_starts_a_main_process_that_takes_over(serve, tmp_path):
    pid_file = tmp_path / 'server.pid'
    server = serve(pid_file=str(pid_file))
    server.wait_ready()
    old = server.get()
    server.signal(signal.SIGUSR2)
    server.expect('Listening on the sockets passed to this process')
    server.expect('Started worker-1')
    new = int((tmp_path / 'server.pid.2').read_text())
    try:
        server.signal(signal.SIGUSR2)
        server.expect('Ignoring SIGUSR2: there is a second main process already')
        server.signal()
        assert server.process.wait(20) == 0
        server.expect('Master has been promoted')
        assert server.get() != old
        wait_for_text(pid_file, str(new))
    finally:
        os.kill(new, signal.SIGTERM)
    wait_gone(new)
    assert list(tmp_path.glob('server.pid*')) == []


def test_usr2_right_after_term_starts_nothing():
    """Handle both in one turn of the main loop: the sockets are not closed yet."""
    state = SimpleNamespace(state=ServerState.RUNNING)
    state.server_event = lambda event, now: setattr(state, 'state', ServerState.STOPPING)
    started = []
    inbox = SimpleNamespace(take=lambda: ['SIGTERM', 'SIGUSR2'])
    MainLoop(state, inbox, on_signals={'SIGUSR2': lambda: started.append(1)})._signals()
    assert started == []


def test_worker_that_has_become_ready_counts_at_a_reload(monkeypatch):
    """Read READY before SIGHUP of the same turn: the client that reloads may have been answered already."""
    happened = []
    handle = SimpleNamespace(
        sources=[], ended=lambda fired=None: False, fired=lambda ready: False,
        messages=lambda: [(ipc.READY, None)],
    )  # fmt: skip
    state = SimpleNamespace(
        state=ServerState.RUNNING, workers=[SimpleNamespace(handle=handle)], next_look=lambda: 0.0,
        server_event=lambda event, now: happened.append(event),
        worker_event=lambda worker, event, now: happened.append(event), tick=lambda now: None,
    )  # fmt: skip
    monkeypatch.setattr('granian.server.mainloop.wait', lambda sources, timeout: [])
    MainLoop(state, SimpleNamespace(source=None, take=lambda: ['SIGHUP'])).turn()
    assert happened == [WorkerEvent.READY, ServerEvent.RELOAD]


def test_signals_to_a_worker_do_not_end_it(serve):
    server = serve()
    server.wait_ready()
    pid = server.get()
    for name in ('SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH'):
        os.kill(int(pid), getattr(signal, name))
    assert server.get() == pid
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--pid-file')
def test_pid_file(serve, tmp_path):
    path = tmp_path / 'server.pid'
    path.write_text('999999999\n')
    server = serve(pid_file=str(path))
    server.wait_ready()
    assert int(path.read_text()) == server.process.pid
    second = serve(pid_file=str(path))
    assert second.wait() == 1
    assert f'the pid file {path} names a running process ({server.process.pid})' in second.output
    assert int(path.read_text()) == server.process.pid
    server.signal()
    assert server.wait() == 0
    assert not path.exists()


def test_port_in_use(serve):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        server = serve(port=port)
        assert server.wait() == 1
        assert f'cannot listen on 127.0.0.1:{port}: the port is in use' in server.output


@pytest.mark.proves('--working-dir', '--env-files', '--factory')
def test_working_dir_and_env_file_and_factory(serve, tmp_path):
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    (tmp_path / 'one.env').write_text('FROM_FILE=yes\n')
    server = serve(working_dir=str(folder), env_files=[str(tmp_path / 'one.env')])
    server.wait_ready()
    assert server.get('/cwd') == str(folder)
    assert server.get('/env') == 'yes'
    server.signal()
    assert server.wait() == 0
    server = serve('fakeapp:factory', factory=True)
    server.wait_ready()
    assert server.get() == 'made'


@pytest.mark.proves('--process-name')
def test_process_name(serve):
    server = serve(process_name='a-name')
    server.wait_ready()
    for pid, name in ((server.process.pid, b'a-name'), (int(server.get()), b'a-name worker-1')):
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            assert file.read().rstrip(b'\0') == name


@pytest.mark.proves('--uds', '--uds-permissions')
def test_unix_socket(serve, tmp_path):
    path = tmp_path / 'app.sock'
    server = serve(uds=str(path), uds_permissions=0o666)
    server.expect(f'Listening at: unix:{path}')
    server.expect('Started worker-1')
    assert path.stat().st_mode & 0o777 == 0o666
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b'GET / HTTP/1.1\r\n\r\n')
        assert sock.recv(1000).startswith(b'HTTP/1.1 200')
    server.signal()
    assert server.wait() == 0
    assert not path.exists()


def test_without_a_temporary_folder_workers_are_spawned(serve):
    """Spawn, as on a read-only file system, where the fork server has no place for its socket."""
    server = serve(method='forkserver', script='nofolder.py')
    server.expect('The fork server cannot be started')
    server.expect('Started worker-1')


@pytest.mark.parametrize('method', METHODS)
def test_target_loader(serve, method):
    server = serve(method=method, script='fakeloader.py')
    if method == 'fork':
        server.wait_ready()
        assert server.get() == 'loaded fakeapp:app'
        server.signal()
        assert server.wait() == 0
    else:
        assert server.wait() == 1
        assert 'ConfigurationError: target_loader cannot be sent to a worker' in server.lines[-1]


@pytest.mark.proves('--workers-max-requests', '--workers-max-requests-jitter')
def test_max_requests_replaces_new_before_old(serve, real_load):
    """Lose no request under load with kept-alive connections while workers are replaced."""
    server = serve('wsgiapp:app', script='realserver.py', workers=2, workers_max_requests=200,
                   workers_max_requests_jitter=50, respawn_interval=0)  # fmt: skip
    server.wait_ready(2)
    with real_load(server) as load:
        server.expect('is going to be replaced: it has served its number of requests', 4)
        server.expect('Stopping worker', 4)
    assert not load.failures
    assert len(load.pids) > 2
    server.signal()
    assert server.wait() == 0


@pytest.mark.parametrize('interface', ['wsgi', 'asgi', 'rsgi'])
def test_reload_under_kept_alive_load(serve, real_load, interface):
    target = {'wsgi': 'wsgiapp:app', 'asgi': 'asyncapps:asgi', 'rsgi': 'asyncapps:rsgi'}[interface]
    server = serve(target, script='realserver.py', workers=2, interface=interface)
    server.wait_ready(2)
    with real_load(server) as load:
        for _ in range(3):
            server.signal(signal.SIGHUP)
            server.expect('Stopping worker', 2)
        assert not load.failures
    assert not load.failures
    assert len(load.pids) > 2
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--workers-max-rss', '--rss-sample-interval')
def test_max_rss(serve):
    server = serve('wsgiapp:app', script='realserver.py', workers_max_rss=1, rss_sample_interval=1)
    server.wait_ready()
    server.expect('worker-1 is going to be replaced: it holds too much memory')
    server.expect('Started worker-1')
    server.expect('Stopping worker-1')
    server.signal()
    assert server.wait() == 0


def change_until(server, path, text, pattern):
    """Change the file until the change is seen: the watcher does not say when it begins."""
    for attempt in range(100):
        path.write_text(f'{text}# {attempt}\n')
        try:
            return server.expect(pattern, patience=0.5)
        except TimeoutError:
            pass
    return pytest.fail('the change was not seen')


@pytest.mark.proves('--reload')
@pytest.mark.parametrize('method', METHODS)
def test_reload_on_changes(serve, tmp_path, method):
    folder = tmp_path / 'project'
    folder.mkdir()
    source = folder / 'changing.py'
    source.write_text("def app(path):\n    return 'one'\n")
    server = serve('changing:app', method=method, working_dir=str(folder), reload=True,
                   env={'PYTHONDONTWRITEBYTECODE': '1'})  # fmt: skip
    server.wait_ready()
    change_until(server, source, 'def app(path):\n    return 2\n', 'Changes detected: changing.py')
    server.expect('Stopping worker')
    source.write_text('def app(path:\n')  # once: each further change would begin the reload again
    server.expect('the reload is given up, the old workers go on')
    assert 'SyntaxError' in server.output
    source.write_text("def app(path):\n    return 'three'\n")
    server.expect('Started worker')
    server.expect('Stopping worker')
    wait_gone(*(int(pid) for pid in _pids(server)[:-1]))
    assert server.get() == 'three'
    server.signal()
    assert server.wait() == 0


def test_what_the_server_writes_is_no_reason_to_reload(serve, tmp_path):
    """Write output and log, at each reload, to the folder that is watched."""
    source = tmp_path / 'changing.py'
    source.write_text("def app(path):\n    return 'one'\n")
    log = {'version': 1, 'handlers': {'console': {'class': 'logging.FileHandler', 'filename': 'server.log'}}}
    server = serve('changing:app', reload=True, log_dictconfig=log, pid_file='server.pid', output='out.txt',
                   env={'PYTHONDONTWRITEBYTECODE': '1'})  # fmt: skip
    written = tmp_path / 'server.log'

    def change(times):
        deadline = time.monotonic() + 20
        while written.read_text().count('Changes detected') < times:
            assert time.monotonic() < deadline
            source.write_text(f"def app(path):\n    return '{time.monotonic()}'\n")
            time.sleep(0.05)

    wait_for_text(written, 'Started worker-1')
    change(1)
    wait_for_text(written, 'Stopping worker-1')
    change(2)  # by now the watcher has seen all that the first reload has written
    server.signal()
    assert server.wait() == 0
    assert 'hook: reload' in (tmp_path / 'out.txt').read_text()
    changed = [line for line in written.read_text().splitlines() if 'Changes detected' in line]
    assert {line.partition(': ')[2] for line in changed} == {'changing.py'}


def wait_for_text(path, text):
    deadline = time.monotonic() + 20
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refused(port):
    try:
        socket.create_connection(('127.0.0.1', port)).close()
    except ConnectionError:
        return True
    return False


def test_a_stop_refuses_clients_though_files_are_watched(serve, tmp_path):
    """Refuse clients: the forked watcher must not keep a copy of the listening socket."""
    (tmp_path / 'held.py').write_text(
        'import os, time\n'
        'def app(environ, start_response):\n'
        "    os.write(1, b'in the application\\n')\n"
        "    while not os.path.exists('go'): time.sleep(0.01)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'done']\n"
    )
    server = serve('held:app', script='realserver.py', reload=True, reload_ignore_patterns=['^go$'])
    server.wait_ready()
    with socket.create_connection(('127.0.0.1', server.port)) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        server.expect('in the application')
        server.signal()
        server.expect('Stopping worker-1')
        deadline = time.monotonic() + 20
        while not refused(server.port):
            assert time.monotonic() < deadline
        assert server.process.poll() is None
        (tmp_path / 'go').touch()
        assert sock.makefile('rb').read().endswith(b'done')
        assert server.wait() == 0


def test_a_watcher_that_cannot_watch_is_told_of(serve, tmp_path):
    (tmp_path / 'watched').mkdir()
    watched = str(tmp_path / 'watched')
    server = serve(reload=True, reload_paths=[watched], env={'REMOVED_AT_STARTUP': watched})
    server.wait_ready(0)
    server.expect('Files are no longer watched for changes: FileNotFoundError')
    assert server.get()
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--reload-ignore-worker-failure')
def test_reload_waits_where_a_worker_fails(serve, tmp_path):
    source = tmp_path / 'changing.py'
    source.write_text('def app(path:\n')
    server = serve('changing:app', reload=True, reload_ignore_worker_failure=True,
                   env={'PYTHONDONTWRITEBYTECODE': '1'})  # fmt: skip
    server.expect('SyntaxError')
    server.expect('waiting for a change')
    change_until(server, source, "def app(path):\n    return 'good'\n", 'Started worker-1')
    server.signal()
    assert server.wait() == 0
