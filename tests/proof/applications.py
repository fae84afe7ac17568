"""Serve applications that were not written for this server, and use them by their own methods.

    python tests/proof/applications.py                     all of them
    python tests/proof/applications.py --only radicale     one

Each is installed from PyPI in an environment of its own below this folder. Prints how each fared.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proof_server import ROOT, Server, free_port

HERE = Path(__file__).resolve().parent
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:proof
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART:20260101T100000Z
SUMMARY:Proof
END:VEVENT
END:VCALENDAR
""".replace('\n', '\r\n')
WSGIDAV = """
from wsgidav.wsgidav_app import WsgiDAVApp
app = WsgiDAVApp({
    'provider_mapping': {'/': 'files'}, 'simple_dc': {'user_mapping': {'*': True}}, 'verbose': 1,
})
"""
DATASETTE = """
from datasette.app import Datasette
app = Datasette(memory=True).app()
"""
DRF = """
from django.conf import settings
settings.configure(SECRET_KEY='x', ALLOWED_HOSTS=['*'], ROOT_URLCONF=__name__, REST_FRAMEWORK={
    'UNAUTHENTICATED_USER': None, 'DEFAULT_AUTHENTICATION_CLASSES': [],
    'DEFAULT_RENDERER_CLASSES': ['rest_framework.renderers.JSONRenderer'],
})
import django
django.setup()
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

class Line(serializers.Serializer):
    name = serializers.CharField()
    amount = serializers.IntegerField(min_value=1)

@api_view(['POST'])
def order(request):
    line = Line(data=request.data)
    line.is_valid(raise_exception=True)
    return Response(line.validated_data, status=201)

urlpatterns = [path('orders', order)]
app = get_wsgi_application()
"""

Step = tuple[str, str, str, dict[str, str], int]
"""Method, path, body, header fields, and the status that must come back."""
JSON = {'Content-Type': 'application/json'}


@dataclass(frozen=True)
class Application:
    packages: list[str]
    flags: str
    steps: list[Step]
    code: str = ''
    """Of app.py in the working directory."""
    wrapper: str = ''
    """The command that runs Python's; {bin} is the environment's folder of programs."""
    prepare: Callable[[Path], None] | None = None


def radicale(folder: Path) -> None:
    storage = f'[storage]\nfilesystem_folder = {folder}/storage\n'
    (folder / 'config').write_text(f'{storage}[auth]\ntype = none\n[rights]\ntype = owner_only\n')


def files(folder: Path) -> None:
    (folder / 'files').mkdir()


QUICK: list[Step] = [('GET', '/quick/token', '', {}, 200), ('POST', '/echo/x', 'body', {}, 200)]
OURS = '--interface wsgi proof_apps:wsgi'
APPLICATIONS = {
    'wsgidav': Application(
        ['wsgidav'], '--interface wsgi app:app',
        [
            ('OPTIONS', '/', '', {}, 200),
            ('MKCOL', '/folder', '', {}, 201),
            ('PUT', '/folder/a.txt', 'hello', {}, 201),
            ('PROPFIND', '/folder', '', {'Depth': '1'}, 207),
            ('COPY', '/folder/a.txt', '', {'Destination': '/folder/b.txt'}, 201),
            ('MOVE', '/folder/b.txt', '', {'Destination': '/folder/c.txt'}, 201),
            ('GET', '/folder/c.txt', '', {'Range': 'bytes=1-2'}, 206),
            ('HEAD', '/folder/c.txt', '', {}, 200),
            ('DELETE', '/folder', '', {}, 204),
        ],
        WSGIDAV, prepare=files,
    ),
    'radicale': Application(
        ['radicale'], '--interface wsgi radicale:application',
        [
            ('GET', '/.web/', '', {}, 200),
            ('MKCALENDAR', '/jane/work/', '', {'Authorization': 'Basic amFuZTp4'}, 201),
            ('PUT', '/jane/work/1.ics', EVENT,
             {'Authorization': 'Basic amFuZTp4', 'Content-Type': 'text/calendar'}, 201),
            ('PROPFIND', '/jane/work/', '', {'Authorization': 'Basic amFuZTp4', 'Depth': '1'}, 207),
            ('GET', '/jane/work/1.ics', '', {'Authorization': 'Basic amFuZTp4'}, 200),
        ],
        prepare=radicale,
    ),
    'datasette': Application(
        ['datasette'], '--interface asgi app:app',
        [('GET', '/-/versions.json', '', {}, 200), ('GET', '/_memory.json?sql=select+1', '', {}, 200)],
        DATASETTE,
    ),
    'djangorestframework': Application(
        ['djangorestframework'], '--interface wsgi app:app',
        [
            ('POST', '/orders', '{"name": "a", "amount": 2}', JSON, 201),
            ('POST', '/orders', '{"name": "a", "amount": 0}', JSON, 400),
            ('GET', '/orders', '', {}, 405),
        ],
        DRF,
    ),
    'coverage run': Application(['coverage'], OURS, QUICK, wrapper='{bin}/coverage run -m granian'),
    'opentelemetry-instrument': Application(
        ['opentelemetry-distro', 'opentelemetry-instrumentation-wsgi'], OURS, QUICK,
        wrapper='{bin}/opentelemetry-instrument --traces_exporter none --metrics_exporter none '
        '--logs_exporter none {bin}/python -m granian',
    ),
    'debugpy': Application(
        ['debugpy'], OURS, QUICK, wrapper='{bin}/python -m debugpy --listen 127.0.0.1:0 -m granian'
    ),
}  # fmt: skip


def environment(name: str, packages: list[str]) -> Path:
    """Make an environment with this server and the packages, once; return its folder of programs."""
    folder = HERE / f'.env-{name.split()[0]}'
    if not (folder / 'made').exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / 'bin' / 'pip', 'install', '-q', '--disable-pip-version-check']
        subprocess.run([*pip, '-e', str(ROOT), *packages], check=True)
        (folder / 'made').touch()
    return folder / 'bin'


def ask(port: int, step: Step) -> int:
    method, path, body, fields, _ = step
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    try:
        connection.request(method, path, body.encode() or None, fields)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def prove(name: str, programs: Path, folder: Path) -> list[str]:
    """Serve an application, take its steps and stop it; return what went wrong."""
    application = APPLICATIONS[name]
    if application.code:
        (folder / 'app.py').write_text(application.code)
    if application.prepare is not None:
        application.prepare(folder)
    port = free_port()
    start = (application.wrapper or '{bin}/python -m granian').format(bin=programs)
    command = f'{start} --host 127.0.0.1 --port {port} --working-dir {folder} {application.flags}'.split()
    path = os.pathsep.join([str(folder), str(HERE), str(ROOT)])
    env = {'PYTHONPATH': path, 'RADICALE_CONFIG': str(folder / 'config'), 'COVERAGE_FILE': str(folder / 'c')}
    server = Server(name, command, port, False, env)
    wrong = []
    try:
        for step in application.steps:
            status = ask(port, step)
            if status != step[4]:
                wrong.append(f'{step[0]} {step[1]}: {status}, not {step[4]}')
    finally:
        if server.stop() is None:
            wrong.append('did not stop on SIGTERM')
    if server.process.returncode != 0:
        wrong.append(f'ended with status {server.process.returncode}')
    if 'Traceback' in server.log:
        wrong.append(server.log[server.log.index('Traceback') :][-500:])
    return wrong


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    names = list(APPLICATIONS)
    parser.add_argument('--only', nargs='+', default=names, choices=names, metavar='NAME')
    parser.add_argument('--programs', type=Path, help='an environment that has everything: its bin folder')
    options = parser.parse_args()
    failed = False
    for name in options.only:
        programs = options.programs or environment(name, APPLICATIONS[name].packages)
        with tempfile.TemporaryDirectory() as folder:
            try:
                wrong = prove(name, programs, Path(folder))
            except (AssertionError, OSError) as error:
                wrong = [str(error)[-800:]]
        steps = len(APPLICATIONS[name].steps)
        print(f'{name}: {steps} steps, {"; ".join(wrong) or "all as they must be"}', flush=True)
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
