"""The command line itself, with options as the fixture gives them: `http1_header_read_timeout=1`."""

import json
import sys

from granian.cli import entrypoint
from granian.config import OPTIONS

_, target, options = sys.argv[1:4]
arguments = []
for name, value in json.loads(options).items():
    arguments += [f'{OPTIONS[name].flags}={value}']
sys.argv[1:] = [*arguments, target]
entrypoint()
