"""The loggers of uvicorn's worker class: applications write to them, filter and replace them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

ERROR, ACCESS = 'uvicorn.error', 'uvicorn.access'
FORMAT = '%s - "%s %s HTTP/%s" %d'
"""Message of uvicorn's access lines; filters of applications read its arguments by their place."""


def share() -> None:
    """Give uvicorn's loggers the handlers and levels of gunicorn's, as its worker class does."""
    for name, source in ((ERROR, 'gunicorn.error'), (ACCESS, 'gunicorn.access')):
        logger, given = logging.getLogger(name), logging.getLogger(source)
        logger.handlers = list(given.handlers)
        logger.setLevel(given.level)
        logger.propagate = False


def follow() -> None:
    """Send access lines to uvicorn.access, if the application has changed that logger while it was loaded."""
    uvicorns, ours = logging.getLogger(ACCESS), logging.getLogger('gunicorn.access')
    changed = (
        uvicorns.filters
        or uvicorns.disabled
        or uvicorns.propagate
        or uvicorns.level != ours.level
        or uvicorns.handlers != ours.handlers
    )
    if changed:
        ours.addFilter(ToUvicorn())


class ToUvicorn(logging.Filter):
    """Hands an access line to uvicorn.access in uvicorn's form, and drops it here."""

    def filter(self, record: logging.LogRecord) -> bool:
        logger = logging.getLogger(ACCESS)
        if logger.isEnabledFor(logging.INFO) and isinstance(record.args, Mapping):
            atoms: Mapping[str, Any] = record.args
            method, _, rest = str(atoms['r']).partition(' ')
            target, _, protocol = rest.rpartition(' ')
            args = (f'{atoms["h"]}:0', method, target, protocol.partition('/')[2], int(atoms['s']))
            logger.handle(logging.LogRecord(ACCESS, logging.INFO, __file__, 0, FORMAT, args, None))
        return False
