"""As fakeserver.py, with a target_loader that can only be inherited."""

import json
import multiprocessing
import sys

import fakeworker

from granian.server import Server, mt

method, target, options = sys.argv[1:4]
multiprocessing.set_start_method(method, force=True)
mt.BUILD_GIL = True  # processes are asked for here, where threads would do as well
Server(target, **json.loads(options)).serve(fakeworker.run, lambda name: lambda path: f'loaded {name}')
