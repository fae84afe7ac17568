"""METHOD TARGET OPTIONS(JSON): no folder can be written to, as on a read-only file system."""

import json
import multiprocessing
import sys
import tempfile

import fakeworker

from granian.server import MPServer


def no_folder(*args, **kwargs):
    raise FileNotFoundError(2, 'No usable temporary directory found')


if __name__ == '__main__':
    method, target, options = sys.argv[1:4]
    multiprocessing.set_start_method(method, force=True)
    tempfile.mkdtemp = no_folder
    MPServer(target, **json.loads(options)).serve(fakeworker.run)
