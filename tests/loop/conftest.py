from tests.support.loop_core import kind, serve  # noqa: F401 (fixtures)
from tests.support.tls_client import pair, tls  # noqa: F401 (fixtures)
