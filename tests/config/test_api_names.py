"""The names other people's code imports, and the small things behind them."""

import asyncio
import importlib
import os
import signal
import subprocess
import sys

import pytest

import granian
from granian import _granian, _signals, loops
from granian._loops import BuilderRegistry
from granian.errors import ConfigurationError, FatalError, PidFileError, TargetError
from granian.server import memory

NAMES = {
    'granian': ['loops', '__version__'],
    'granian.constants': ['HTTPModes', 'Interfaces', 'Loops', 'RuntimeModes', 'SSLProtocols', 'TaskImpl'],
    'granian.http': ['HTTP1Settings', 'HTTP2Settings'],
    'granian.log': [
        'LogLevels', 'logger', 'access_logger', 'configure_logging', 'DEFAULT_ACCESSLOG_FMT',
        'LOGGING_CONFIG',
    ],
    'granian.errors': ['FatalError', 'ConfigurationError', 'PidFileError'],
    'granian.utils.proxies': ['wrap_asgi_with_proxy_headers', 'wrap_wsgi_with_proxy_headers'],
    'granian._loops': ['loops'],
    'granian._internal': ['load_target', 'prepare_import'],
    'granian._signals': ['set_main_signals'],
    'granian._granian': ['BUILD_GIL', 'ProcInfoCollector', '__version__'],
    'granian.cli': [
        'cli', 'entrypoint', 'Duration', 'EnumType', 'OctalIntType', '_pretty_print_default', 'Server',
    ],
}  # fmt: skip


@pytest.mark.parametrize('module', NAMES)
def test_names(module: str) -> None:
    found = importlib.import_module(module)
    for name in NAMES[module]:
        assert hasattr(found, name), name


def test_import_granian_alone_brings_the_small_modules_and_not_the_server() -> None:
    code = (
        'import sys, granian\n'
        'granian.http.HTTP1Settings, granian.constants.Interfaces, granian.log.LogLevels\n'
        'granian.loops.register\n'
        'heavy = {"click", "asyncio", "socket", "multiprocessing", "h2", "gevent", "granian.server"}\n'
        'print(sorted(heavy & set(sys.modules)))\n'
        'granian.Granian\n'
        'from granian.server import Server\n'
        'print(granian.Granian is Server)\n'
    )
    run = [sys.executable, '-c', code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == '[]\nTrue\n'


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'granian' has no attribute 'nope'"):
        granian.nope  # noqa: B018


def test_errors_are_fatal_errors() -> None:
    for error in (ConfigurationError, PidFileError, TargetError):
        assert issubclass(error, FatalError)


def test_memory_of_processes() -> None:
    collector = _granian.ProcInfoCollector()
    own = collector.memory()
    assert list(own) == [os.getpid()]
    assert 2**20 < own[os.getpid()] < 2**34
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    assert set(collector.memory([os.getpid(), gone.pid])) == {os.getpid()}
    from_ps = memory._resident_from_ps(os.getpid())
    assert from_ps is None or from_ps > 2**20


def test_loops_are_registered_and_built() -> None:
    registry = BuilderRegistry()
    built = []

    @registry.register('mine', packages=['json'])
    def build(json: object) -> asyncio.AbstractEventLoop:
        built.append(json)
        return asyncio.new_event_loop()

    registry.register('other', packages=['no_such_package_'])(build)
    assert registry.keys() == ['mine']
    assert 'other' not in registry
    registry.get('mine').close()
    assert built == [importlib.import_module('json')]
    with pytest.raises(ConfigurationError, match="there is no event loop 'other' here, only mine"):
        registry.get('other')


def test_auto_is_the_fastest_installed_and_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    available = loops.keys()
    fastest = next(name for name in ('uvloop', 'winloop', 'rloop', 'asyncio') if name in available)
    loop = loops.get('auto')
    assert type(loop).__module__.split('.')[0] == fastest
    loop.close()
    monkeypatch.setattr(granian._loops.loops, '_builders', dict(granian._loops.loops._builders))
    made = asyncio.new_event_loop()
    loops.register('auto')(lambda: made)
    assert loops.get('auto') is made
    made.close()


def test_signals_reach_their_handlers() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    seen = []
    try:
        _signals.set_main_signals(
            lambda number, frame: seen.append(('stop', number)),
            lambda number, frame: seen.append(('reload', number)),
        )
        for number in before:
            signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert seen == [('stop', signal.SIGINT), ('stop', signal.SIGTERM), ('reload', signal.SIGHUP)]


def test_dir_shows_what_comes_late() -> None:
    assert {'Granian', 'loops', '__version__'} <= set(dir(granian))
