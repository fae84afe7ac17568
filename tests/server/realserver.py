"""As fakeserver.py, with the workers as they are."""

import json
import multiprocessing
import sys

from granian import Granian as Server
from granian.server import MTServer

method, target, options = sys.argv[1:4]
if method == 'thread':
    Server = MTServer
else:
    multiprocessing.set_start_method(method, force=True)
Server(target, **json.loads(options)).serve()
