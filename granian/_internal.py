"""Finding the application: import strings, environment files."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import ConfigurationError, TargetError
from .messages import REFUSALS, refusal

_set_by_us: set[str] = set()


def prepare_import(path: str) -> str:
    """Return the module's name for a module name or a file's path, and prepare sys.path for its import.

    `package/module.py` is imported as `package.module` where the folder is a package, with the
    folder above the outermost package first on sys.path.
    """
    if not _is_path(path):
        return path
    file = Path(path).resolve()
    if file.is_dir() and (file / '__init__.py').is_file():
        file /= '__init__.py'
    if not file.is_file() and file.suffix != '.py':
        file = file.with_name(file.name + '.py')
    folder = file.parent
    names = [] if file.stem == '__init__' else [file.stem]
    while (folder / '__init__.py').is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    put_first(str(folder))
    return '.'.join(names)


def load_target(target: str, wd: Path | None = None, factory: bool = False) -> Any:
    """Return what an import string names: `module:attr.sub`, `path/to/file.py:attr`, `module:factory()`, or
    `module`, for `module:app` or `module:application`.

    `wd` (default: the current folder) is put first on sys.path. With `factory` the object is
    called, without arguments, and its result returned.

    Raises TargetError when the target leads nowhere, with one line that says what was looked for
    and where. An exception of the application's own code, ImportError too, is passed on untouched.
    """
    folder = wd if wd is not None else Path.cwd()
    put_first(os.path.realpath(folder))  # not resolve(): each worker would copy much of pathlib
    path, attribute = _split(target)
    call = _call(attribute, target) if attribute.endswith(')') else None
    if _is_path(path):
        path = os.path.join(folder, path)
        if not any(Path(p).is_file() for p in (path, path + '.py', f'{path}/__init__.py')):
            raise TargetError(REFUSALS['target_no_file'].format(target=target, path=Path(path).resolve()))
    name = prepare_import(path)
    module = _import(name, target, folder)
    if not attribute:
        attribute = 'application' if not hasattr(module, 'app') and hasattr(module, 'application') else 'app'
    found = _follow(module, name, call[0] if call else attribute, target)
    if not (factory or call):
        return found
    if not callable(found):
        raise TargetError(REFUSALS['target_not_callable'].format(target=target, kind=type(found).__name__))
    return _call_factory(found, call[1:] if call else ([], {}), target)


def _call_factory(factory: Any, arguments: tuple[list[Any], dict[str, Any]], target: str) -> Any:
    """Return what a factory returns. Raises TargetError if it takes other arguments than these."""
    try:
        return factory(*arguments[0], **arguments[1])
    except TypeError as error:
        trace = error.__traceback__
        if trace is not None and trace.tb_next is not None:  # raised within the factory
            raise
        raise TargetError(REFUSALS['target_arguments'].format(target=target, error=error)) from None


def _split(target: str) -> tuple[str, str]:
    """Return module (or path) and attribute, '' where there is none. Raises TargetError."""
    drive, rest = os.path.splitdrive(target)
    # Arguments of a call may hold colons.
    head, bracket, arguments = rest.partition('(')
    path, separator, attribute = head.rpartition(':')
    if not separator:
        path, attribute = head, ''
    if not path or (separator and not attribute) or (bracket and not separator):
        raise TargetError(REFUSALS['target_malformed'].format(target=target))
    return drive + path, attribute + bracket + arguments


def _follow(module: Any, name: str, attribute: str, target: str) -> Any:
    """Return the attribute, dots and all, of a module. Raises TargetError."""
    found = module
    for depth, part in enumerate(attribute.split('.')):
        try:
            found = getattr(found, part)
        except AttributeError:
            place = '.'.join([name, *attribute.split('.')[:depth]])
            raise TargetError(
                REFUSALS['target_no_attribute'].format(target=target, name=part, place=place)
            ) from None
    return found


def _call(text: str, target: str) -> tuple[str, list[Any], dict[str, Any]]:
    try:
        return literal_call(text)
    except (SyntaxError, ValueError):
        raise TargetError(REFUSALS['target_call'].format(target=target)) from None


def literal_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Return name, arguments and keywords of a call with literal arguments.

    Raises SyntaxError or ValueError for other text.
    """
    import ast

    node = ast.parse(text, mode='eval').body
    if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError(f'{text!r} is not a call')
    arguments = [ast.literal_eval(argument) for argument in node.args]
    keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    return ast.unparse(node.func), arguments, keywords


def _import(name: str, target: str, folder: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The target itself, or a package on the way to it, is missing, if that is the module
        # Python names. Any other missing module is an import inside the application.
        missing = error.name or ''
        if name != missing and not name.startswith(missing + '.'):
            raise
        parent, _, last = missing.rpartition('.')
        where = f'{parent!r}' if parent in sys.modules else f"'{os.path.realpath(folder)}' and Python's path"
        text = REFUSALS['target_no_module'].format(target=target, module=missing, where=where)
        if hasattr(sys.modules.get(parent), last):
            text += REFUSALS['target_colon'].format(parent=parent, name=last)
        raise TargetError(text) from None
    except (TypeError, ValueError) as error:
        if all(part.isidentifier() for part in name.split('.')):
            raise
        raise TargetError(REFUSALS['target_malformed'].format(target=target)) from error


def _is_path(path: str) -> bool:
    return path.endswith('.py') or '/' in path or os.sep in path


def put_first(folder: str) -> None:
    """Make `folder` the first entry of sys.path."""
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def start_folder() -> str:
    """Return the current folder by the name that the shell has for it. Raises ConfigurationError.

    A symbolic link in it may lead to another release at the next reload or upgrade.
    """
    name = os.environ.get('PWD', '')
    with suppress(OSError):  # a process manager passes its own PWD on, which this user may not look at
        if os.path.isabs(name) and os.path.samefile(name, os.curdir):
            return name
    try:
        return os.getcwd()
    except OSError as exc:
        raise ConfigurationError(refusal('no_folder', reason=exc.strerror)) from None


def given_environment() -> dict[str, str]:
    """Return the environment without what `load_env_files` has added, which another process reads itself."""
    return {name: value for name, value in os.environ.items() if name not in _set_by_us}


def load_env_files(paths: Sequence[Path]) -> None:
    """Put the variables of dotenv files into os.environ. A later file wins over an earlier one.

    Variables that the environment had before stay. Those of an earlier call are replaced, so that a
    reload sees an edited file.

    Raises ConfigurationError when python-dotenv is missing or a file cannot be read.
    """
    if not paths:
        return
    try:
        from dotenv.main import DotEnv
    except ImportError:
        raise ConfigurationError(
            REFUSALS['needs_extra'].format(option='--env-files', module='dotenv', extra='dotenv')
        ) from None
    for name in _set_by_us:
        os.environ.pop(name, None)
    _set_by_us.clear()
    for path in paths:
        try:
            text = path.read_text(encoding='utf-8')
        except (OSError, ValueError) as error:
            raise ConfigurationError(REFUSALS['env_file_unreadable'].format(path=path, error=error)) from None
        # override=False: in ${NAME} too, what the environment has wins.
        for name, value in DotEnv(None, stream=io.StringIO(text), override=False).dict().items():
            if value is not None and (name not in os.environ or name in _set_by_us):
                os.environ[name] = value
                _set_by_us.add(name)
