"""Programs that derive from gunicorn's application classes in the ways that are common."""

from __future__ import annotations

import pytest
from front_apps import WSGI
from front_server import Start, ask, request

from granian.gunicorn.config import Config

NAMED = """
import sys
from granian.gunicorn.app.wsgiapp import WSGIApplication


class Standalone(WSGIApplication):
    def __init__(self, app_uri, options):
        self.options = options
        self.app_uri = app_uri
        super().__init__()

    def load_config(self):
        for name, value in self.options.items():
            if name in self.cfg.settings and value is not None:
                self.cfg.set(name, value)


Standalone('web:application', {'bind': '127.0.0.1:0', 'workers': 2, 'nothing': 1}).run()
"""
OWN_READER = """
from granian.gunicorn.app.base import BaseApplication
from web import application


class Own(BaseApplication):
    def load_config(self):
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        for name, value in vars(given).items():
            if value is not None and name != 'args':
                self.cfg.set(name.lower(), value)

    def load(self):
        return application


Own().run()
"""


def test_class_that_names_its_application_is_served(start: Start) -> None:
    web = start('run.py', files={'run.py': NAMED, 'web.py': WSGI}, kind='python')
    assert ask(web.listening())['wsgi.multiprocess'] is True
    web.expect('Booting worker with pid: ', 2)
    assert web.stop() == 0


def test_class_that_reads_the_environment_itself_is_served(start: Start) -> None:
    env = {'GUNICORN_CMD_ARGS': '--bind 127.0.0.1:0 --threads 3'}
    web = start('run.py', files={'run.py': OWN_READER, 'web.py': WSGI}, kind='python', env=env)
    assert request(web.listening())[0] == 200
    web.expect('Using worker: gthread')
    assert web.stop() == 0


def test_config_has_the_settings_and_their_parser() -> None:
    config = Config(prog='mine')
    assert config.parser().parse_args(['-w', '3', 'web']).workers == 3
    assert config.settings['workers'].get() == config.workers


@pytest.mark.parametrize('options', [[], ['--preload']])
def test_broken_application_is_traced_once(start: Start, options: list[str]) -> None:
    web = start('-b', '127.0.0.1:0', *options, 'broken:app', files={'broken.py': 'raise ValueError("why")\n'})
    assert web.ended() == (1 if options else 3)
    assert web.count(r'^ValueError: why$') == 1
    assert web.count(r"\[ERROR\] cannot load the application 'broken:app' in '[^']*': ValueError: why$") == 1
