"""A worker with a core of a few lines: one thread for each connection, one answer for each."""

import os
import socket
import threading

from granian.worker import entry, kinds


class FakeCore:
    """Answers every connection once, with what the application returns for the path."""

    def __init__(self, listeners, app):
        self.listeners = listeners
        self.app = app
        self.reader, self.writer = os.pipe()
        self.threads = []

    def run(self, on_ready):
        import select

        for listener in self.listeners:
            listener.setblocking(False)
        on_ready()
        while True:
            ready, _, _ = select.select([self.reader, *self.listeners], [], [])
            if self.reader in ready:
                break
            for listener in ready:
                try:
                    sock, _ = listener.accept()
                except BlockingIOError:
                    continue
                thread = threading.Thread(target=self.answer, args=(sock,))
                thread.start()
                self.threads.append(thread)
        for thread in self.threads:
            thread.join()

    def stop(self, reload=False):
        os.write(self.writer, b'x')

    def answer(self, sock):
        with sock:
            sock.setblocking(True)
            head = b''
            while b'\r\n\r\n' not in head:
                data = sock.recv(65536)
                if not data:
                    return
                head += data
            body = self.app(head.split(b' ')[1].decode()).encode()
            head = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' % len(body)
            sock.sendall(head + body)
            sock.shutdown(socket.SHUT_WR)


def run(spec):
    kinds.make_core = lambda config, listeners, app, *rest, **more: FakeCore(listeners, app)
    (entry.run_in_thread if spec.in_thread else entry.run)(spec)
