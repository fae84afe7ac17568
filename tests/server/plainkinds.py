"""The kinds of worker, as options: each core, each interface."""

import pytest

KINDS = [
    pytest.param({'target': 'plainapps:wsgi', 'interface': 'wsgi'}, id='threads'),
    pytest.param({'target': 'plainapps:wsgi', 'interface': 'wsgi', 'core': 'gevent'}, id='gevent'),
    pytest.param({'target': 'plainapps:asgi', 'interface': 'asginl'}, id='asgi'),
    pytest.param({'target': 'plainapps:rsgi', 'interface': 'rsgi'}, id='rsgi'),
]
