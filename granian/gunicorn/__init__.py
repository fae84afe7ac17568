"""gunicorn's command line, files, hooks and embedding, on this server.

`settings` is the table of all settings, `loader` reads them, `translate` makes native options of them,
`serving` runs the native server. This room stands above `server` and beside `cli`; no other room knows it.
"""

from __future__ import annotations

import os
import sys

from .._early import prepare


def main() -> None:
    """Run the command line. Ends by SystemExit."""
    prepare()
    from .app.wsgiapp import run

    name = os.path.basename(sys.argv[0])
    if name != '__main__.py':  # programs look for the word in sys.argv[0]
        sys.argv[0] = os.path.join(os.path.dirname(sys.argv[0]), 'gunicorn')
    run(prog='gunicorn')
