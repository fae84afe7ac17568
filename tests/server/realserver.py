"""METHOD TARGET OPTIONS(JSON): a server with real workers."""

import json
import multiprocessing
import sys

from granian.server import Server

if __name__ == '__main__':
    method, target, options = sys.argv[1:4]
    multiprocessing.set_start_method(method, force=True)
    Server(target, **json.loads(options)).serve()
