"""--preload: the application is loaded in the main process, once, and forked workers inherit it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import FatalError
from ..worker import entry, kinds
from ..worker.failures import log_cause


def preload(config: Config, working_dir: Path, loader: Callable[[], Any] | None) -> Callable[[], Any]:
    """Load the application and return a function that returns it.

    It is loaded in the working directory, as in a worker. Raises FatalError.
    """
    check = kinds.prepare(config)
    start = Path.cwd()
    os.chdir(working_dir)
    try:
        app = entry.load(config, working_dir, loader)
    except FatalError as exc:
        log_cause(exc)
        raise
    finally:
        os.chdir(start)
    check(app)
    gc.collect()
    gc.freeze()  # a later search of this process through its objects does not write to shared pages
    return lambda: app
