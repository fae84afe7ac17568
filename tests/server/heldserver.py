"""METHOD TARGET OPTIONS(JSON): a server over a descriptor that was handed in, as litestar-granian makes it
of private names; the descriptor's number is in the environment, as is a reload filter's suffix."""

import json
import multiprocessing
import os
import socket
import sys

import granian.cli
from granian._granian import SocketHolder

fd = int(os.environ['HELD_FD'])


class Held(granian.cli.Server):
    def _init_shared_socket(self):
        if fd < 0:
            super()._init_shared_socket()
            return
        self._shd = SocketHolder(fd, False, self.backlog)
        self._sfd = self._shd.get_fd()
        self._sso = socket.socket(fileno=self._sfd)
        self._sso.set_inheritable(True)


method, target, options = sys.argv[1:4]
multiprocessing.set_start_method(method, force=True)
if 'HELD_SUFFIX' in os.environ:
    from watchfiles import DefaultFilter

    class AtRunTime(DefaultFilter):
        def __call__(self, change, path):
            return path.endswith(os.environ['HELD_SUFFIX'])

    AtRunTime.__qualname__ = '<locals>.AtRunTime'  # pickle does not find it
    more = {'reload_filter': AtRunTime}
else:
    more = {}
Held(target, **json.loads(options), **more).serve()
