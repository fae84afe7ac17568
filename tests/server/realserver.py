"""As fakeserver.py, with the workers as they are."""

import json
import multiprocessing
import sys

from granian import Granian

method, target, options = sys.argv[1:4]
multiprocessing.set_start_method(method, force=True)
Granian(target, **json.loads(options)).serve()
