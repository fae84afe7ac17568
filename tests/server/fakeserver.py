"""METHOD TARGET OPTIONS(JSON): a script without `if __name__ == '__main__'`, as users write them."""

import json
import multiprocessing
import os
import sys

import fakeworker

from granian.server import MTServer, Server, mt

method, target, options = sys.argv[1:4]
if method == 'thread':
    Server = MTServer
else:
    multiprocessing.set_start_method(method, force=True)
    mt.BUILD_GIL = True  # processes are asked for here, where threads would do as well
server = Server(target, **json.loads(options))


@server.on_startup
def started():
    os.write(1, b'hook: startup\n')
    if 'REMOVED_AT_STARTUP' in os.environ:
        os.rmdir(os.environ['REMOVED_AT_STARTUP'])


@server.on_reload
def reloaded():
    os.write(1, b'hook: reload\n')


@server.on_shutdown
def shut_down():
    os.write(1, b'hook: shutdown\n')


server.serve(spawn_target=fakeworker.run)
