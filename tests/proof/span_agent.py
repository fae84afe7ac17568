"""Run a traced server beside an agent that takes its spans; end with 1 if some are lost.

    python tests/proof/span_agent.py COUNT NAME ddtrace-run granian …

At least COUNT spans called NAME must have arrived once the server has ended. A tracer sends its last
spans at the exit of a worker: those are lost where exit handlers do not run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Agent(BaseHTTPRequestHandler):
    """What a trace agent answers, as far as the tracer asks."""

    received: list[bytes]

    def do_GET(self) -> None:
        self._answer(b'{"endpoints": ["/v0.4/traces"]}')

    def do_POST(self) -> None:
        if self.headers.get('Transfer-Encoding'):
            body = b''.join(iter(self._chunk, b''))
        else:
            body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        if 'traces' in self.path:
            self.received.append(body)
        self._answer(b'{"rate_by_service": {}}')

    def do_PUT(self) -> None:
        self.do_POST()

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


def main() -> int:
    count, name, *command = sys.argv[1:]
    Agent.received = []
    server = ThreadingHTTPServer(('127.0.0.1', 0), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        'DD_TRACE_AGENT_URL': f'http://127.0.0.1:{server.server_port}',
        'DD_TRACE_API_VERSION': 'v0.4',  # names stand in each span
        'DD_TRACE_WRITER_INTERVAL_SECONDS': '600',  # so that all are sent at the exit
        'DD_INSTRUMENTATION_TELEMETRY_ENABLED': 'false',
        'DD_REMOTE_CONFIGURATION_ENABLED': 'false',
    }
    process = subprocess.Popen(command, env={**os.environ, **env})
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    spans = b''.join(Agent.received).count(name.encode())
    if spans < int(count):
        print(f'{spans} spans of {name} arrived, not {count}', flush=True)
    return status or int(spans < int(count))


if __name__ == '__main__':
    sys.exit(main())
