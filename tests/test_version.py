import re
from pathlib import Path

import granian


def test_version_is_the_packages() -> None:
    metadata = (Path(__file__).parent.parent / 'pyproject.toml').read_text()
    assert re.search(r'^version = "(.*)"$', metadata, re.MULTILINE)[1] == granian.__version__
