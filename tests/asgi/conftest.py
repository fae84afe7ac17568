import sys
from pathlib import Path

for room in ('loop', 'core'):
    sys.path.insert(0, str(Path(__file__).parent.parent / room))

from served import kind, serve  # noqa: E402, F401 (fixtures, from a room on the path just set)
