"""Applications whose requests fork: what the child does is in the path."""

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time

multiprocessing.set_start_method('fork')


def note(text):
    os.write(1, f'{text}\n'.encode())


def fork(path):
    """Fork; return the parent's answer. The child leaves in its way."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return f'{os.getpid()} {os.waitstatus_to_exitcode(status)}'
    if path == '/exit':
        sys.exit(7)
    if path == '/quick':
        os._exit(3)
    if path == '/raise':
        raise RuntimeError('in the child')
    if path == '/wait':
        time.sleep(0.5)
        os._exit(9)
    return 'child'


def await_zombie():
    """Go on when a child has ended; it is not reaped."""
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)


def rest():
    time.sleep(60)


def naps(queue):
    """Wait as an ordinary child does, and say which signals it has."""
    time.sleep(0.3)
    queue.put(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and signal.set_wakeup_fd(-1) == -1)


def wait_in_child(path):
    """Fork in a greenlet that others wait for, or wait for one of the worker's in the child."""
    import gevent
    from gevent.event import Event

    parent, event, status = os.getpid(), Event(), 'none'

    def forks():
        nonlocal status
        pid = os.fork()
        if not pid:
            event.set()
            time.sleep(0.01)
            os._exit(5)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        event.set()

    if path == '/inherited':
        ours, theirs = socket.socketpair()
        waits = gevent.spawn(ours.recv, 9)
        gevent.sleep(0)
        pid = os.fork()
        if not pid:
            theirs.sendall(b'from child')
            for each in (theirs, ours):
                each.close()
            os._exit(7)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert waits.get() == b'from chil'
        return f'{parent} {status}'
    if path == '/waited-for':
        gevent.spawn(forks)
        assert event.wait(20)
        if os.getpid() != parent:
            note('the greenlet that waits goes on in the child')
        return f'{parent} {status}'
    other = gevent.spawn(event.wait)
    gevent.sleep(0)
    pid = os.fork()
    if not pid:
        try:
            other.join() if path == '/join' else event.wait()
        except gevent.exceptions.LoopExit:
            os._exit(6)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    event.set()
    other.join()
    return f'{parent} {status}'


def work(path):
    if path in ('/waited-for', '/join', '/event', '/inherited'):
        return wait_in_child(path)
    if path == '/terminate':
        child = multiprocessing.Process(target=rest)
        child.start()
        child.terminate()
        child.join()
        return f'{os.getpid()} {child.exitcode}'
    if path == '/nap':
        queue = multiprocessing.SimpleQueue()
        child = multiprocessing.Process(target=naps, args=(queue,))
        child.start()
        fine = queue.get()
        child.join()
        return f'{os.getpid()} {fine} {child.exitcode}'
    if path == '/orphan':
        child = multiprocessing.Process(target=rest)
        child.start()
        note(f'orphan {child.pid}')
        os.kill(os.getpid(), signal.SIGKILL)
    if path == '/leave':
        pid = os.fork()
        if not pid:
            os.setsid()
            os.closerange(0, 3)  # the test reads the server's output to its end
            time.sleep(60)
            os._exit(0)
        note(f'orphan {pid}')
        return str(pid)
    if path == '/early':
        os.register_at_fork(after_in_parent=await_zombie)
        return fork('/quick')
    if path.startswith('/thread'):
        statuses = []
        thread = threading.Thread(target=lambda: statuses.append(fork(path.removeprefix('/thread'))))
        thread.start()
        thread.join()
        return statuses[0]
    if path == '/':
        return str(os.getpid())
    return fork(path)


def wsgi(environ, start_response):
    body = work(environ['PATH_INFO']).encode()
    start_response('200 OK', [])
    return [body]


waiters = []
"""Futures of the requests for /waiter."""
both_wait = asyncio.Event()


async def answer(path):
    if path == '/waiter':
        waiters.append(asyncio.get_running_loop().create_future())
        if len(waiters) == 2:
            both_wait.set()
        await waiters[-1]
        note(f'woken in {os.getpid()}')
    elif path == '/wake':
        await both_wait.wait()
        for waiter in waiters:
            waiter.set_result(None)
        return fork(path)
    return work('/' if path == '/waiter' else path)


async def asgi(scope, receive, send):
    body = (await answer(scope['path'])).encode()
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': body})


async def rsgi(scope, protocol):
    protocol.response_str(200, [], await answer(scope.path))
