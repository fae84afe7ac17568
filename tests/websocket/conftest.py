import sys
from pathlib import Path

for room in ('loop', 'core', 'websocket'):
    sys.path.insert(0, str(Path(__file__).parent.parent / room))

from certificates import pair, tls  # noqa: E402, F401 (fixtures)
from served import kind, serve  # noqa: E402, F401 (fixtures, from a room on the path just set)
