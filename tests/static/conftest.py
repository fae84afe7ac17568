import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / 'core'))

from static_site import folder, site  # noqa: F401 (fixtures)
