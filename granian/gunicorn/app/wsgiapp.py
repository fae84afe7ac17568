"""WSGIApplication: the command line, with the application named by APP, wsgi_app or a paste file."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any

from .. import application
from ..loader import SettingsError
from .base import Application


class WSGIApplication(Application):
    """What `granian gunicorn` runs."""

    def init(self, parser: Any, opts: Any, args: list[str]) -> Any:
        self.app_uri = (args or [''])[0] or None
        if self.app_uri:
            self.cfg.set('default_proc_name', self.app_uri)
        if opts.paste:
            return self._from_paste(opts.paste)
        return None

    def load_config(self) -> None:
        self.app_uri = None
        super().load_config()
        if self.app_uri is None and not self.cfg.paste:
            if not self.cfg.wsgi_app:
                raise SettingsError('No application module specified.')
            self.app_uri = self.cfg.wsgi_app
            self.cfg.set('default_proc_name', self.app_uri)

    def load(self) -> Any:
        self.chdir()
        return self._load_paste() if self.cfg.paste else application.load(self.app_uri or '')

    def _from_paste(self, location: str) -> dict[str, Any]:
        """Return the settings that a paste file gives: its own path as the source of loggers."""
        self._need_paste()
        path = os.path.abspath(os.path.join(self.start_dir, location.partition('#')[0]))
        if not os.path.exists(path):
            raise SettingsError(f'{path!r} not found')
        self.cfg.set('default_proc_name', location)
        has_loggers = re.search(r'^\[loggers\]', Path(path).read_text('utf-8', 'replace'), re.MULTILINE)
        return {'logconfig': path} if has_loggers else {}

    def _need_paste(self) -> Any:
        try:
            return importlib.import_module('paste.deploy')
        except ImportError:
            raise SettingsError(
                '--paste needs PasteDeploy, which is not installed: pip install PasteDeploy'
            ) from None

    def _load_paste(self) -> Any:
        path, _, name = self.cfg.paste.partition('#')
        deploy = self._need_paste()
        return deploy.loadapp(
            f'config:{path}',
            name=name or None,
            relative_to=self.start_dir,
            global_conf=self.cfg.paste_global_conf,
        )


def run(prog: str | None = None) -> None:
    """Run the command line. Ends by SystemExit."""
    WSGIApplication('%(prog)s [OPTIONS] [APP_MODULE]', prog=prog).run()
