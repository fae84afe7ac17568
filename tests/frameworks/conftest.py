import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / 'e2e'))  # e2e_server
