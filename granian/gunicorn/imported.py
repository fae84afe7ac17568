"""gunicorn itself, where a configuration file has imported it: what the file changed there counts here."""

from __future__ import annotations

import sys

SERVER = 'gunicorn'
"""The Server header, as the package has it."""


def server_header() -> str | None:
    """Return the Server header that a file has put into gunicorn.SERVER; None where it has not."""
    given = getattr(sys.modules.get('gunicorn'), 'SERVER', None)
    return None if given is None or given == SERVER else str(given)


def logger_attribute(name: str, ordinary: str) -> str:
    """Return an attribute of gunicorn.glogging.Logger, such as `error_fmt`, where it is imported."""
    logger = getattr(sys.modules.get('gunicorn.glogging'), 'Logger', None)
    return str(getattr(logger, name, ordinary))
