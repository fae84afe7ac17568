"""--check-config: the settings and the application, loaded in this process; nothing is bound."""

from __future__ import annotations

import sys
from typing import NoReturn

from ..errors import FatalError
from ..worker.failures import trace
from . import process
from .contract import Served
from .loader import SettingsError, say
from .translate import Plan


def check(app: Served) -> NoReturn:
    """End the process: with status 0 where everything can be loaded, else 1."""
    for hint in app.hints:
        say(hint)
    try:
        process.prepare(app.cfg)
        Plan(app)
        app.wsgi()
    except SettingsError as error:
        sys.exit(str(error))
    except FatalError as error:
        say(f'\nError while loading the application:\n\n{error}')
        sys.exit(1)
    except Exception as error:
        say(f'\nError while loading the application:\n\n{trace(error)}')
        sys.exit(1)
    sys.exit(0)
