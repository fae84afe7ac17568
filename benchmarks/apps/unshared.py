"""Run granian with workers that do not share the connections: chance decides, as in most servers."""

import sys

from granian.cli import entrypoint
from granian.server import mp

if __name__ == '__main__':
    mp.make_shares = lambda: None
    sys.exit(entrypoint())
