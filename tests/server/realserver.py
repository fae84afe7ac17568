"""As fakeserver.py, with the workers as they are."""

import json
import multiprocessing
import sys

from granian import Granian as Server
from granian.server import MTServer, mt

method, target, options = sys.argv[1:4]
if method == 'thread':
    Server = MTServer
else:
    multiprocessing.set_start_method(method, force=True)
    mt.BUILD_GIL = True  # processes are asked for here, where threads would do as well
Server(target, **json.loads(options)).serve()
