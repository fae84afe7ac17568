"""The first worker's core fails, once it serves; the second does not."""

import json
import sys

from granian.server import MTServer
from granian.worker import entry, kinds

method, target, options = sys.argv[1:4]
make_core = kinds.make_core
made = []


class Failing:
    def __init__(self, core):
        self.core = core

    def run(self, on_ready):
        on_ready()
        raise SystemExit(1)

    def stop(self, reload=False):
        pass


def failing_once(*args, **kwargs):
    core = make_core(*args, **kwargs)
    made.append(core)
    return Failing(core) if len(made) == 1 else core


kinds.make_core = failing_once
MTServer(target, **json.loads(options)).serve(entry.run_in_thread)
