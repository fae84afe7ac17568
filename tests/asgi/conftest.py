import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / 'bridge'))

from served import kind, serve  # noqa: F401 (fixtures)
