"""BaseApplication and Application: programs that bring the settings with them."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from ..._internal import put_first, start_folder
from .. import loader
from ..cfg import Cfg
from ..loader import SettingsError


class BaseApplication:
    """A server in a program of the user's, which implements `load_config` and `load`.

    It reads no command line, no file and no GUNICORN_CMD_ARGS.
    """

    app_uri: str | None = None
    """APP as text: the command line's, or the one that a program sets before `__init__`."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.cfg: Cfg
        self.callable: Any = None
        self.logger: Any = None
        self.hints: list[str] = []
        """A line for each name in the configuration file that resembles a setting and is none."""
        self.do_load_config()

    def do_load_config(self) -> None:
        """Make `cfg` and load it; a mistake ends the process with status 1."""
        try:
            self.start_dir = start_folder()
            self.load_default_config()
            self.load_config()
        except SettingsError as error:
            self._give_up(error.shown)
        except Exception as error:
            self._give_up(f'Error: {error}')

    def _give_up(self, text: str) -> NoReturn:
        loader.say(f'\n{text}' if text.startswith('Error') else text)
        sys.exit(1)

    def load_default_config(self) -> None:
        try:
            self.cfg = Cfg(self.usage, prog=self.prog)
        except ValueError as error:
            raise SettingsError(error) from None

    def init(self, parser: Any, opts: Any, args: list[str]) -> Any:
        raise NotImplementedError

    def load(self) -> Any:
        raise NotImplementedError

    def load_config(self) -> None:
        """Set what the program wants set. Raises whatever `cfg.set` raises."""
        raise NotImplementedError

    def reload(self) -> None:
        """Load the settings again, for SIGHUP. Raises SettingsError and leaves `cfg` where that fails."""
        before = self.cfg
        try:
            os.chdir(self.start_dir)  # relative paths mean what they meant at the start
            self.load_default_config()
            self.cfg.__dict__['env_orig'] = before.env_orig  # what the environment was before any raw_env
            self.load_config()
        except BaseException as error:
            self.cfg = before
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(str(error) or type(error).__name__) from error
        finally:
            os.chdir(before.chdir)

    def wsgi(self) -> Any:
        """Return the application; load it the first time."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def chdir(self) -> None:
        """Change to the working directory, and make it the first place that imports look in."""
        os.chdir(self.cfg.chdir)
        put_first(self.cfg.chdir)

    def run(self) -> None:
        """Serve. Ends by SystemExit."""
        from ..serving import run

        run(self)


class Application(BaseApplication):
    """As BaseApplication, and it reads the command line, a file and GUNICORN_CMD_ARGS."""

    def load_config_from_module_name_or_filename(self, location: str) -> dict[str, Any]:
        """Run a file, or import `python:MODULE`, set what it sets, and return its globals."""
        found = loader.run_file(location, self.start_dir)
        self.hints = loader.near_misses(found)
        known = self.cfg.settings.keys() - {'config'}
        loader.apply(self.cfg, {name: value for name, value in found.items() if name in known})
        self.cfg.set('config', location)
        return found

    def load_config_from_file(self, filename: str) -> dict[str, Any]:
        return self.load_config_from_module_name_or_filename(location=filename)

    def load_config(self) -> None:
        parser = self.cfg.parser()
        options = parser.parse_intermixed_args(sys.argv[1:])
        given = self.init(parser, options, options.args)
        if given:
            loader.apply(self.cfg, given)
        more = parser.parse_intermixed_args(self.cfg.get_cmd_args_from_env())
        location = options.config or more.config
        default = os.path.join(self.start_dir, 'gunicorn.conf.py')
        if location or os.path.exists(default):
            self.load_config_from_module_name_or_filename(location or default)
        loader.apply_options(self.cfg, more)
        loader.apply_options(self.cfg, options)

    def run(self) -> None:
        """Print or check the settings where that is asked for; else serve. Ends by SystemExit."""
        from ..serving import check

        if self.cfg.print_config:
            sys.stdout.write(f'{self.cfg}\n')
        if self.cfg.print_config or self.cfg.check_config:
            check(self)
        super().run()
