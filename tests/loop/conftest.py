from certificates import pair, tls  # noqa: F401 (fixtures)
from served import kind, serve  # noqa: F401 (fixtures)
