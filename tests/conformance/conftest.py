import sys
from pathlib import Path

for folder in ('conformance', 'e2e', 'core'):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
