"""gunicorn's command line, files, hooks and embedding, on this server.

Settings: `settings` is the table of all, `values` has a validator for each kind, `flags` makes the command
line's parser. `loader` reads them into a `cfg`, and `imported` what was changed in gunicorn's own modules.
`translate` makes native options of them, with `workers` for worker classes (`worker_class`, `uvicorn_class`).

Serving: `application` finds APP, `process` prepares the process, `serving` runs the native server; `ends` has
the statuses. `objects` are the arguments of hooks, `requests` the hooks around each request. `logs`
has the loggers, `access_atoms` the atoms of access lines, `words` the server's lines in gunicorn's words.
`native_command` prints the `granian` command line that means the same. `config`, `glogging` and `util` are
paths that programs import.

This room stands above `server` and beside `cli`; no other room knows it.
"""

from __future__ import annotations

import os
import sys

from .._early import end_imports, prepare


def main() -> None:
    """Run the command line. Ends by SystemExit."""
    prepare()
    from .app.wsgiapp import run

    end_imports()
    name = os.path.basename(sys.argv[0])
    if name != '__main__.py':  # programs look for the word in sys.argv[0]
        sys.argv[0] = os.path.join(os.path.dirname(sys.argv[0]), 'gunicorn')
    run(prog='gunicorn')
